//! What every handler has at hand.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use ring::rand::SystemRandom;
use tokio::sync::{Semaphore, SemaphorePermit};

use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::time::Timestamp;

use super::problem::ApiError;
use super::request::{Freshness, WriteRequest};
use super::resource::warmup::Rotations;
use super::rooms::{Fleet, Planning};
use crate::command::{Command, Outcome, Proposal};
use crate::config::ArtifactBounds;
use crate::dnsbl::desk::Desk;
use crate::fleet::warmup::{Evidence, NoEvidence};
use crate::mailwizz::Applications;
use crate::raft::{ProposeError, SpanCounts, StoreError};
use crate::state::{FleetState, Span, Subject};
use crate::throttle::Throttle;

/// Where the time comes from.
pub type Clock = fn() -> Timestamp;

/// Longest time a request may take to be answered.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Requests that are worked on at once; more are told to come back.
pub(super) const CONCURRENT_REQUESTS: usize = 512;
/// Requests at once that wait for nobody: what one asks of a node whose cluster is in trouble.
const CONCURRENT_LOOKS: usize = 64;
/// Dry runs that are thought through at once. One may plan every host twice.
pub(super) const CONCURRENT_PREVIEWS: usize = 2;

/// The API's rooms and bounds. Shared by all requests.
pub struct Api {
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) planning: Arc<dyn Planning>,
    pub(super) metrics: Option<PrometheusHandle>,
    pub(super) throttle: Throttle,
    slots: Semaphore,
    looks: Semaphore,
    pub(super) previews: Arc<Semaphore>,
    pub(super) request_time: Duration,
    pub(super) artifacts: ArtifactBounds,
    pub(super) applications: Option<Applications>,
    pub(super) evidence: Arc<dyn Evidence>,
    pub(super) rotations: Rotations,
    pub(super) lists: Option<Desk>,
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
            looks: Semaphore::new(CONCURRENT_LOOKS),
            previews: Arc::new(Semaphore::new(CONCURRENT_PREVIEWS)),
            request_time: REQUEST_TIME,
            artifacts: ArtifactBounds::default(),
            applications: None,
            evidence: Arc::new(NoEvidence),
            rotations: Rotations::default(),
            lists: None,
            clock,
            random: SystemRandom::new(),
        }
    }

    /// The same with other bounds on what operators upload.
    #[must_use]
    pub const fn with_artifacts(mut self, bounds: ArtifactBounds) -> Self {
        self.artifacts = bounds;
        self
    }

    /// The same with a way to the tenants' applications.
    #[must_use]
    pub fn with_applications(mut self, applications: Applications) -> Self {
        self.applications = Some(applications);
        self
    }

    /// The same, going by what is counted of the fleet's mail.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Arc<dyn Evidence>) -> Self {
        self.evidence = evidence;
        self
    }

    /// The same with a way to lists of bad senders.
    #[must_use]
    pub fn with_lists(mut self, lists: Desk) -> Self {
        self.lists = Some(lists);
        self
    }

    /// Leave to work on one request. Those that ask this node alone have their own, so that others
    /// that wait for a majority in vain do not hide how it stands.
    pub(super) fn slot(&self, asks_this_node: bool) -> Result<SemaphorePermit<'_>, ApiError> {
        let slots = if asks_this_node {
            &self.looks
        } else {
            &self.slots
        };
        slots.try_acquire().map_err(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "too many requests at once; come back in a moment",
            )
        })
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

    /// Reads what was counted. Blocks on the disk.
    pub(super) fn series(
        &self,
        subject: &Subject,
        spans: &[Span],
    ) -> Result<SpanCounts, StoreError> {
        self.fleet.series(subject, spans)
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
    ) -> Result<Committed, ApiError> {
        match &write.replayed {
            Some(first) => Ok(Committed::here(first.clone()?)),
            None => self.commit_attempt(write, 0, command).await,
        }
    }

    /// As [`commit`](Self::commit), for whoever answers with what this node has of it.
    pub(super) async fn commit_here(
        &self,
        write: &WriteRequest,
        command: Command,
    ) -> Result<Outcome, ApiError> {
        self.commit(write, command).await?.read_here()
    }

    /// A command in the caller's name, for its reason and under its request's id.
    pub(super) fn proposal(
        &self,
        write: &WriteRequest,
        attempt: u32,
        command: Command,
    ) -> Proposal {
        Proposal {
            actor: format!("key {}", write.caller.key),
            request: write.attempt_id(attempt),
            reason: write.reason.clone(),
            now: self.now(),
            override_clock: write.override_clock,
            command,
        }
    }

    /// As [`commit`](Self::commit), for the n-th try of a request whose base moved away.
    pub(super) async fn commit_attempt(
        &self,
        write: &WriteRequest,
        attempt: u32,
        command: Command,
    ) -> Result<Committed, ApiError> {
        let proposal = self.proposal(write, attempt, command);
        match self.fleet.propose(proposal).await {
            Err(ProposeError::NotAppliedHere { outcome }) => Ok(Committed {
                outcome: *outcome,
                is_here: false,
            }),
            answered => Ok(Committed::here(answered??)),
        }
    }
}

/// What the cluster took.
#[derive(Debug)]
pub(super) struct Committed {
    outcome: Outcome,
    is_here: bool,
}

impl Committed {
    pub(super) const fn here(outcome: Outcome) -> Self {
        Self {
            outcome,
            is_here: true,
        }
    }

    /// What was answered, for whoever needs nothing else.
    pub(super) fn outcome(self) -> Outcome {
        self.outcome
    }

    /// The same, for whoever reads the state of this node next. What is committed must not be told
    /// to be absent: on a node that lags the caller learns that it is done, and may ask again.
    pub(super) fn read_here(self) -> Result<Outcome, ApiError> {
        if self.is_here {
            return Ok(self.outcome);
        }
        let outcome = Box::new(self.outcome);
        Err(ProposeError::NotAppliedHere { outcome }.into())
    }
}
