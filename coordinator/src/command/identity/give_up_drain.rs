//! `give-up-drain`.

use super::roster::{defer_allowance, drop_key, end_leaving};
use crate::command::refuse::not_found;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{GiveUpDrain, Rejection};
use crate::state::{FleetState, GivenUp, Leaving};

impl Verb for GiveUpDrain {
    fn name(&self) -> &'static str {
        "give-up-drain"
    }

    fn object(&self) -> String {
        let left = self.messages.map_or_else(
            || "what is in its queue".to_owned(),
            |messages| format!("{messages} messages in its queue"),
        );
        format!("ip {} with {left}", self.address)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let places: Vec<_> = state
            .leaving_from(self.address)
            .map(|one| Leaving::place(one))
            .collect();
        if places.is_empty() {
            return Err(not_found("address", &self.address, "identity that drains"));
        }
        for place in places {
            if let Some(gone) = end_leaving(state, &place) {
                drop_key(state, &gone.identity, turn.now());
                let (host, vmta) = place;
                let given_up = GivenUp {
                    address: self.address,
                    revision: state.revision + 1,
                };
                defer_allowance(state, &host);
                let names = state.given_up.or_default(&host);
                names.insert(vmta, given_up);
            }
        }
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::observed::Convergence;

    use crate::command::fixture::{Fleet, address, host_id, identity, outcome};
    use crate::command::{
        AddIdentity, Command, GiveUpDrain, RecordOutcome, RejectionCode, RetireIdentity,
    };

    fn give_up() -> Command {
        Command::GiveUpDrain(GiveUpDrain {
            address: address(0),
            messages: Some(3),
        })
    }

    fn given_up() -> Fleet {
        let mut fleet = Fleet::with_identities(2);
        fleet.accept(fleet.target(&[b"with it"]));
        assert_eq!(fleet.refuse(give_up()).code, RejectionCode::NotFound);
        fleet.accept(Command::RetireIdentity(RetireIdentity {
            address: address(0),
        }));
        fleet.accept(give_up());
        fleet
    }

    #[test]
    fn names_and_key_are_free_at_once_and_the_host_is_told_until_it_has_converged() {
        let mut fleet = given_up();
        let object = &fleet.state.audit.last().unwrap().object;
        assert_eq!(object, "ip 192.0.2.1 with 3 messages in its queue");
        assert_eq!(
            (fleet.state.leaving.len(), fleet.state.secrets.len()),
            (0, 1)
        );
        let host = host_id("pmta1");
        assert!(
            fleet
                .state
                .given_up_on(&host)
                .unwrap()
                .contains_key(&identity(0).vmta)
        );
        fleet.accept(fleet.target(&[b"without it"]));
        let mut seen = outcome(2);
        seen.convergence = Convergence::Converged;
        fleet.accept(Command::RecordOutcome(RecordOutcome {
            host: host.clone(),
            outcome: seen,
        }));
        assert_eq!(fleet.state.given_up_on(&host), None);
    }

    #[test]
    fn its_name_is_nobody_elses_before_the_host_has_dropped_it() {
        let mut fleet = given_up();
        let mut other = identity(5);
        other.vmta = identity(0).vmta;
        let add = || Command::AddIdentity(AddIdentity::of(other.clone()));
        let refused = fleet.refuse(add());
        assert_eq!(
            (refused.code, &*refused.field),
            (RejectionCode::Duplicate, "vmta")
        );
        fleet.accept(fleet.target(&[b"without it"]));
        let mut seen = outcome(2);
        seen.convergence = Convergence::Converged;
        fleet.accept(Command::RecordOutcome(RecordOutcome {
            host: host_id("pmta1"),
            outcome: seen,
        }));
        fleet.accept(add());
    }

    #[test]
    fn one_that_is_added_again_is_given_up_no_more() {
        let mut fleet = given_up();
        fleet.accept(Command::AddIdentity(AddIdentity::of(identity(0))));
        assert_eq!(fleet.state.given_up_on(&host_id("pmta1")), None);
    }
}
