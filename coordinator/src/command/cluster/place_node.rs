//! `place-node`.
//!
//! A node says where it is reached and what it supports, as often as that changes. Its part in Raft is
//! others' business and not in here: a node that lags cannot take its own vote back, and one whose fleet
//! moves all the time is not refused for that.

use email_engine_protocol::api::MemberRole;

use super::set_node::check_place;
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{PlaceNode, Rejection};
use crate::state::{FleetState, Node};

impl Verb for PlaceNode {
    fn name(&self) -> &'static str {
        "place-node"
    }

    fn object(&self) -> String {
        format!("node {}", self.node)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(current) = state.nodes.get(&self.node) else {
            return Err(not_found("node", &self.node, "node"));
        };
        if current.role == MemberRole::Removed {
            let accepted = "a node that was not removed; a removed number is never used again";
            return Err(refuse(WrongState, "node", &self.node, accepted));
        }
        let (raft, agent, api) = self.endpoints.clone();
        let next = Node {
            raft_endpoint: raft,
            agent_endpoint: agent,
            api_endpoint: api,
            supports_version: self.supports_version,
            ..current.clone()
        };
        if next == *current {
            return Ok(Change::NONE);
        }
        check_place(state, &next)?;
        state.nodes.insert(self.node, next);
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::MemberRole;
    use email_engine_protocol::id::NodeId;

    use crate::command::fixture::{Fleet, node_token, redeem_node};
    use crate::command::{Command, Effect, PlaceNode, RejectionCode, SetNode};

    fn place(node: u64, port: u16) -> PlaceNode {
        let endpoint = || format!("192.0.2.9:{port}");
        PlaceNode {
            node: NodeId(node),
            endpoints: (endpoint(), endpoint(), endpoint()),
            supports_version: 1,
        }
    }

    fn set_role(role: MemberRole) -> Command {
        Command::SetNode(SetNode {
            node: NodeId(2),
            role,
            endpoints: None,
            supports_version: None,
        })
    }

    #[test]
    fn a_node_that_moves_keeps_whatever_part_it_has_by_then() {
        let mut fleet = Fleet::founded();
        fleet.accept(Command::IssueToken(node_token("n1")));
        fleet.accept(redeem_node("n1", 1));
        // Made while it was a learner, applied after it got its vote and the fleet moved on.
        let late = Command::PlaceNode(place(2, 7000));
        fleet.accept(set_role(MemberRole::Voter));
        fleet.accept(Command::IssueToken(node_token("n2")));
        fleet.accept(late.clone());
        let node = &fleet.state.nodes[&NodeId(2)];
        assert_eq!(node.role, MemberRole::Voter);
        assert_eq!(node.api_endpoint, "192.0.2.9:7000");
        assert_eq!(fleet.accept(late).effect, Effect::Unchanged);
        fleet.accept(set_role(MemberRole::Removed));
        let gone = fleet.refuse(Command::PlaceNode(place(2, 7001)));
        assert_eq!(gone.code, RejectionCode::WrongState);
    }

    #[test]
    fn what_cannot_be_reached_or_used_is_refused() {
        let mut fleet = Fleet::founded();
        let refused = |fleet: &mut Fleet, place| fleet.refuse(Command::PlaceNode(place));
        let unknown = refused(&mut fleet, place(9, 7000));
        assert_eq!(unknown.code, RejectionCode::NotFound);
        let mut nonsense = place(1, 7000);
        nonsense.endpoints.1 = "nonsense".to_owned();
        assert_eq!(refused(&mut fleet, nonsense).field, "endpoints.agent");
        let mut old = place(1, 7000);
        old.supports_version = 0;
        assert_eq!(refused(&mut fleet, old).code, RejectionCode::Version);
    }
}
