//! `retire-host`.

use email_engine_protocol::time::Timestamp;

use super::cut_off::cut_off;
use crate::command::RejectionCode::{InUse, Limit};
use crate::command::access::revoke_tokens;
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, RetireHost};
use crate::state::{FleetState, HostLifecycle};

/// Longest time for confirming a wipe.
const GRACE_MILLIS: u64 = 30 * Timestamp::DAY;

impl Verb for RetireHost {
    fn name(&self) -> &'static str {
        "retire-host"
    }

    fn object(&self) -> String {
        format!("host {}", self.host)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(host) = state.hosts.get(&self.host) else {
            return Err(not_found("host", &self.host, "host"));
        };
        let lifecycle = host.lifecycle;
        if !host.takes_work() {
            return Ok(Change::NONE);
        }
        if self.grace_millis > GRACE_MILLIS {
            let accepted = format!("at most {GRACE_MILLIS} (30 days)");
            return Err(refuse(Limit, "grace_millis", &self.grace_millis, accepted));
        }
        let placed = state.identities_on(&self.host).count();
        if placed > 0 {
            let accepted =
                format!("a host without identities; move or retire its {placed} identities first");
            return Err(refuse(InUse, "host", &self.host, accepted));
        }
        let draining = state.leaving_on(&self.host).count();
        if draining > 0 {
            let accepted = format!(
                "a host on which nothing drains; {draining} identities that left it have queues there: \
                 wait, or give them up (`email-engine ips remove ADDRESS --now`)"
            );
            return Err(refuse(InUse, "host", &self.host, accepted));
        }
        // Where no agent ever was there is nothing to wipe and nobody to confirm it.
        if lifecycle == HostLifecycle::Declared {
            cut_off(state, &self.host, turn);
            return Ok(Change::DONE);
        }
        let deadline = turn.now().plus(self.grace_millis);
        if let Some(host) = state.hosts.get_mut(&self.host) {
            host.lifecycle = HostLifecycle::Retiring { deadline };
            // The wipe removes nearly everything, which the operator asked for.
            host.large_removal = true;
        }
        revoke_tokens(state, &self.host);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, address, host_id};
    use crate::command::{Command, Effect, RejectionCode, RetireHost, RetireIdentity};
    use crate::state::HostLifecycle;

    fn retire(grace_millis: u64) -> Command {
        let host = host_id("pmta1");
        Command::RetireHost(RetireHost { host, grace_millis })
    }

    #[test]
    fn a_host_with_identities_is_in_use() {
        let mut fleet = Fleet::with_identities(2);
        let rejection = fleet.refuse(retire(1000));
        assert_eq!(rejection.code, RejectionCode::InUse);
        assert!(
            rejection.accepted.contains("its 2 identities"),
            "{rejection}"
        );
        for at in 0..2 {
            fleet.accept(Command::RetireIdentity(RetireIdentity {
                address: address(at),
            }));
        }
        fleet.accept(retire(1000));
        assert!(matches!(
            fleet.state.hosts[&host_id("pmta1")].lifecycle,
            HostLifecycle::Retiring { .. }
        ));
        assert_eq!(fleet.accept(retire(1000)).effect, Effect::Unchanged);
    }

    #[test]
    fn a_host_that_no_agent_joined_is_cut_off_at_once() {
        let mut fleet = Fleet::with_declared_host();
        fleet.accept(retire(1000));
        assert!(fleet.state.hosts[&host_id("pmta1")].is_retired());
    }

    #[test]
    fn nobody_gets_a_year_for_wiping() {
        let rejection = Fleet::with_identities(0).refuse(retire(u64::MAX));
        assert_eq!(rejection.code, RejectionCode::Limit);
    }
}
