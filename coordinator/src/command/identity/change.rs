//! `change-identity`.

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::time::Timestamp;

use super::check::{check, has_room};
use super::life::redeclare;
use super::roster::{
    drain, drained_key, drop_key, end_leaving, enter, has_prepared_key, leave, secret_id, take_key,
};
use crate::command::RejectionCode::{ForeignTenant, WrongState};
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{ChangeIdentity, Rejection};
use crate::fleet::warmup;
use crate::state::{FleetState, Identity, Signing};

impl Verb for ChangeIdentity {
    fn name(&self) -> &'static str {
        "change-identity"
    }

    fn object(&self) -> String {
        format!("ip {}", self.ip.address)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(current) = state.identities.get(&self.ip.address).cloned() else {
            return Err(not_found("address", &self.ip.address, "identity"));
        };
        let change = &Self {
            ip: as_it_signs(&self.ip, &current),
            said: self.said,
        };
        let spec = &change.ip;
        let said = current.life.said.with(self.said);
        if current.spec == *spec && current.life.said == said {
            return Ok(Change::NONE);
        }
        if current.spec.tenant != spec.tenant {
            let accepted = "the tenant that has it; for another one it is retired and added again";
            return Err(refuse(ForeignTenant, "tenant", &spec.tenant, accepted));
        }
        check(state, spec, Some(&current.spec))?;
        keeps_its_key(spec, &current)?;
        let (spec, life) = redeclare(state, &current, change, turn)?;
        if current.spec == spec && current.life.said == life.said {
            return Ok(Change::NONE);
        }
        let spec = &spec;
        let dkim_key = secret_id(spec)?;
        let own = current.public_of(&dkim_key).cloned();
        let kept = own.or_else(|| drained_key(state, spec.address, &dkim_key));
        if kept.is_none() {
            has_prepared_key(state, spec)?;
        }
        let place = (spec.host.clone(), spec.vmta.clone());
        let goes_elsewhere = place != (current.spec.host.clone(), current.spec.vmta.clone());
        let settings = warmup::settings_of(state, &spec.tenant);
        let mut placed_at = current.placed_at;
        if goes_elsewhere {
            has_room(state)?;
        }
        leave(state, spec.address);
        let mut back = None;
        if goes_elsewhere {
            drain(state, &current, Some(&spec.host), turn);
            // Where it was before and still drains it is as if it had never left.
            back = end_leaving(state, &place);
            let before = back.as_ref().map(|back| back.identity.placed_at);
            placed_at = before.unwrap_or(state.revision + 1);
        }
        let identity = Identity {
            spec: spec.clone(),
            dkim_public: kept.unwrap_or_else(|| take_key(state, &dkim_key)),
            dkim_key,
            added_at: current.added_at,
            placed_at,
            warmup: warmup::carry_over(&current.warmup, &current.spec, spec, &settings, turn.now()),
            life,
            signing: signing(
                spec,
                &current,
                goes_elsewhere,
                (turn.now(), state.revision + 1),
            ),
            restraint: current.restraint.clone(),
        };
        enter(state, identity);
        drop_key(state, &current, turn.now());
        if let Some(back) = back {
            // It may have drained with a key that it does not have any more.
            drop_key(state, &back.identity, turn.now());
        }
        Ok(Change::DONE)
    }
}

/// The declaration with the selector that signs, where it says the one that it said before.
fn as_it_signs(said: &IpSpec, current: &Identity) -> IpSpec {
    let mut spec = said.clone();
    if spec.selector == current.signing.declared {
        spec.selector.clone_from(&current.spec.selector);
    }
    spec
}

/// Mail is signed with a key only once its record was seen: one that may have sent gets another key by a
/// rotation, and another selector with it.
fn keeps_its_key(spec: &IpSpec, current: &Identity) -> Result<(), Rejection> {
    let same_domain = spec.domain == current.spec.domain;
    if !same_domain || spec.selector == current.spec.selector || !current.life.sent_ever {
        return Ok(());
    }
    let (address, now) = (spec.address, &current.spec.selector);
    let accepted = format!(
        "{now}, as it is: of an identity that sent before the selector changes with its key, by \
         `email-engine dkim rotate {address}`, which waits until the new record is seen"
    );
    Err(refuse(WrongState, "selector", &spec.selector, accepted))
}

