//! The coordinator cluster, as answered.

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, NodeId};
use crate::join::Endpoint;
use crate::observed::Observed;
use crate::time::Timestamp;

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// As of now: the leader was asked.
    #[default]
    Linearizable,
    /// As this node has it.
    Stale,
}

/// Part that a node plays in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberRole {
    /// Follows without a vote.
    Learner,
    /// Votes.
    Voter,
    /// Was taken out; its number is never used again.
    Removed,
}

/// Whether a node answers the leader, by the leader's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contact {
    /// It answers.
    Heard {
        /// When it did last.
        last: Timestamp,
    },
    /// It has not answered for seconds: it is down, or cut off.
    Unreachable {
        /// When it answered last; when the leader took over, if it did not since.
        since: Timestamp,
    },
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its number.
    pub id: NodeId,
    /// Its part.
    pub role: MemberRole,
    /// Whether it leads.
    pub leader: bool,
    /// Raft end point.
    pub raft_endpoint: Endpoint,
    /// Agents' end point.
    pub agent_endpoint: Endpoint,
    /// HTTPS end point.
    pub api_endpoint: Endpoint,
    /// Last log index known to be on it, as the leader sees it.
    pub matched_index: Option<u64>,
    /// Whether it answers the leader; unknown without a leader's word. Absent for a removed node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<Observed<Contact>>,
}

/// The cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Raised by restore and recovery.
    pub epoch: u64,
    /// Commands of this version may be used.
    pub cluster_version: u32,
    /// The node that answers.
    pub node: NodeId,
    /// The leader, as far as known.
    pub leader: Option<NodeId>,
    /// Raft term.
    pub term: u64,
    /// Last applied log index of the node that answers.
    pub applied_index: u64,
    /// Its last log index.
    pub last_index: u64,
    /// Revision of the fleet state.
    pub revision: u64,
    /// Time of the last command.
    pub state_time: Timestamp,
    /// Members.
    pub nodes: Vec<NodeView>,
}

/// Asks to raise the cluster version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRequest {
    /// The version that all voters support.
    pub version: u32,
}
