//! `allow-removal`.

use super::check::at_work;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{AllowRemoval, Rejection};
use crate::state::FleetState;

impl Verb for AllowRemoval {
    fn name(&self) -> &'static str {
        "allow-removal"
    }

    fn object(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        format!("hosts {}", hosts.join(", "))
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        for host in &self.hosts {
            at_work(state, "hosts", host)?;
        }
        if self.hosts.is_empty() {
            return Ok(Change::NONE);
        }
        // The number that this change gets: what was planned before it does not count.
        let revision = state.revision + 1;
        for id in &self.hosts {
            if let Some(host) = state.hosts.get_mut(id) {
                host.large_removal = true;
            }
            state.removal_allowed.insert(id.clone(), revision);
        }
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use email_engine_protocol::observed::Convergence;

    use crate::command::fixture::{Fleet, host_id, outcome};
    use crate::command::{AllowRemoval, Command, RecordOutcome, RejectionCode};

    fn allow(host: &str) -> Command {
        let hosts = BTreeSet::from([host_id(host)]);
        Command::AllowRemoval(AllowRemoval { hosts })
    }

    fn report(fleet: &mut Fleet, number: u64) {
        let mut outcome = outcome(number);
        outcome.convergence = Convergence::Converged;
        let host = host_id("pmta1");
        fleet.accept(Command::RecordOutcome(RecordOutcome { host, outcome }));
    }

    #[test]
    fn it_lasts_until_the_host_has_converged_on_a_target_that_was_set_after_it() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(fleet.target(&[b"one"]));
        fleet.accept(allow("pmta1"));
        let allowed = |fleet: &Fleet| fleet.state.hosts[&host_id("pmta1")].large_removal;
        report(&mut fleet, 1);
        assert!(allowed(&fleet), "the target of before was converged on");
        fleet.accept(fleet.target(&[b"two"]));
        report(&mut fleet, 2);
        assert!(!allowed(&fleet));
        // Planned before and set after: it knows nothing of the word.
        let early = fleet.target(&[b"three"]);
        fleet.accept(allow("pmta1"));
        fleet.accept(early);
        report(&mut fleet, 3);
        assert!(allowed(&fleet));
    }

    #[test]
    fn a_target_is_never_planned_from_what_is_yet_to_come() {
        let mut fleet = Fleet::with_identities(0);
        let Command::SetTargets(mut set) = fleet.target(&[b"one"]) else {
            unreachable!("it is one")
        };
        set.targets[0].planned_from += 1;
        let refused = fleet.refuse(Command::SetTargets(set));
        assert_eq!(refused.field, "planned_from");
    }

    #[test]
    fn unknown_hosts_are_refused() {
        let mut fleet = Fleet::with_identities(0);
        assert_eq!(fleet.refuse(allow("nowhere")).code, RejectionCode::NotFound);
    }
}
