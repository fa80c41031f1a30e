//! What a running node consists of, and how it answers its peers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use tokio::sync::watch;
use tokio::time::Instant;

use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::id::{ClusterId, HostId, NodeId};

use super::config::{Clock, Timings};
use super::guard::Guard;
use super::handle::{Applied, Leadership};
use super::leadership::{Lead, PeerContact};
use super::machine::Replica;
use super::net::{ChangeRefusal, Door, MemberChange, Peers, ProposeAnswer, Server};
use super::propose::Dated;
use super::store::Store;
use super::told::{Planned, PlannedSource, SessionHearing, SessionNotice, SessionRow};
use super::types::{Raft, Types};
use crate::command::Proposal;

/// Where something is read that a node knows and the state does not hold.
pub(super) type Source<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// A running node.
pub(super) struct Core {
    pub(super) node: NodeId,
    pub(super) cluster: ClusterId,
    pub(super) raft: Raft,
    pub(super) replica: Arc<Replica>,
    pub(super) peers: Peers,
    pub(super) server: Server,
    pub(super) timings: Timings,
    pub(super) clock: Clock,
    pub(super) guard: Guard,
    pub(super) data_dir: PathBuf,
    pub(super) min_free_bytes: u64,
    /// Given up when the node stops, so that its folder can be opened again.
    pub(super) store: RwLock<Option<Store>>,
    pub(super) failed: watch::Sender<Option<String>>,
    pub(super) leadership: watch::Sender<Leadership>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) hearing: RwLock<Option<SessionHearing>>,
    /// This node's live sessions.
    pub(super) sessions: RwLock<Option<Source<Vec<SessionRow>>>>,
    /// How far this node has planned as the leader.
    pub(super) planned: RwLock<Option<PlannedSource>>,
    /// Since when somebody leads.
    pub(super) lead: Lead,
    /// When a leader was heard last.
    pub(super) heard: Mutex<Option<Instant>>,
    /// Date of the last proposal that this node put in line.
    pub(super) dated: tokio::sync::Mutex<Option<Dated>>,
    /// One change of the membership at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    pub(super) runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Core {
    /// openraft's figures of now, as a copy: holding them would stop Raft.
    pub(super) fn metrics(&self) -> RaftMetrics<Types> {
        self.raft.metrics().borrow_watched().clone()
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Why this node no longer takes part, once it does not.
    pub(super) fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    pub(super) fn fail(&self, reason: String) {
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            if first {
                tracing::error!(%reason, "this node no longer takes part in Raft");
                *failed = Some(reason);
            }
            first
        });
    }

    /// Where a member is reached, as the membership says.
    pub(super) fn address(&self, node: NodeId) -> Option<String> {
        let metrics = self.metrics();
        let membership = metrics.membership_config.membership();
        membership
            .get_node(&node.0)
            .map(|member| member.endpoint.clone())
    }

    /// Whom to ask: the leader as openraft knows it.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.metrics().current_leader.map(NodeId)
    }

    pub(super) fn heard_at(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn own_sessions(&self) -> Vec<SessionRow> {
        read(&self.sessions)
    }

    pub(super) async fn own_planned(&self, revision: u64) -> Option<Planned> {
        let source = {
            let source = self.planned.read();
            source.unwrap_or_else(PoisonError::into_inner).clone()
        };
        Some(source?(revision).await)
    }
}

/// What a source says; nothing before there is one.
fn read<T: Default>(source: &RwLock<Option<Source<T>>>) -> T {
    // Let go before it is asked: a source may have locks of its own.
    let source = {
        let source = source.read().unwrap_or_else(PoisonError::into_inner);
        source.clone()
    };
    source.map(|source| source()).unwrap_or_default()
}

impl Drop for Core {
    fn drop(&mut self) {
        let runtime = self
            .runtime
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(runtime) = runtime {
            // Waiting is not allowed where this may run.
            runtime.shutdown_background();
        }
    }
}

impl Door for Core {
    fn admits(&self, node: NodeId, serial: Option<&CertificateSerial>) -> bool {
        self.replica.head().doors.admits(node, serial)
    }

    fn applied(&self) -> watch::Receiver<Applied> {
        self.replica.applied()
    }

    fn leader_spoke(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, ProposeAnswer> {
        self.propose_here(proposal).boxed()
    }

    fn read_index(&self) -> BoxFuture<'_, Result<u64, String>> {
        self.read_index_here().boxed()
    }

    fn change(&self, change: MemberChange) -> BoxFuture<'_, Result<(), ChangeRefusal>> {
        self.change_here(change).boxed()
    }

    fn sessions(&self) -> Vec<SessionRow> {
        self.own_sessions()
    }

    fn sessions_began(&self, notices: &[SessionNotice]) -> Vec<HostId> {
        let hearing = self
            .hearing
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        hearing.map(|hear| hear(notices)).unwrap_or_default()
    }

    fn planned(&self, revision: u64) -> BoxFuture<'_, Option<Planned>> {
        self.own_planned(revision).boxed()
    }

    fn contacts(&self) -> Option<Vec<PeerContact>> {
        self.own_contacts()
    }

    fn body(&self, hash: ContentHash) -> BoxFuture<'_, Option<Vec<u8>>> {
        self.whole_body(hash).boxed()
    }

    fn clock(&self) -> u64 {
        (self.clock)().0
    }
}
