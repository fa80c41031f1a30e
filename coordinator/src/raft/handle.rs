//! The door to Raft for all other rooms.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::watch;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::join::Endpoint;

use super::core::Core;
use super::leadership::PeerContact;
use super::net::{Member, MemberChange};
use super::store::Store;
use crate::command::{Answer, Outcome, Proposal};
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
    /// On the leader: what it hears of every member.
    pub contacts: Option<Vec<PeerContact>>,
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
    /// It took effect, but this node lags: what it reads now does not have it yet.
    #[error(
        "the change is committed as revision {}, and this node has not applied it yet",
        outcome.revision
    )]
    NotAppliedHere {
        /// What the cluster answered.
        outcome: Box<Outcome>,
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

/// Why the membership was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The change is not possible.
    #[error("membership is not changed: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// No leader carried it out before the deadline. It may still take effect.
    #[error("no quorum: {reason}")]
    NoQuorum {
        /// What was seen last.
        reason: String,
    },
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopping,
}

/// The door to Raft. A cheap clone.
#[derive(Clone)]
pub struct Cluster {
    core: Arc<Core>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster(node {})", self.core.node)
    }
}

impl Cluster {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(super) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// This node's number.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.core.node
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.core.cluster
    }

    /// Where its Raft end point listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.core.server.local_addr()
    }

    /// Commits a command through whichever node leads, and waits until it is applied *here* too. A
    /// lost leader is retried under the same request id until a deadline of a few seconds.
    ///
    /// # Errors
    /// When no majority took it in time, or this node lags behind what was committed.
    pub async fn propose(&self, proposal: Proposal) -> Result<Answer, ProposeError> {
        // On the heap: the futures of a try are large.
        self.core.propose(proposal).boxed().await
    }

    /// Waits until this node has applied everything that was committed when it was called.
    ///
    /// # Errors
    /// When no leader confirmed it in time.
    pub async fn linearize(&self) -> Result<(), ReadError> {
        self.core.linearize().boxed().await
    }

    /// Reads the state as this node has it. Keep it short: `apply` waits meanwhile.
    pub fn view<R>(&self, read: impl FnOnce(&FleetState) -> R) -> R {
        self.core.replica.view(|image| read(&image.fleet))
    }

    /// A stored content body.
    ///
    /// # Errors
    /// When the store fails or the bytes do not have their hash.
    pub fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        if let Some(body) = self.core.replica.coming(hash) {
            return Ok(Some(body));
        }
        let doing = "reading a body";
        let store = self
            .core
            .store
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(store) = store.as_ref() else {
            let source = std::io::Error::other("this node is stopping");
            return Err(StoreError { doing, source });
        };
        store
            .bodies()
            .read(hash)
            .map_err(|source| StoreError { doing, source })
    }

    /// Latest applied position.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Applied> {
        self.core.replica.applied()
    }

    /// Who leads. `leader` is `None` after 10 s without contact.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.core.leadership.subscribe()
    }

    /// Why this node no longer takes part, once it does not. It still reads, but what it reads is
    /// stale.
    #[must_use]
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.core.failed.subscribe()
    }

    /// Raft figures.
    #[must_use]
    pub fn status(&self) -> RaftStatus {
        let metrics = self.core.metrics();
        let (voters, learners) = self.core.members();
        // Each is let go before the next is asked for: whoever reads one of these locks twice waits for
        // ever on a writer that came in between.
        let leadership = *self.core.leadership.borrow();
        let applied_index = self.core.replica.applied().borrow().index;
        RaftStatus {
            node: self.core.node,
            leadership,
            last_index: metrics.last_log_index.unwrap_or(0),
            applied_index,
            voters: voters.into_iter().map(NodeId).collect(),
            learners: learners.into_iter().map(NodeId).collect(),
            contacts: self.core.own_contacts(),
        }
    }

    /// Why this node would refuse proposals if it led: its disk, or its clock.
    #[must_use]
    pub fn refuses_writes(&self) -> Option<String> {
        let guard = &self.core.guard;
        let clock = || guard.clock_off().or_else(|| guard.time_doubted());
        guard.low_disk().or_else(clock)
    }

    /// Number of flushes of the log since the start.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        let store = self
            .core
            .store
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        store.as_ref().map_or(0, Store::flushes)
    }

    /// Founds the cluster with this node as its only member. On a node with data nothing is done.
    ///
    /// # Errors
    /// When it cannot be its only member, or does not lead in time.
    pub async fn initialize(&self, endpoint: Endpoint) -> Result<(), MembershipError> {
        self.core.initialize(endpoint).boxed().await
    }

    /// Adds a node that follows without a vote. Repeating it is no error.
    ///
    /// # Errors
    /// When its number was removed once, or no majority took it in time.
    pub async fn add_learner(
        &self,
        node: NodeId,
        endpoint: Endpoint,
    ) -> Result<(), MembershipError> {
        let member = Member { node, endpoint };
        self.change(MemberChange::AddLearner(member)).await
    }

    /// Gives a learner its vote, once it has caught up. Repeating it is no error.
    ///
    /// # Errors
    /// When it is no learner, does not catch up, or no majority took it in time.
    pub async fn promote(&self, node: NodeId) -> Result<(), MembershipError> {
        self.change(MemberChange::Promote(node)).await
    }

    /// Takes a node out for good. Repeating it is no error.
    ///
    /// # Errors
    /// When it is the last voter, or no majority took it in time.
    pub async fn remove(&self, node: NodeId) -> Result<(), MembershipError> {
        self.change(MemberChange::Remove(node)).await
    }

    /// Hands the lead over to a voter.
    ///
    /// # Errors
    /// When it is no voter, or does not take over in time.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), MembershipError> {
        self.change(MemberChange::TransferLeader(to)).await
    }

    async fn change(&self, change: MemberChange) -> Result<(), MembershipError> {
        self.core.change(change).boxed().await
    }

    /// Stops the node. Reads of what is in memory still work.
    pub async fn shutdown(&self) {
        super::start::stop(&self.core).boxed().await;
    }
}