/// What becomes of its keys: of another name they are others.
fn signing(
    spec: &IpSpec,
    current: &Identity,
    goes_elsewhere: bool,
    (now, revision): (Timestamp, u64),
) -> Signing {
    let mut signing = current.signing.clone();
    let was = &current.spec;
    if (&was.domain, &was.selector) != (&spec.domain, &spec.selector) {
        signing.rotation = None;
        signing.since = now;
        if was.selector != spec.selector {
            signing.declared.clone_from(&spec.selector);
        }
    }
    // The host to which it goes is to say anew what it has.
    if let Some(rotation) = signing.rotation.as_mut().filter(|_| goes_elsewhere) {
        rotation.revision = revision;
    }
    signing
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{IpSpec, IpStatus, Phase};
    use email_engine_protocol::id::{Role, VmtaName};

    use std::sync::Arc;

    use crate::command::fixture::{Fleet, address, domain, host, host_id, identity, tenant};
    use crate::command::{
        AddHost, AddIdentity, ChangeIdentity, Command, CreateTenant, Effect, EndDrain,
        RejectionCode, RetireIdentity,
    };
    use crate::fleet::rotation::RECORD_MILLIS;

    fn change(ip: IpSpec) -> Command {
        Command::ChangeIdentity(ChangeIdentity::of(ip))
    }

    fn with_second_host(identities: u32) -> Fleet {
        let mut fleet = Fleet::with_identities(identities);
        let host = host("pmta2", Role::Powermta, 2);
        fleet.accept(Command::AddHost(AddHost { host }));
        fleet
    }

    #[test]
    fn a_change_of_status_keeps_the_key_and_the_same_again_is_no_change() {
        let mut fleet = Fleet::with_identities(1);
        let mut spec = identity(0);
        let key = fleet.state.dkim_secret(spec.address).cloned();
        spec.status = IpStatus::Quarantine;
        fleet.accept(change(spec.clone()));
        assert_eq!(fleet.state.dkim_secret(spec.address).cloned(), key);
        assert_eq!(fleet.accept(change(spec)).effect, Effect::Unchanged);
    }

    #[test]
    fn another_selector_of_what_never_sent_or_another_domain_takes_another_key_and_the_old_one_goes()
     {
        let mut fleet = Fleet::with_identities(0);
        let mut spec = IpSpec {
            status: IpStatus::Standby,
            phase: Phase::Week1,
            ..identity(0)
        };
        fleet.accept(Command::AddIdentity(AddIdentity::of(spec.clone())));
        let first = fleet.state.dkim_secret(spec.address).cloned().unwrap();
        spec.selector = "mail2".to_owned();
        fleet.accept(change(spec.clone()));
        let second = fleet.state.dkim_secret(spec.address).cloned().unwrap();
        assert_ne!(first.commitment, second.commitment);
        assert!(!fleet.state.secrets.contains_key(&first.id));
        spec.selector = "mail".to_owned();
        fleet.accept(change(spec.clone()));
        let third = fleet.state.dkim_secret(spec.address).unwrap();
        assert_eq!(third.id, first.id);
        assert!(
            third.version > first.version,
            "other bytes under the name, so a later version"
        );
        spec.domain = domain("other.example.com");
        spec.zone = domain("example.com");
        fleet.accept(change(spec));
        assert_eq!(fleet.state.secrets.len(), 1);
    }

    #[test]
    fn the_sole_member_takes_its_pool_to_another_host_and_one_of_two_does_not() {
        let mut fleet = with_second_host(1);
        let mut spec = identity(0);
        spec.host = host_id("pmta2");
        fleet.accept(change(spec.clone()));
        assert_eq!(fleet.state.pools[&spec.pool].host, spec.host);
        let mut fleet = with_second_host(2);
        assert_eq!(fleet.refuse(change(spec)).code, RejectionCode::PoolMismatch);
    }

    #[test]
    fn an_identity_never_changes_its_tenant() {
        let mut fleet = Fleet::with_identities(1);
        let tenant = tenant("client-2");
        let mut spec = identity(0);
        spec.tenant = tenant.id.clone();
        fleet.accept(Command::CreateTenant(CreateTenant { tenant }));
        let rejection = fleet.refuse(change(spec));
        assert_eq!(rejection.code, RejectionCode::ForeignTenant);
    }

    #[test]
    fn the_names_of_another_identity_stay_its_own() {
        let mut fleet = Fleet::with_identities(2);
        let mut spec = identity(0);
        spec.hostname = identity(1).hostname;
        assert_eq!(fleet.refuse(change(spec)).code, RejectionCode::Duplicate);
        assert_eq!(
            fleet.refuse(change(identity(5))).code,
            RejectionCode::NotFound
        );
    }

    #[test]
    fn one_that_moves_drains_where_it_was_and_is_whole_again_when_it_comes_back() {
        let mut fleet = with_second_host(1);
        fleet.accept(fleet.target(&[b"it"]));
        let there = IpSpec {
            host: host_id("pmta2"),
            ..identity(0)
        };
        fleet.accept(change(there));
        let old = host_id("pmta1");
        assert_eq!(fleet.state.leaving_on(&old).count(), 1);
        assert_eq!(fleet.state.secrets.len(), 1, "one key at both places");
        fleet.accept(change(identity(0)));
        assert!(fleet.state.leaving.is_empty());
        assert_eq!(fleet.state.identities_on(&old).count(), 1);
    }

    #[test]
    fn one_that_comes_back_with_another_key_leaves_none_that_is_nobodys() {
        let mut fleet = with_second_host(1);
        fleet.accept(fleet.target(&[b"it"]));
        let mut spec = IpSpec {
            host: host_id("pmta2"),
            domain: domain("other.example.com"),
            zone: domain("example.com"),
            ..identity(0)
        };
        fleet.accept(change(spec.clone()));
        assert_eq!(
            fleet.state.secrets.len(),
            2,
            "the old place signs as before"
        );
        spec.host = host_id("pmta1");
        fleet.accept(change(spec));
        assert!(fleet.state.leaving.is_empty());
        assert_eq!(fleet.state.secrets.len(), 1);
    }

    #[test]
    fn a_key_that_signed_at_the_second_place_leaves_its_record_when_the_first_ends_last() {
        let mut fleet = with_second_host(1);
        let sent = |fleet: &mut Fleet, ever: bool| {
            let row = fleet.state.identities.get_mut(&address(0)).unwrap();
            Arc::make_mut(row).life.sent_ever = ever;
        };
        sent(&mut fleet, false);
        fleet.accept(fleet.target(&[b"it"]));
        fleet.accept(change(IpSpec {
            host: host_id("pmta2"),
            ..identity(0)
        }));
        sent(&mut fleet, true);
        let retire = RetireIdentity {
            address: address(0),
        };
        fleet.accept(Command::RetireIdentity(retire));
        assert_eq!(
            (fleet.state.leaving.len(), fleet.state.departed.len()),
            (1, 0)
        );
        fleet.accept(fleet.target(&[b"without"]));
        let end = EndDrain {
            host: host_id("pmta1"),
            generation: fleet.state.targets[&host_id("pmta1")].generation,
            vmtas: [identity(0).vmta].into(),
        };
        fleet.accept(Command::EndDrain(end));
        assert!(fleet.state.secrets.is_empty());
        let ((until, _), _) = fleet.state.departed.first_key_value().unwrap();
        assert_eq!(*until, fleet.state.now.plus(RECORD_MILLIS));
    }

    #[test]
    fn a_virtual_mta_is_not_renamed_over_what_another_left() {
        let mut fleet = with_second_host(2);
        fleet.accept(fleet.target(&[b"both"]));
        let renamed = |at: u32, name: &str| IpSpec {
            vmta: VmtaName::new(name).unwrap(),
            ..identity(at)
        };
        fleet.accept(change(renamed(0, "vmta-new")));
        assert_eq!(fleet.state.leaving.len(), 1, "the old name drains");
        let old = identity(0).vmta;
        let rejection = fleet.refuse(change(renamed(1, old.as_str())));
        assert_eq!(
            (rejection.code, &*rejection.field),
            (RejectionCode::Duplicate, "vmta")
        );
        fleet.accept(change(identity(0)));
        // Its own old name is its own again; the new one never was on the host.
        assert!(fleet.state.leaving.is_empty());
    }
}
