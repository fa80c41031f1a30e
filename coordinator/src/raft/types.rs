//! openraft's types, filled in for this cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

use email_engine_protocol::join::Endpoint;

use crate::command::{Answer, Proposal};

/// What a log entry carries. Append-only: the order of variants is the log's format.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LogCommand {
    /// A proposal as of version 1.
    V1(Box<Proposal>),
}

impl fmt::Display for LogCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::V1(proposal) = self;
        write!(f, "request {} of {}", proposal.request, proposal.actor)
    }
}

/// Without the command: openraft prints whole entries, and commands carry whole files.
impl fmt::Debug for LogCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What applying an entry comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The state machine answered.
    Applied(Answer),
    /// The entry was one of Raft's own.
    Nothing,
}

/// Where a member is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeAddress {
    /// Its Raft end point.
    pub(crate) endpoint: Endpoint,
}

openraft::declare_raft_types!(
    /// The choice of types.
    pub(crate) Types:
        D = LogCommand,
        R = Reply,
        NodeId = u64,
        Node = NodeAddress,
);

pub(crate) type Raft = openraft::Raft<Types, super::machine::Machine>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;
pub(crate) type Snapshot =
    openraft::type_config::alias::SnapshotOf<Types, super::machine::SnapshotFile>;
