//! Keeps this node's own certificate fresh: at half of its life the node issues itself the next one,
//! for a new key, with the names under which the state knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::id::NodeId;
use email_engine_protocol::time::Timestamp;

use crate::command::{Command, RenewCertificate};
use crate::pki::store::{IdentityStore, StoreError};
use crate::pki::{
    Authority, AuthorityError, Credential, CredentialError, IssueError, Issued, Life, NodeIdentity,
    Term,
};
use crate::push::{Fleet, now, proposal};
use crate::raft::{ProposeError, ReadError};
use crate::seal::Vault;
use crate::state::{CertificateSubject, FleetState};

/// Longest sleep: a machine that was suspended notices by then.
const NAP: Duration = Duration::from_secs(600);
/// Longest pause after a failure, and the shortest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1));

/// Why the certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The state does not have this node.
    #[error("node {0} is not in the state yet")]
    Unknown(NodeId),
    /// No authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Not issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Not committed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// This node could not find out whether it is behind.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Refused.
    #[error("refused: {0}")]
    Rejected(crate::command::Rejection),
    /// Not on disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The present one does not parse.
    #[error(transparent)]
    Present(#[from] CredentialError),
}

/// Renews while the node lives.
pub(super) async fn run<F: Fleet>(
    fleet: F,
    vault: Arc<Vault>,
    store: IdentityStore,
    (identity, life): (watch::Sender<Arc<NodeIdentity>>, Life),
) {
    loop {
        let present = identity.borrow().clone();
        let wait = match due(&present) {
            Ok(due) if due > now() => match put_on_record(&fleet, &present).await {
                Ok(()) => Duration::from_millis(due.since(now())).min(NAP),
                Err(error) => {
                    tracing::warn!(%error, "own certificate is in use and not on record yet");
                    again(&present)
                }
            },
            Ok(_) => match renew(&fleet, &vault, &store, (&identity, life)).await {
                Ok(()) => {
                    tracing::info!(node = %present.node, "own certificate renewed");
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "own certificate not renewed");
                    again(&present)
                }
            },
            Err(error) => {
                tracing::error!(%error, "own certificate cannot be read");
                NAP
            }
        };
        sleep(wait).await;
    }
}

/// How long to wait after a failure: there shall be several attempts before the end.
fn again(identity: &NodeIdentity) -> Duration {
    let left = due_and_end(identity).map_or(0, |(_, end)| end.since(now()));
    (Duration::from_millis(left) / 8).clamp(AGAIN.1, AGAIN.0)
}

/// When a node's certificate wants to be renewed: in the middle between its issue and its end.
///
/// # Errors
/// When it does not parse.
pub fn due(identity: &NodeIdentity) -> Result<Timestamp, CredentialError> {
    due_and_end(identity).map(|(due, _)| due)
}

fn due_and_end(identity: &NodeIdentity) -> Result<(Timestamp, Timestamp), CredentialError> {
    let leaf = identity
        .chain
        .first()
        .ok_or(CredentialError::Form("the chain is empty"))?;
    let Credential {
        not_before,
        not_after,
        ..
    } = Credential::read(identity.cluster, leaf)?;
    Ok((Term::half_life(not_before, not_after), not_after))
}

/// Issues this node's next certificate from the state that it has; also for a node that slept past
/// its end, which cannot reach anybody before it has a new one.
///
/// # Errors
/// When the state or the vault does not allow it.
pub fn reissue(
    state: &FleetState,
    vault: &Vault,
    (node, life): (NodeId, Life),
) -> Result<(NodeIdentity, Issued), RenewError> {
    let unknown = RenewError::Unknown(node);
    let (Some(record), Some(row)) = (&state.cluster, state.nodes.get(&node)) else {
        return Err(unknown);
    };
    let authority = Authority::load(record, vault)?;
    let endpoints = [
        row.raft_endpoint.clone(),
        row.agent_endpoint.clone(),
        row.api_endpoint.clone(),
    ];
    Ok(authority.issue_own(node, &endpoints, (now(), life))?)
}

/// Issues the next certificate. It is recorded before it is used; but a node past the end of its last
/// one reaches nobody who could record it, so it uses it first.
async fn renew<F: Fleet>(
    fleet: &F,
    vault: &Vault,
    store: &IdentityStore,
    (identity, life): (&watch::Sender<Arc<NodeIdentity>>, Life),
) -> Result<(), RenewError> {
    let present = identity.borrow().clone();
    let current = Credential::read(present.cluster, &present.chain[0])?;
    let (next, issued) = fleet.view(|state| reissue(state, vault, (present.node, life)))?;
    let use_it = || {
        store.save(&next)?;
        identity.send_replace(Arc::new(next));
        Ok::<_, RenewError>(())
    };
    let has_ended = current.not_after <= now();
    if has_ended {
        // The next look at it puts it on record, however often that takes.
        return use_it();
    }
    record(fleet, present.node, current.spki, Row::of(&issued)).await?;
    use_it()
}

/// A certificate that was used before it could be recorded is recorded as soon as that can be done.
async fn put_on_record<F: Fleet>(fleet: &F, present: &NodeIdentity) -> Result<(), RenewError> {
    let own = Credential::read(present.cluster, &present.chain[0])?;
    let is_missing = |state: &FleetState| {
        let is_member = state.members().any(|member| member.id == present.node);
        is_member && !state.certificates.contains_key(&own.serial)
    };
    if !fleet.view(is_missing) {
        return Ok(());
    }
    // This node may be behind.
    fleet.linearize().await?;
    if !fleet.view(is_missing) {
        return Ok(());
    }
    let row = Row {
        spki: own.spki,
        serial: own.serial,
        not_after: own.not_after,
    };
    record(fleet, present.node, own.spki, row).await
}

/// What is recorded of a certificate.
struct Row {
    spki: ContentHash,
    serial: CertificateSerial,
    not_after: Timestamp,
}

impl Row {
    const fn of(issued: &Issued) -> Self {
        Self {
            spki: issued.spki,
            serial: issued.serial,
            not_after: issued.not_after,
        }
    }
}

async fn record<F: Fleet>(
    fleet: &F,
    node: NodeId,
    current_spki: ContentHash,
    row: Row,
) -> Result<(), RenewError> {
    let command = Command::RenewCertificate(RenewCertificate {
        subject: CertificateSubject::Node(node),
        current_spki,
        spki: row.spki,
        serial: row.serial,
        not_after: row.not_after,
    });
    let actor = format!("node {node}");
    let proposal = proposal(fleet, actor, "renews its certificate", command);
    fleet
        .propose(proposal)
        .await?
        .map_err(RenewError::Rejected)?;
    Ok(())
}
