//! `end-drain`.

use email_engine_protocol::limits;

use super::roster::{defer_allowance, drop_key, end_leaving};
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{EndDrain, Rejection};
use crate::state::FleetState;

impl Verb for EndDrain {
    fn name(&self) -> &'static str {
        "end-drain"
    }

    fn object(&self) -> String {
        let vmtas: Vec<_> = self.vmtas.iter().map(ToString::to_string).collect();
        format!("{} on host {}", vmtas.join(" "), self.host)
    }

    /// What was said of another target than the current one says nothing of a virtual MTA that may
    /// have come back since. One that does not drain there is no error: it was said before.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("vmtas", self.vmtas.len(), limits::DRAINS_PER_REPORT)?;
        let Some(target) = state.targets.get(&self.host) else {
            return Err(not_found("host", &self.host, "host with a target"));
        };
        if target.generation != self.generation {
            let accepted = format!("the host's target, {}", target.generation);
            return Err(refuse(WrongState, "generation", &self.generation, accepted));
        }
        let known = target.planned_from;
        let mut change = Change::NONE;
        for vmta in &self.vmtas {
            let place = (self.host.clone(), vmta.clone());
            let leaving = state.leaving.get(&place);
            if leaving.is_none_or(|leaving| leaving.revision > known) {
                continue;
            }
            if let Some(gone) = end_leaving(state, &place) {
                drop_key(state, &gone.identity, turn.now());
                change = Change::DONE;
            }
        }
        if matches!(change, Change::Made(_)) {
            defer_allowance(state, &self.host);
        }
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::generation::Generation;

    use crate::command::fixture::{Fleet, address, host_id, identity};
    use crate::command::{AddIdentity, Command, Effect, EndDrain, RejectionCode, RetireIdentity};

    fn end(number: u64) -> Command {
        Command::EndDrain(EndDrain {
            host: host_id("pmta1"),
            generation: Generation { epoch: 1, number },
            vmtas: [identity(0).vmta].into(),
        })
    }

    /// One of two identities was on its host and was retired.
    fn draining() -> Fleet {
        let mut fleet = Fleet::with_identities(2);
        fleet.accept(fleet.target(&[b"with it"]));
        fleet.accept(Command::RetireIdentity(RetireIdentity {
            address: address(0),
        }));
        fleet
    }

    #[test]
    fn it_ends_once_by_what_is_said_of_a_target_that_knows_of_it() {
        let mut fleet = draining();
        assert_eq!(
            (fleet.state.leaving.len(), fleet.state.secrets.len()),
            (1, 2)
        );
        // The target is from before it left.
        assert_eq!(fleet.accept(end(1)).effect, Effect::Unchanged);
        fleet.accept(fleet.target(&[b"it drains"]));
        let rejection = fleet.refuse(end(1));
        assert_eq!(rejection.code, RejectionCode::WrongState);
        assert_eq!(fleet.accept(end(2)).effect, Effect::Done);
        assert_eq!(
            (fleet.state.leaving.len(), fleet.state.secrets.len()),
            (0, 1)
        );
        assert_eq!(fleet.accept(end(2)).effect, Effect::Unchanged);
        // Everything that it claimed is free again.
        fleet.accept(Command::AddIdentity(AddIdentity::of(identity(0))));
    }

    #[test]
    fn one_that_came_back_is_not_ended() {
        let mut fleet = draining();
        fleet.accept(fleet.target(&[b"it drains"]));
        fleet.accept(Command::AddIdentity(AddIdentity::of(identity(0))));
        assert_eq!(fleet.accept(end(2)).effect, Effect::Unchanged);
        assert!(fleet.state.dkim_secret(address(0)).is_some());
    }
}
