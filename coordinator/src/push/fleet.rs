//! What this room and the tasks need of Raft, as a trait, so that sessions and tasks can be tested
//! against a state in memory.

use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{NodeId, RequestId};
use email_engine_protocol::time::Timestamp;

use crate::command::{Answer, Command, Proposal};
use crate::raft::{
    Announced, Applied, Cluster, Leadership, ProposeError, ReadError, SessionHearing,
    SessionNotice, SessionRow, StoreError,
};
use crate::state::FleetState;

/// The replicated state and the way to change it. A cheap clone.
pub trait Fleet: Clone + Send + Sync + 'static {
    /// See [`Cluster::node`].
    fn node(&self) -> NodeId;
    /// See [`Cluster::propose`].
    fn propose(
        &self,
        proposal: Proposal,
    ) -> impl Future<Output = Result<Answer, ProposeError>> + Send;
    /// See [`Cluster::linearize`].
    fn linearize(&self) -> impl Future<Output = Result<(), ReadError>> + Send;
    /// See [`Cluster::view`].
    fn view<R>(&self, read: impl FnOnce(&FleetState) -> R) -> R;
    /// See [`Cluster::body`]. Blocks on the disk.
    ///
    /// # Errors
    /// When the store fails.
    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError>;
    /// See [`Cluster::applied`].
    fn applied(&self) -> watch::Receiver<Applied>;
    /// See [`Cluster::leadership`].
    fn leadership(&self) -> watch::Receiver<Leadership>;
    /// See [`Cluster::announce_sessions`].
    fn announce_sessions(
        &self,
        notices: Vec<SessionNotice>,
    ) -> impl Future<Output = Announced> + Send;
    /// See [`Cluster::hear_sessions`].
    fn hear_sessions(&self, hear: SessionHearing);
    /// See [`Cluster::serve_sessions`].
    fn serve_sessions(&self, source: Arc<dyn Fn() -> Vec<SessionRow> + Send + Sync>);
}

impl Fleet for Cluster {
    fn node(&self) -> NodeId {
        Self::node(self)
    }

    async fn propose(&self, proposal: Proposal) -> Result<Answer, ProposeError> {
        Self::propose(self, proposal).await
    }

    async fn linearize(&self) -> Result<(), ReadError> {
        Self::linearize(self).await
    }

    fn view<R>(&self, read: impl FnOnce(&FleetState) -> R) -> R {
        Self::view(self, read)
    }

    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        Self::body(self, hash)
    }

    fn applied(&self) -> watch::Receiver<Applied> {
        Self::applied(self)
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        Self::leadership(self)
    }

    async fn announce_sessions(&self, notices: Vec<SessionNotice>) -> Announced {
        Self::announce_sessions(self, notices).await
    }

    fn hear_sessions(&self, hear: SessionHearing) {
        Self::hear_sessions(self, hear);
    }

    fn serve_sessions(&self, source: Arc<dyn Fn() -> Vec<SessionRow> + Send + Sync>) {
        Self::serve_sessions(self, source);
    }
}

/// A proposal of this node's own, under a request id that nobody used before. Made once per
/// attempt: whoever repeats it after an unclear outcome repeats the id with it.
#[must_use]
pub fn proposal<F: Fleet>(fleet: &F, actor: String, reason: &str, command: Command) -> Proposal {
    let node = fleet.node();
    let mut random = [0; 8];
    SystemRandom::new()
        .fill(&mut random)
        .expect("the system's random source answers once it is seeded");
    let request = RequestId::new(format!("node-{node}-{}", HEXLOWER.encode(&random)))
        .expect("digits and letters are a request id");
    // A node that is a little behind the fleet's clock still gets its proposals in.
    let now = now().max(fleet.view(|state| state.now));
    Proposal {
        actor,
        request,
        reason: reason.to_owned(),
        now,
        override_clock: false,
        command,
    }
}

/// This node's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
