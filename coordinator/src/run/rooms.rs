//! The API's doors to the other rooms: Raft behind [`Fleet`], planner and key stock behind
//! [`Planning`].

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;

use email_engine_protocol::api::{DomainRecord, FleetDocument, MemberRole};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::HostConfig;
use email_engine_protocol::id::{HostId, NodeId, TenantId};

use super::members;
use crate::api::{Backup, Draft, Fleet, MembershipError, Planning, StockError};
use crate::command::{Answer, Proposal, Rejection, RejectionCode};
use crate::planner::{self, dns, document};
use crate::raft::{
    Cluster, Leadership, PlanErrors, ProposeError, RaftStatus, ReadError, SessionRow, StoreError,
};
use crate::seal::Vault;
use crate::state::{FleetState, Identity};
use crate::tasks::{Plan, PlanFn, Stock};

/// Bytes of a backup that are read at a time, and how many such pieces may wait for a slow client.
const PIECE: usize = 256 * 1024;
const WAITING: usize = 8;

/// Everything that the API asks of others.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    cluster: Cluster,
    vault: Arc<Vault>,
    stock: Stock<Cluster>,
}

impl Rooms {
    pub(super) const fn new(cluster: Cluster, vault: Arc<Vault>, stock: Stock<Cluster>) -> Self {
        Self {
            cluster,
            vault,
            stock,
        }
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

/// Most hosts of which a node tells why they cannot be planned, and how much it tells of each: a
/// broken template breaks every host of its role in the same way.
const UNPLANNED_HOSTS: usize = 1_000;
const UNPLANNED_CHARS: usize = 500;

/// Errors of planning, few and short enough for one answer.
pub(super) fn bounded(errors: &PlanErrors) -> PlanErrors {
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

    fn sessions(&self) -> BoxFuture<'_, Vec<(NodeId, SessionRow)>> {
        self.cluster.sessions().boxed()
    }

    fn plan_errors(&self) -> BoxFuture<'_, PlanErrors> {
        self.cluster.plan_errors().boxed()
    }

    fn promote(&self, node: NodeId) -> BoxFuture<'_, Result<(), MembershipError>> {
        async move {
            self.cluster.promote(node).await.map_err(membership)?;
            members::record(&self.cluster, node, MemberRole::Voter).await
        }
        .boxed()
    }

    fn remove(&self, node: NodeId) -> BoxFuture<'_, Result<(), MembershipError>> {
        async move {
            // Raft first: a node whose certificates are revoked already could not agree to leave.
            self.cluster.remove(node).await.map_err(membership)?;
            members::record(&self.cluster, node, MemberRole::Removed).await
        }
        .boxed()
    }

    fn backup(&self) -> BoxFuture<'_, Result<Backup, StoreError>> {
        self.stream_backup().boxed()
    }
}

impl Rooms {
    async fn stream_backup(&self) -> Result<Backup, StoreError> {
        let failed = |source| StoreError {
            doing: "making a backup",
            source,
        };
        let recovery = self
            .cluster
            .view(|state| state.cluster.as_ref().map(|it| it.recovery));
        let recovery =
            recovery.ok_or_else(|| failed(io::Error::other("the cluster is not founded yet")))?;
        let (send, mut pieces) = mpsc::channel(WAITING);
        let (cluster, vault) = (self.cluster.clone(), Arc::clone(&self.vault));
        tokio::spawn(async move {
            let to = io::BufWriter::with_capacity(PIECE, Pieces(send.clone()));
            let made = cluster.backup(to, &recovery, vault.key()).await;
            let flushed = match made {
                Ok((to, summary)) => {
                    tracing::info!(index = summary.index, "backup made");
                    let flushed = tokio::task::spawn_blocking(move || to.into_inner().map(drop));
                    flushed.await.map_or_else(
                        |error| Err(io::Error::other(error)),
                        |flushed| flushed.map_err(io::IntoInnerError::into_error),
                    )
                }
                Err(error) => Err(io::Error::other(error)),
            };
            if let Err(error) = flushed {
                // A client that is gone needs no word of it.
                let _ = send.send(Err(error)).await;
            }
        });
        // The first piece tells whether it works at all, while an error can still be answered.
        let first = match pieces.recv().await {
            Some(Ok(first)) => first,
            Some(Err(error)) => return Err(failed(error)),
            None => return Err(failed(io::Error::other("nothing was written"))),
        };
        let rest = futures::stream::poll_fn(move |context| pieces.poll_recv(context));
        let chunks = futures::stream::iter([Ok(first)]).chain(rest).boxed();
        Ok(Backup { chunks })
    }
}

/// Hands what is written to a stream. Blocks while the client is slow.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
    fn changes(
        &self,
        state: &FleetState,
        document: &FleetDocument,
        prune: bool,
        scope: Option<&TenantId>,
    ) -> Result<Draft, Rejection> {
        Ok(document::changes(state, document, prune, scope)?.into())
    }

    fn config(
        &self,
        state: &FleetState,
        host: &HostId,
    ) -> Result<(HostConfig, BTreeMap<ContentHash, Vec<u8>>), Rejection> {
        let planned = planner::plan(state, host).map_err(|error| Rejection {
            code: RejectionCode::WrongState,
            field: "host".to_owned(),
            value: host.to_string(),
            accepted: error.to_string(),
        })?;
        Ok((planned.config, planned.bodies))
    }

    fn records(&self, state: &FleetState, identity: &Identity) -> Vec<DomainRecord> {
        let tenant = state.tenants.get(&identity.spec.tenant);
        tenant
            .map(|tenant| dns::wanted_records(identity, tenant))
            .unwrap_or_default()
    }

    fn ensure_stock(&self, needed: usize) -> BoxFuture<'_, Result<(), StockError>> {
        self.stock
            .ensure(needed)
            .map(|made| {
                made.map_err(|error| StockError {
                    reason: error.to_string(),
                })
            })
            .boxed()
    }
}
