//! `found`.

use email_engine_protocol::api::MemberRole;

use crate::command::RejectionCode::{ClusterState, Invalid, Version};
use crate::command::refuse::{endpoint, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Found, Rejection};
use crate::state::{FleetState, Node};

impl Verb for Found {
    fn name(&self) -> &'static str {
        "found"
    }

    fn object(&self) -> String {
        format!("cluster {}", self.cluster.id)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        if let Some(cluster) = &state.cluster {
            let accepted = format!("an empty fleet; this is cluster {}", cluster.id);
            return Err(refuse(ClusterState, "cluster", &self.cluster.id, accepted));
        }
        if self.cluster.version == 0 {
            return Err(refuse(Version, "cluster.version", &0, "1 or more"));
        }
        check_first_node(&self.node, self.cluster.version)?;
        state.next_node = self.node.id.0 + 1;
        state.nodes.insert(self.node.id, self.node.clone());
        state.cluster = Some(self.cluster.clone());
        Ok(Change::DONE)
    }
}

/// What the only node of a cluster must be, at its founding and after a recovery.
pub(super) fn check_first_node(node: &Node, version: u32) -> Result<(), Rejection> {
    if node.id.0 == 0 {
        return Err(refuse(Invalid, "node.id", &0, "1 or more"));
    }
    if node.role != MemberRole::Voter {
        let got = format!("{:?}", node.role).to_lowercase();
        return Err(refuse(
            Invalid,
            "node.role",
            &got,
            "voter: it is the only node",
        ));
    }
    if node.supports_version < version {
        let accepted = format!("{version} or more, the cluster's version");
        return Err(refuse(
            Version,
            "node.supports_version",
            &node.supports_version,
            accepted,
        ));
    }
    endpoint("node.raft_endpoint", &node.raft_endpoint)?;
    endpoint("node.agent_endpoint", &node.agent_endpoint)?;
    endpoint("node.api_endpoint", &node.api_endpoint)
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::MemberRole;

    use crate::command::fixture::{Fleet, found, tenant};
    use crate::command::{Command, CreateTenant, RejectionCode};

    #[test]
    fn a_cluster_is_founded_once_and_first_of_all() {
        let mut fleet = Fleet::empty();
        let early = fleet.refuse(Command::CreateTenant(CreateTenant {
            tenant: tenant("c1"),
        }));
        assert_eq!(early.code, RejectionCode::ClusterState);
        fleet.accept(Command::Found(Box::new(found())));
        assert_eq!(fleet.state.next_node, 2);
        let again = fleet.refuse(Command::Found(Box::new(found())));
        assert_eq!(again.code, RejectionCode::ClusterState);
    }

    #[test]
    fn the_first_node_votes_and_supports_the_version() {
        let mut bad = found();
        bad.node.role = MemberRole::Learner;
        let rejection = Fleet::empty().refuse(Command::Found(Box::new(bad)));
        assert_eq!(rejection.field, "node.role");
        let mut bad = found();
        bad.cluster.version = 9;
        let rejection = Fleet::empty().refuse(Command::Found(Box::new(bad)));
        assert_eq!(rejection.code, RejectionCode::Version);
    }
}
