//! `set-node`.

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::id::NodeId;

use crate::command::RejectionCode::{InUse, Version, WrongState};
use crate::command::access::revoke_certificates;
use crate::command::refuse::{endpoint, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Rejection, SetNode};
use crate::state::{CertificateSubject, FleetState, Node};

impl Verb for SetNode {
    fn name(&self) -> &'static str {
        "set-node"
    }

    fn object(&self) -> String {
        format!("node {} ({:?})", self.node, self.role).to_lowercase()
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(current) = state.nodes.get(&self.node) else {
            return Err(not_found("node", &self.node, "node"));
        };
        let next = self.changed(current);
        if next == *current {
            return Ok(Change::NONE);
        }
        if current.role == MemberRole::Removed {
            let accepted = "a node that was not removed; a removed number is never used again";
            return Err(refuse(WrongState, "node", &self.node, accepted));
        }
        self.check(state, current, &next)?;
        if next.role == MemberRole::Removed {
            revoke_certificates(state, &CertificateSubject::Node(self.node), None);
        }
        state.nodes.insert(self.node, next);
        Ok(Change::DONE)
    }
}

impl SetNode {
    /// Another part of a node in the cluster, and nothing else of it.
    #[must_use]
    pub const fn role(node: NodeId, role: MemberRole) -> Self {
        Self {
            node,
            role,
            endpoints: None,
            supports_version: None,
        }
    }

    fn changed(&self, current: &Node) -> Node {
        let mut next = current.clone();
        next.role = self.role;
        if let Some((raft, agent, api)) = &self.endpoints {
            next.raft_endpoint = raft.clone();
            next.agent_endpoint = agent.clone();
            next.api_endpoint = api.clone();
        }
        if let Some(version) = self.supports_version {
            next.supports_version = version;
        }
        next
    }

    fn check(&self, state: &FleetState, current: &Node, next: &Node) -> Result<(), Rejection> {
        let stops_voting = current.role == MemberRole::Voter && next.role != MemberRole::Voter;
        if stops_voting && state.voters().count() == 1 {
            let accepted = "any node but the last voter";
            return Err(refuse(InUse, "node", &self.node, accepted));
        }
        check_place(state, next)
    }
}

/// Where a node is reached and what it supports, before it becomes so.
pub(super) fn check_place(state: &FleetState, next: &Node) -> Result<(), Rejection> {
    endpoint("endpoints.raft", &next.raft_endpoint)?;
    endpoint("endpoints.agent", &next.agent_endpoint)?;
    endpoint("endpoints.api", &next.api_endpoint)?;
    let needed = state.cluster.as_ref().map_or(0, |cluster| cluster.version);
    if next.supports_version < needed && next.role != MemberRole::Removed {
        let accepted = format!("{needed} or more, the cluster's version");
        return Err(refuse(
            Version,
            "supports_version",
            &next.supports_version,
            accepted,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::MemberRole;
    use email_engine_protocol::id::NodeId;

    use crate::command::fixture::{Fleet, node_token, redeem_node};
    use crate::command::{Command, Effect, RejectionCode, SetNode};

    fn set(node: u64, role: MemberRole) -> SetNode {
        SetNode {
            node: NodeId(node),
            role,
            endpoints: None,
            supports_version: None,
        }
    }

    #[test]
    fn a_removed_node_stays_removed_and_the_last_voter_stays() {
        let mut fleet = Fleet::founded();
        fleet.accept(Command::IssueToken(node_token("n1")));
        fleet.accept(redeem_node("n1", 1));
        let set_node = |node, role| Command::SetNode(set(node, role));
        let last = fleet.refuse(set_node(1, MemberRole::Removed));
        assert_eq!(last.code, RejectionCode::InUse);
        fleet.accept(set_node(2, MemberRole::Voter));
        fleet.accept(set_node(1, MemberRole::Removed));
        let again = fleet.accept(set_node(1, MemberRole::Removed));
        assert_eq!(again.effect, Effect::Unchanged);
        let back = fleet.refuse(set_node(1, MemberRole::Learner));
        assert_eq!(back.code, RejectionCode::WrongState);
        assert_eq!(
            fleet.refuse(set_node(9, MemberRole::Voter)).code,
            RejectionCode::NotFound
        );
    }

    #[test]
    fn end_points_are_checked() {
        let mut fleet = Fleet::founded();
        let mut change = set(1, MemberRole::Voter);
        let good = || "192.0.2.9:7443".to_owned();
        change.endpoints = Some((good(), "nonsense".to_owned(), good()));
        let rejection = fleet.refuse(Command::SetNode(change.clone()));
        assert_eq!(rejection.field, "endpoints.agent");
        change.endpoints = Some((good(), good(), good()));
        fleet.accept(Command::SetNode(change));
        assert_eq!(fleet.state.agent_endpoints(), [good()]);
    }
}
