//! `allow-restart`.

use super::check::at_work;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{AllowRestart, Rejection};
use crate::state::{FleetState, RestartAllowed};

impl Verb for AllowRestart {
    fn name(&self) -> &'static str {
        "allow-restart"
    }

    fn object(&self) -> String {
        format!("host {}", self.host)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_work(state, "host", &self.host)?;
        let allowed = RestartAllowed {
            lines: self.lines,
            // The number that this change gets: what was planned before it does not count.
            revision: state.revision + 1,
        };
        state.restart_allowed.insert(self.host.clone(), allowed);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::observed::Convergence;

    use crate::command::fixture::{Fleet, host_id, outcome};
    use crate::command::{AllowRestart, Command, RecordOutcome, RejectionCode};

    fn allow(host: &str) -> Command {
        Command::AllowRestart(AllowRestart {
            host: host_id(host),
            lines: ContentHash([7; 32]),
        })
    }

    fn report(fleet: &mut Fleet, number: u64) {
        let mut outcome = outcome(number);
        outcome.convergence = Convergence::Converged;
        let host = host_id("pmta1");
        fleet.accept(Command::RecordOutcome(RecordOutcome { host, outcome }));
    }

    #[test]
    fn it_is_for_these_lines_and_until_the_host_has_converged_on_a_target_of_after_it() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(fleet.target(&[b"one"]));
        fleet.accept(allow("pmta1"));
        let allowed = |fleet: &Fleet| {
            let allowed = fleet.state.restart_allowed.get(&host_id("pmta1"));
            allowed.map(|allowed| allowed.lines)
        };
        report(&mut fleet, 1);
        assert_eq!(allowed(&fleet), Some(ContentHash([7; 32])));
        fleet.accept(fleet.target(&[b"two"]));
        report(&mut fleet, 2);
        assert_eq!(allowed(&fleet), None);
    }

    #[test]
    fn an_unknown_host_is_refused() {
        let mut fleet = Fleet::with_identities(0);
        assert_eq!(fleet.refuse(allow("nowhere")).code, RejectionCode::NotFound);
    }
}
