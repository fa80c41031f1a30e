//! `record-outcome`.

use email_engine_protocol::id::HostId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::Convergence;

use crate::alerts::rules::refused;
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{RecordOutcome, Rejection};
use crate::state::{FleetState, Outcome};

impl Verb for RecordOutcome {
    fn name(&self) -> &'static str {
        "record-outcome"
    }

    fn object(&self) -> String {
        format!("host {}", self.host)
    }

    fn is_change_of_fleet(&self) -> bool {
        false
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(host) = state.live_host(&self.host) else {
            return Err(not_found("host", &self.host, "host"));
        };
        if host.keys.is_none() {
            let accepted = "a host whose agent has enrolled";
            return Err(refuse(WrongState, "host", &self.host, accepted));
        }
        if let Some(attempt) = &self.outcome.attempted {
            at_most(
                "outcome.attempted.reason",
                attempt.reason.len(),
                limits::REASON_BYTES,
            )?;
        }
        let now = turn.now();
        let same = state.outcomes.get(&self.host).is_some_and(|last| {
            let dated = Outcome {
                changed_at: last.changed_at,
                ..self.outcome.clone()
            };
            dated == *last
        });
        if same {
            return Ok(Change::NONE);
        }
        let outcome = Outcome {
            changed_at: now,
            ..self.outcome.clone()
        };
        end_allowance(state, &self.host, &outcome);
        state.outcomes.insert(self.host.clone(), outcome);
        if let Some(refused) = refused(state, &self.host) {
            state.raise(refused, now);
        }
        Ok(Change::DONE)
    }
}

/// What an operator allowed, a removal or a restart, is done once the host has converged on a target
/// that was planned after that; the next one needs a word of its own.
fn end_allowance(state: &mut FleetState, host: &HostId, outcome: &Outcome) {
    let is_done = |allowed: u64| {
        state.targets.get(host).is_some_and(|target| {
            target.planned_from >= allowed
                && outcome.running == Some(target.generation)
                && outcome.convergence == Convergence::Converged
        })
    };
    let restarted = state.restart_allowed.get(host);
    let restarted = restarted.is_some_and(|allowed| is_done(allowed.revision));
    if let Some(names) = state.given_up.get(host) {
        let mut names = names.clone();
        names.retain(|_, given_up| !is_done(given_up.revision));
        if names.is_empty() {
            state.given_up.remove(host);
        } else {
            state.given_up.insert(host.clone(), names);
        }
    }
    let removed = state.removal_allowed.get(host);
    // What drains goes later, and with it much of what the word was for.
    let drained = state.leaving_on(host).next().is_none();
    let removed = drained && removed.is_some_and(|allowed| is_done(*allowed));
    if restarted {
        state.restart_allowed.remove(host);
    }
    if removed {
        state.removal_allowed.remove(host);
        if let Some(row) = state.hosts.get_mut(host) {
            row.large_removal = !row.takes_work();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::fixture::{Fleet, SECOND, host_id, outcome};
    use crate::command::{Command, Effect, RecordOutcome, RejectionCode};

    fn record(host: &str, number: u64) -> Command {
        Command::RecordOutcome(RecordOutcome {
            host: host_id(host),
            outcome: outcome(number),
        })
    }

    #[test]
    fn an_outcome_is_kept_without_revision_audit_or_memory() {
        let mut fleet = Fleet::with_identities(0);
        let before = fleet.state.clone();
        let answer = fleet.accept(record("pmta1", 1));
        assert_eq!(
            (answer.effect, answer.revision),
            (Effect::Done, before.revision)
        );
        let after = &fleet.state;
        assert_eq!(after.audit, before.audit);
        assert_eq!(after.remembered, before.remembered);
        assert_eq!(after.outcomes[&host_id("pmta1")].changed_at, after.now);
    }

    #[test]
    fn the_same_outcome_later_is_no_change() {
        let mut fleet = Fleet::with_identities(0);
        fleet.accept(record("pmta1", 1));
        let first = fleet.state.outcomes.clone();
        fleet.wait(SECOND);
        assert_eq!(fleet.accept(record("pmta1", 1)).effect, Effect::Unchanged);
        assert_eq!(fleet.state.outcomes, first);
        assert_eq!(fleet.accept(record("pmta1", 2)).effect, Effect::Done);
    }

    #[test]
    fn unknown_hosts_and_hosts_without_an_agent_have_no_outcome() {
        let mut fleet = Fleet::with_declared_host();
        assert_eq!(
            fleet.refuse(record("nobody", 1)).code,
            RejectionCode::NotFound
        );
        assert_eq!(
            fleet.refuse(record("pmta1", 1)).code,
            RejectionCode::WrongState
        );
    }
}
