//! `tell-time`: the fleet's clock goes on although nobody changes anything.
//!
//! A step of up to a day is nothing to remark. A longer one, after a long stop, is what the clock gate
//! exists to refuse; it is let through when a majority of the voters tell the same time, and it enters
//! the audit with their numbers. One node whose clock is wrong cannot bring that majority together.

use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{CLOCK_AHEAD_MILLIS, Effect, Rejection, RejectionCode, TellTime};
use crate::state::FleetState;

/// How far two clocks may differ and still tell the same time.
pub(crate) const AGREEMENT_MILLIS: u64 = 30_000;

impl TellTime {
    /// Whether a majority of the voters tell the proposer's time.
    pub(crate) fn is_agreed(&self, state: &FleetState) -> bool {
        let agrees = |off: &i64| off.unsigned_abs() <= AGREEMENT_MILLIS;
        let (mut voters, mut agreeing) = (0, 0);
        for voter in state.voters() {
            voters += 1;
            agreeing += usize::from(self.clocks.get(&voter.id).is_some_and(agrees));
        }
        agreeing > voters / 2
    }
}

impl Verb for TellTime {
    fn name(&self) -> &'static str {
        "tell-time"
    }

    fn object(&self) -> String {
        let clocks: Vec<String> = self
            .clocks
            .iter()
            .map(|(node, off)| format!("node {node} {off:+} ms"))
            .collect();
        format!("the fleet's clock: {}", clocks.join(", "))
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if turn.now() <= state.now.plus(CLOCK_AHEAD_MILLIS) {
            return Ok(Change::Kept(Effect::Done));
        }
        if !self.is_agreed(state) {
            let accepted = "clocks of a majority of the voters within 30 s of the proposer's";
            let told = self.object();
            return Err(refuse(RejectionCode::Clock, "clocks", &told, accepted));
        }
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use email_engine_protocol::api::MemberRole;
    use email_engine_protocol::id::NodeId;
    use email_engine_protocol::time::Timestamp;

    use crate::command::fixture::{Fleet, node_token, redeem_node};
    use crate::command::{Batch, Command, RejectionCode, SetNode, TellTime};

    fn tell(clocks: &[(u64, i64)]) -> Command {
        let clocks = clocks.iter().map(|(node, off)| (NodeId(*node), *off));
        Command::TellTime(TellTime {
            clocks: clocks.collect(),
        })
    }

    fn with_three_voters() -> Fleet {
        let mut fleet = Fleet::founded();
        for at in 2..=3 {
            let token = format!("n{at}");
            fleet.accept(Command::IssueToken(node_token(&token)));
            fleet.accept(redeem_node(&token, at));
            fleet.accept(Command::SetNode(SetNode {
                node: NodeId(at.into()),
                role: MemberRole::Voter,
                endpoints: None,
                supports_version: None,
            }));
        }
        fleet
    }

    #[test]
    fn a_step_within_a_day_moves_the_clock_and_nothing_else() {
        let mut fleet = Fleet::founded();
        let (revision, audit) = (fleet.state.revision, fleet.state.audit.len());
        fleet.wait(Timestamp::DAY / 2);
        fleet.accept(tell(&[]));
        assert_eq!(fleet.state.now, fleet.now());
        assert_eq!(fleet.state.revision, revision);
        assert_eq!(fleet.state.audit.len(), audit);
    }

    #[test]
    fn a_week_is_let_through_when_a_majority_tells_the_time_and_is_audited() {
        let mut fleet = with_three_voters();
        fleet.wait(7 * Timestamp::DAY);
        let week = i64::try_from(7 * Timestamp::DAY).unwrap();
        for too_few in [
            tell(&[]),
            tell(&[(1, 0)]),
            tell(&[(1, 0), (2, -week), (3, -week)]),
            tell(&[(1, 0), (2, 30_001)]),
            tell(&[(1, 0), (8, 0), (9, 0)]),
        ] {
            assert_eq!(fleet.refuse(too_few).code, RejectionCode::Clock);
        }
        fleet.accept(tell(&[(1, 0), (3, -30_000)]));
        assert_eq!(fleet.state.now, fleet.now());
        let entry = fleet.state.audit.last().unwrap();
        assert_eq!(entry.command, "tell-time");
        assert!(entry.object.ends_with("node 1 +0 ms, node 3 -30000 ms"));
        let tenant = crate::command::fixture::tenant("client-1");
        fleet.accept(Command::CreateTenant(crate::command::CreateTenant {
            tenant,
        }));
    }

    #[test]
    fn a_single_node_has_its_own_clock_and_a_batch_is_no_way_around_the_gate() {
        let mut fleet = Fleet::founded();
        fleet.wait(7 * Timestamp::DAY);
        let inside = Command::Batch(Batch {
            base_revision: None,
            commands: vec![tell(&[(1, 0)])],
        });
        assert_eq!(fleet.refuse(inside).code, RejectionCode::Clock);
        fleet.accept(tell(&[(1, 0)]));
        let empty = BTreeMap::new();
        fleet.accept(Command::TellTime(TellTime { clocks: empty }));
    }
}
