//! Members of a transaction are made right by it alone, all in one turn. Pure: corrects what was
//! decided about each of them by itself.

use std::collections::BTreeMap;

use email_engine_protocol::desired::HostConfig;
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::ResourceState;

use super::order::Order;
use super::plan::Decision;
use crate::transaction::Turn;

/// The turns of the transactions of a state.
pub(super) type Turns = BTreeMap<ResourceId, Turn>;

/// Corrects the decisions about members, and those about their transactions.
pub(super) fn bind(
    config: &HostConfig,
    order: &Order,
    turns: &mut Turns,
    decisions: &mut [Decision],
) {
    for (at, members) in &order.members {
        let id = &config.resources[*at].id;
        let made = members.iter().find_map(|member| match &decisions[*member] {
            Decision::Make { diff, .. } => Some(diff.clone()),
            Decision::Leave(_) => None,
        });
        let Some(turn) = turns.get_mut(id) else {
            continue;
        };
        if let (Turn::Rest, true, Some(diff)) = (&turn, is_right(&decisions[*at]), made) {
            // It was found right, but perhaps somewhere else: its folder is made again.
            *turn = Turn::Repair;
            decisions[*at] = Decision::Make {
                diff,
                repair: false,
            };
        }
        let turn = &*turn;
        let contested = members
            .iter()
            .find(|member| is_contested(&decisions[**member]));
        if let (Turn::Repair, Some(member)) = (turn, contested)
            && matches!(decisions[*at], Decision::Make { .. })
        {
            let member = &config.resources[*member].id;
            let text = format!("waits for {member}, which somebody fights for");
            decisions[*at] = Decision::Leave(ResourceState::Drifted(text));
        }
        let is_made = matches!(decisions[*at], Decision::Make { .. });
        for member in members {
            let decision = &mut decisions[*member];
            match (turn, is_made, &decision) {
                // All that differ change, whoever fights for one of them.
                (Turn::Change, true, Decision::Leave(ResourceState::Drifted(diff))) => {
                    let diff = diff.clone();
                    *decision = Decision::Make {
                        diff,
                        repair: false,
                    };
                }
                (_, false, Decision::Make { diff, .. }) => {
                    *decision = Decision::Leave(ResourceState::Drifted(diff.clone()));
                }
                _ => {}
            }
        }
    }
}

fn is_right(decision: &Decision) -> bool {
    matches!(
        decision,
        Decision::Leave(state) if state.is_right()
    )
}

fn is_contested(decision: &Decision) -> bool {
    matches!(decision, Decision::Leave(ResourceState::Drifted(_)))
}

#[cfg(test)]
mod tests {
    use super::super::order::order;
    use super::super::plan::tests::{config, file};
    use super::*;
    use crate::transaction::tests::pair;

    fn make(diff: &str, repair: bool) -> Decision {
        Decision::Make {
            diff: diff.to_owned(),
            repair,
        }
    }

    fn drifted(text: &str) -> Decision {
        Decision::Leave(ResourceState::Drifted(text.to_owned()))
    }

    /// Decisions about two members and their transaction, bound.
    fn bound(turn: Turn, decisions: [Decision; 3]) -> [Decision; 3] {
        let state = config(vec![file("/a"), file("/b"), pair(&["/a", "/b"])]);
        let order = order(&state.resources).unwrap();
        let mut turns = Turns::from([(pair(&[]).id, turn)]);
        let mut decisions = decisions;
        bind(&state, &order, &mut turns, &mut decisions);
        decisions
    }

    #[test]
    fn members_change_when_their_transaction_does_and_not_by_themselves() {
        let right = || Decision::Leave(ResourceState::Converged);
        let change = [
            make("content", false),
            right(),
            make("shall go live", false),
        ];
        assert_eq!(bound(Turn::Change, change.clone()), change);
        let held = || drifted("held");
        let left = bound(Turn::Rest, [make("content", true), right(), held()]);
        assert_eq!(left, [drifted("content"), right(), held()]);
        let again = make("its folder is made again", false);
        let moved = bound(Turn::Rest, [again.clone(), right(), right()]);
        assert_eq!(moved, [again.clone(), right(), again]);
        let stuck = bound(
            Turn::Stuck,
            [make("content", true), right(), drifted("stuck")],
        );
        assert_eq!(stuck[0], drifted("content"));
    }

    #[test]
    fn one_member_that_is_fought_for_puts_off_the_repair_of_all_and_no_change() {
        let fought = || {
            [
                drifted("contested"),
                make("mode", true),
                make("differs", true),
            ]
        };
        let repair = bound(Turn::Repair, fought());
        let waits = "waits for file:/a, which somebody fights for";
        assert_eq!(
            repair,
            [drifted("contested"), drifted("mode"), drifted(waits)]
        );
        let change = bound(Turn::Change, fought());
        assert_eq!(change[0], make("contested", false));
        assert_eq!(change[2], make("differs", true));
    }
}
