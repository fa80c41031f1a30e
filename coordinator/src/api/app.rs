//! What every handler has at hand.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;

use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::time::Timestamp;

use super::auth::Throttle;
use super::problem::ApiError;
use super::request::{Freshness, WriteRequest};
use super::rooms::{Fleet, Planning};
use crate::command::{Command, Outcome, Proposal};
use crate::state::FleetState;

/// Where the time comes from.
pub type Clock = fn() -> Timestamp;

/// Longest time a request may take to be answered.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Requests that are worked on at once; more are told to come back.
const CONCURRENT_REQUESTS: usize = 512;
/// Dry runs that are thought through at once. One may plan every host twice.
pub(super) const CONCURRENT_PREVIEWS: usize = 2;

/// The API's rooms and bounds. Shared by all requests.
pub struct Api {
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) planning: Arc<dyn Planning>,
    pub(super) metrics: Option<PrometheusHandle>,
    pub(super) throttle: Throttle,
    pub(super) slots: Semaphore,
    pub(super) previews: Arc<Semaphore>,
    pub(super) request_time: Duration,
    clock: Clock,
    random: SystemRandom,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// An API over these rooms; `/metrics` answers when there is a recorder to render.
    #[must_use]
    pub fn new(
        fleet: Arc<dyn Fleet>,
        planning: Arc<dyn Planning>,
        metrics: Option<PrometheusHandle>,
        clock: Clock,
    ) -> Self {
        Self {
            fleet,
            planning,
            metrics,
            throttle: Throttle::default(),
            slots: Semaphore::new(CONCURRENT_REQUESTS),
            previews: Arc::new(Semaphore::new(CONCURRENT_PREVIEWS)),
            request_time: REQUEST_TIME,
            clock,
            random: SystemRandom::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(super) const fn entropy(&self) -> Entropy<'_> {
        Entropy(&self.random)
    }

    /// Reads the state as this node has it.
    pub(super) fn view<R>(&self, read: impl FnOnce(&FleetState) -> R) -> R {
        let mut read = Some(read);
        let mut out = None;
        self.fleet.view(&mut |state| {
            if let Some(read) = read.take() {
                out = Some(read(state));
            }
        });
        out.expect("a fleet shows its state once per view")
    }

    /// Reads the state for planning: planning takes longer than `apply` may wait.
    pub(super) fn copy_of_state(&self) -> FleetState {
        self.view(FleetState::clone)
    }

    /// Brings this node up to date, unless the request can do without.
    pub(super) async fn freshen(&self, freshness: Freshness) -> Result<(), ApiError> {
        match freshness {
            Freshness::Linearizable => Ok(self.fleet.linearize().await?),
            Freshness::Stale => Ok(()),
        }
    }

    /// Commits one command in the caller's name, under the request's own id. What was answered to
    /// this very request before is answered again, without a log entry.
    pub(super) async fn commit(
        &self,
        write: &WriteRequest,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        match &write.replayed {
            Some(first) => Ok(first.clone()?),
            None => self.commit_attempt(write, 0, command).await,
        }
    }

    /// As [`commit`](Self::commit), for the n-th try of a request whose base moved away.
    pub(super) async fn commit_attempt(
        &self,
        write: &WriteRequest,
        attempt: u32,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        let proposal = Proposal {
            actor: format!("key {}", write.caller.key),
            request: write.attempt_id(attempt),
            reason: write.reason.clone(),
            now: self.now(),
            override_clock: write.override_clock,
            command,
        };
        let answer = self.fleet.propose(proposal).await?;
        Ok(answer?)
    }
}
