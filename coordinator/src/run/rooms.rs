//! The API's doors to the other rooms: Raft behind [`Fleet`], planner and key stock behind
//! [`Planning`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use ring::rand::SystemRandom;
use tokio::sync::watch;
use tokio::time::timeout;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::NodeId;
use email_engine_protocol::secret::SecretBytes;

use super::backup::Backups;
use super::members;
use crate::alerts::channels::Channels;
use crate::api::{Backup, BackupError, Fleet, MembershipError, Planning, StockError};
use crate::command::{Answer, Proposal};
use crate::dns::primary::Writer;
use crate::planner;
use crate::raft::{
    Cluster, Contacts, Leadership, PlanErrors, Planned, ProposeError, RaftStatus, ReadError,
    Sessions, SpanCounts, StoreError,
};
use crate::seal::Vault;
use crate::state::{FleetState, SealedAtRest, Span, Subject};
use crate::tasks::{self, AlertsConfig, Plan, PlanFn, Stock};

/// Everything that the API asks of others.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    cluster: Cluster,
    vault: Arc<Vault>,
    stock: Stock<Cluster>,
    backups: Backups,
}

impl Rooms {
    pub(super) const fn new(
        cluster: Cluster,
        vault: Arc<Vault>,
        stock: Stock<Cluster>,
        backups: Backups,
    ) -> Self {
        Self {
            cluster,
            vault,
            stock,
            backups,
        }
    }
}

impl Rooms {
    /// Whether a node has a vote, by Raft or by the record of it.
    fn votes(&self, node: NodeId) -> bool {
        let recorded = |state: &FleetState| state.voters().any(|voter| voter.id == node);
        self.cluster.status().voters.contains(&node) || self.cluster.view(recorded)
    }
}

/// The planner as the tasks take it.
pub(super) fn plan() -> PlanFn {
    Arc::new(|state, host| {
        let planned = planner::plan(state, host).map_err(|error| error.to_string())?;
        Ok(Plan {
            config: planned.config,
            bodies: planned.bodies,
        })
    })
}

/// Lets the other nodes ask how far this one has planned.
pub(super) fn serve_planned(cluster: &Cluster, planned: watch::Receiver<Planned>) {
    cluster.serve_planned(Arc::new(move |revision| {
        self::planned(planned.clone(), revision).boxed()
    }));
}

/// How people are told.
pub(super) fn alerts(cluster: &Cluster, channels: &Channels) -> AlertsConfig {
    let cluster = cluster.clone();
    AlertsConfig {
        channels: channels.clone(),
        sessions: Arc::new(move || {
            let cluster = cluster.clone();
            async move { cluster.sessions().await }.boxed()
        }),
    }
}

/// Most hosts of which a node tells why they cannot be planned, and how much it tells of each: a
/// broken template breaks every host of its role in the same way.
const UNPLANNED_HOSTS: usize = 1_000;
const UNPLANNED_CHARS: usize = 500;

/// How long an answer waits for the planner. Less than whoever asks over the network waits
/// ([`crate::raft::TELL_WITHIN`]).
const PLANNED_WITHIN: Duration = Duration::from_millis(700);

/// How far this node has planned, once that is as far as was asked, or as it is.
pub(super) async fn planned(mut seen: watch::Receiver<Planned>, revision: u64) -> Planned {
    // Late, or the planner ended: what is known is said, and the revision says how far it goes.
    drop(timeout(PLANNED_WITHIN, seen.wait_for(|at| at.revision >= revision)).await);
    let planned = seen.borrow();
    Planned {
        revision: planned.revision,
        errors: bounded(&planned.errors),
        failed: planned.failed,
    }
}

/// Errors of planning, few and short enough for one answer.
fn bounded(errors: &PlanErrors) -> PlanErrors {
    let short = |error: &String| error.chars().take(UNPLANNED_CHARS).collect();
    let hosts = errors.iter().take(UNPLANNED_HOSTS);
    hosts
        .map(|(host, error)| (host.clone(), short(error)))
        .collect()
}

impl Fleet for Rooms {
    fn view(&self, read: &mut dyn FnMut(&FleetState)) {
        self.cluster.view(read);
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Answer, ProposeError>> {
        self.cluster.propose(proposal).boxed()
    }

    fn linearize(&self) -> BoxFuture<'_, Result<(), ReadError>> {
        self.cluster.linearize().boxed()
    }

    fn leadership(&self) -> Leadership {
        *self.cluster.leadership().borrow()
    }

    fn is_stopped(&self) -> bool {
        self.cluster.failed().borrow().is_some()
    }

    fn raft_status(&self) -> RaftStatus {
        self.cluster.status()
    }

    fn body(&self, hash: &ContentHash) -> Result<Option<Bytes>, StoreError> {
        self.cluster.body(hash)
    }

    fn series(&self, subject: &Subject, spans: &[Span]) -> Result<SpanCounts, StoreError> {
        self.cluster.series(subject, spans)
    }

    fn sessions(&self) -> BoxFuture<'_, Sessions> {
        self.cluster.sessions().boxed()
    }

    fn planned(&self, revision: u64) -> BoxFuture<'_, Option<Planned>> {
        self.cluster.planned(revision).boxed()
    }

    fn contacts(&self) -> BoxFuture<'_, Contacts> {
        self.cluster.contacts().boxed()
    }

    fn promote(
        &self,
        node: NodeId,
        record: Proposal,
    ) -> BoxFuture<'_, Result<(), MembershipError>> {
        async move {
            self.cluster.promote(node).await.map_err(membership)?;
            members::record(&self.cluster, record).await
        }
        .boxed()
    }

    fn remove(&self, node: NodeId, record: Proposal) -> BoxFuture<'_, Result<(), MembershipError>> {
        async move {
            if self.votes(node) {
                // Raft first: a node whose certificates are revoked already could not agree to leave.
                // When this is cut off in between, the leader makes the record.
                self.cluster.remove(node).await.map_err(membership)?;
                return members::record(&self.cluster, record).await;
            }
            // The record first: a learner that Raft alone forgot would be let in again.
            members::record(&self.cluster, record).await?;
            self.cluster.remove(node).await.map_err(membership)
        }
        .boxed()
    }

    fn backup(&self) -> BoxFuture<'_, Result<Backup, BackupError>> {
        let chunks = self
            .backups
            .stream(self.cluster.clone(), Arc::clone(&self.vault));
        chunks.map_ok(|chunks| Backup { chunks }).boxed()
    }
}

pub(super) fn membership(error: crate::raft::MembershipError) -> MembershipError {
    match error {
        crate::raft::MembershipError::Refused { reason } => MembershipError::Refused { reason },
        crate::raft::MembershipError::NoQuorum { reason } => MembershipError::NoQuorum { reason },
        crate::raft::MembershipError::Stopping => MembershipError::Propose(ProposeError::Stopping),
    }
}

impl Planning for Rooms {
    fn seal(&self, secret: &SecretBytes) -> SealedAtRest {
        self.vault
            .seal_secret(secret, &Entropy(&SystemRandom::new()))
    }

    fn zone_writer(&self) -> Option<Writer> {
        Some(Writer::new(Arc::clone(&self.vault)))
    }

    fn ensure_stock(&self, needed: usize) -> BoxFuture<'_, Result<(), StockError>> {
        self.stock
            .ensure(needed)
            .map(|made| {
                made.map_err(|error| match error {
                    tasks::StockError::Propose(error) => StockError::Propose(error),
                    other => StockError::Other {
                        reason: other.to_string(),
                    },
                })
            })
            .boxed()
    }
}
