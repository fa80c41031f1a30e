//! The door to Raft for all other rooms.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{HostId, NodeId};
use email_engine_protocol::time::Timestamp;

use crate::command::{Answer, Proposal};
use crate::state::FleetState;

/// How far this node has applied the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Log index.
    pub index: u64,
    /// Fleet revision.
    pub revision: u64,
}

/// Who leads, as this node sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, when one is known and was heard of lately.
    pub leader: Option<NodeId>,
    /// Raft term.
    pub term: u64,
    /// This node leads and has applied everything from before its term.
    pub is_leader: bool,
}

/// Raft figures of this node, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftStatus {
    /// This node.
    pub node: NodeId,
    /// Who leads.
    pub leadership: Leadership,
    /// Last log index.
    pub last_index: u64,
    /// Last applied log index.
    pub applied_index: u64,
    /// Voters.
    pub voters: Vec<NodeId>,
    /// Learners.
    pub learners: Vec<NodeId>,
    /// On the leader: last index known to be on each node.
    pub matched: Vec<(NodeId, u64)>,
}

/// One live agent session, as the node that has it knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Whose.
    pub host: HostId,
    /// Since when.
    pub since: Timestamp,
    /// Newest generation that was offered.
    pub offered: Option<Generation>,
}

/// Why a proposal came to nothing. When `unclear`, it may still take effect: repeat it under the same
/// request id.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// No leader was found, or it could not commit, before the deadline.
    #[error("no quorum: {reason}")]
    NoQuorum {
        /// What was seen last.
        reason: String,
    },
    /// The leader's disk is nearly full.
    #[error("the leader refuses writes: {reason}")]
    LowDisk {
        /// How much is left and how much is needed.
        reason: String,
    },
    /// The leader's clock is off the quorum's.
    #[error("the leader refuses writes: {reason}")]
    ClockOff {
        /// By how much.
        reason: String,
    },
    /// The command is larger than a log entry may be.
    #[error("command of {got} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        got: usize,
        /// The bound.
        limit: usize,
    },
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopping,
}

/// Why a linearizable read came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No leader confirmed it before the deadline.
    #[error("no quorum: {reason}")]
    NoQuorum {
        /// What was seen last.
        reason: String,
    },
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopping,
}

/// Why the node's store failed. The node must not go on.
#[derive(Debug, thiserror::Error)]
#[error("store failed while {doing}: {source}")]
pub struct StoreError {
    /// What was being done.
    pub doing: &'static str,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

/// The door to Raft. A cheap clone.
#[derive(Clone)]
pub struct Cluster {
    _inner: Arc<()>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// This node's number.
    #[must_use]
    pub fn node(&self) -> NodeId {
        unimplemented!()
    }

    /// Commits a command through whichever node leads, and waits until it is applied *here* too. A
    /// lost leader is retried under the same request id until a deadline of a few seconds.
    ///
    /// # Errors
    /// When no majority took it in time.
    pub async fn propose(&self, _proposal: Proposal) -> Result<Answer, ProposeError> {
        unimplemented!()
    }

    /// Waits until this node has applied everything that was committed when it was called.
    ///
    /// # Errors
    /// When no leader confirmed it in time.
    pub async fn linearize(&self) -> Result<(), ReadError> {
        unimplemented!()
    }

    /// Reads the state as this node has it. Keep it short: `apply` waits meanwhile.
    pub fn view<R>(&self, _read: impl FnOnce(&FleetState) -> R) -> R {
        unimplemented!()
    }

    /// A stored content body.
    ///
    /// # Errors
    /// When the store fails or the bytes do not have their hash.
    pub fn body(&self, _hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        unimplemented!()
    }

    /// Latest applied position.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Applied> {
        unimplemented!()
    }

    /// Who leads. `leader` is `None` after 10 s without contact.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        unimplemented!()
    }

    /// Raft figures.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        unimplemented!()
    }

    /// Registers where this node's live sessions are read from when a peer asks.
    pub fn serve_sessions(&self, _source: Arc<dyn Fn() -> Vec<SessionRow> + Send + Sync>) {
        unimplemented!()
    }

    /// Live agent sessions of all nodes that answer within a second.
    pub async fn sessions(&self) -> Vec<(NodeId, SessionRow)> {
        unimplemented!()
    }
}
