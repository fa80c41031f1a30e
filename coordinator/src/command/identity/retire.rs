//! `retire-identity`.

use super::check::has_room;
use super::roster::{drain, drop_key, hold, leave};
use crate::command::refuse::not_found;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RetireIdentity};
use crate::state::FleetState;

impl Verb for RetireIdentity {
    fn name(&self) -> &'static str {
        "retire-identity"
    }

    fn object(&self) -> String {
        format!("ip {}", self.address)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if !state.identities.contains_key(&self.address) {
            return Err(not_found("address", &self.address, "identity"));
        }
        has_room(state)?;
        if let Some(identity) = leave(state, self.address) {
            hold(state, &identity, turn.now());
            drain(state, &identity, None, turn);
            drop_key(state, &identity, turn.now());
            state.dns_looks.forget(self.address);
        }
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{IpSpec, IpStatus};

    use crate::command::fixture::{Fleet, address, host_id, identity};
    use crate::command::{
        AddIdentity, Command, RejectionCode, RemoveTenant, RetireHost, RetireIdentity,
    };

    #[test]
    fn its_key_goes_with_it_and_its_pool_with_the_last() {
        let mut fleet = Fleet::with_identities(2);
        let retire = |at| {
            Command::RetireIdentity(RetireIdentity {
                address: address(at),
            })
        };
        fleet.accept(retire(0));
        assert_eq!((fleet.state.secrets.len(), fleet.state.pools.len()), (1, 1));
        fleet.accept(retire(1));
        assert_eq!((fleet.state.secrets.len(), fleet.state.pools.len()), (0, 0));
        assert_eq!(fleet.refuse(retire(1)).code, RejectionCode::NotFound);
        // Everything that it claimed is free again.
        fleet.accept(Command::AddIdentity(AddIdentity::of(identity(1))));
    }

    fn retire(at: u32) -> Command {
        Command::RetireIdentity(RetireIdentity {
            address: address(at),
        })
    }

    /// Two identities that their host may have, the first of them retired.
    fn draining() -> Fleet {
        let mut fleet = Fleet::with_identities(2);
        fleet.accept(fleet.target(&[b"both"]));
        fleet.accept(retire(0));
        fleet
    }

    #[test]
    fn what_its_host_may_have_drains_there_with_its_key_and_names() {
        let mut fleet = draining();
        assert_eq!(fleet.state.secrets.len(), 2);
        let host = host_id("pmta1");
        let left: Vec<_> = fleet
            .state
            .leaving_on(&host)
            .map(|one| one.spec())
            .collect();
        assert_eq!(left, [&identity(0)]);
        // Every name of it is its own still, and it is said why.
        type Change = fn(&mut IpSpec);
        let changes: [(&str, Change); 4] = [
            ("address", |ip| ip.address = address(0)),
            ("domain", |ip| ip.domain = identity(0).domain),
            ("hostname", |ip| ip.hostname = identity(0).hostname),
            ("vmta", |ip| ip.vmta = identity(0).vmta),
        ];
        for (field, change) in changes {
            let mut other = identity(5);
            change(&mut other);
            other.zone = other.domain.clone();
            let rejection = fleet.refuse(Command::AddIdentity(AddIdentity::of(other)));
            let (code, told) = (rejection.code, rejection.field.as_str());
            assert_eq!((code, told), (RejectionCode::Duplicate, field));
            let text = &rejection.accepted;
            assert!(
                text.contains("192.0.2.1 has this one and is still draining on pmta1"),
                "{text}"
            );
        }
        let host = Command::RetireHost(RetireHost {
            host,
            grace_millis: 1,
        });
        fleet.accept(retire(1));
        let rejection = fleet.refuse(host);
        assert_eq!(rejection.code, RejectionCode::InUse);
        assert!(
            rejection.accepted.contains("2 identities that left it"),
            "{rejection}"
        );
        let tenant = Command::RemoveTenant(RemoveTenant {
            tenant: identity(0).tenant,
        });
        let rejection = fleet.refuse(tenant);
        assert!(
            rejection.accepted.contains("which drains on host pmta1"),
            "{rejection}"
        );
    }

    #[test]
    fn added_again_with_its_names_it_is_back_with_the_key_that_it_had() {
        let mut fleet = Fleet::with_identities(2);
        let key = fleet.state.identities[&address(0)].dkim_public.clone();
        fleet.accept(fleet.target(&[b"both"]));
        fleet.accept(retire(0));
        let ip = IpSpec {
            status: IpStatus::Standby,
            ..identity(0)
        };
        fleet.accept(Command::AddIdentity(AddIdentity::of(ip.clone())));
        let row = &fleet.state.identities[&address(0)];
        assert_eq!((&row.spec, &row.dkim_public), (&ip, &key));
        assert!(fleet.state.leaving.is_empty());
        // Its host has it still: it drains again when it leaves again.
        fleet.accept(retire(0));
        assert_eq!(fleet.state.leaving.len(), 1);
    }

    #[test]
    fn what_no_target_has_is_gone_at_once() {
        let mut fleet = Fleet::with_identities(2);
        fleet.accept(fleet.target(&[b"both"]));
        fleet.accept(Command::AddIdentity(AddIdentity::of(identity(2))));
        fleet.accept(retire(2));
        assert!(fleet.state.leaving.is_empty());
        assert_eq!(fleet.state.secrets.len(), 2);
    }
}
