//! Keeps this node's own certificate fresh: at half of its life the node issues itself the next one,
//! for a new key, with the names under which the state knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use email_engine_protocol::id::NodeId;
use email_engine_protocol::time::Timestamp;

use crate::command::{Command, RenewCertificate};
use crate::pki::store::{IdentityStore, StoreError};
use crate::pki::{
    Authority, AuthorityError, Credential, CredentialError, IssueError, Issued, NodeIdentity, Term,
};
use crate::push::{Fleet, now, proposal};
use crate::raft::ProposeError;
use crate::seal::Vault;
use crate::state::{CertificateSubject, FleetState};

/// Longest sleep: a machine that was suspended notices by then.
const NAP: Duration = Duration::from_secs(600);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(60);

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
    identity: watch::Sender<Arc<NodeIdentity>>,
) {
    loop {
        let present = identity.borrow().clone();
        let wait = match due(&present) {
            Ok(due) if due > now() => Duration::from_millis(due.since(now())).min(NAP),
            Ok(_) => match renew(&fleet, &vault, &store, &present).await {
                Ok(renewed) => {
                    tracing::info!(node = %renewed.node, "own certificate renewed");
                    identity.send_replace(Arc::new(renewed));
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "own certificate not renewed");
                    AGAIN
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

/// When a node's certificate wants to be renewed: in the middle between its issue and its end.
///
/// # Errors
/// When it does not parse.
pub fn due(identity: &NodeIdentity) -> Result<Timestamp, CredentialError> {
    let leaf = identity
        .chain
        .first()
        .ok_or(CredentialError::Form("the chain is empty"))?;
    let credential = Credential::read(identity.cluster, leaf)?;
    let term = Term::of(credential.serial, credential.not_after);
    Ok(term.half_life())
}

/// Issues this node's next certificate from the state that it has; also for a node that slept past
/// its end, which cannot reach anybody before it has a new one.
///
/// # Errors
/// When the state or the vault does not allow it.
pub fn reissue(
    state: &FleetState,
    vault: &Vault,
    node: NodeId,
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
    Ok(authority.issue_own(node, &endpoints, now())?)
}

async fn renew<F: Fleet>(
    fleet: &F,
    vault: &Vault,
    store: &IdentityStore,
    present: &NodeIdentity,
) -> Result<NodeIdentity, RenewError> {
    let current = Credential::read(present.cluster, &present.chain[0])?;
    let (identity, issued) = fleet.view(|state| reissue(state, vault, present.node))?;
    let command = Command::RenewCertificate(RenewCertificate {
        subject: CertificateSubject::Node(present.node),
        current_spki: current.spki,
        spki: issued.spki,
        serial: issued.serial,
        not_after: issued.not_after,
    });
    let actor = format!("node {}", present.node);
    let proposal = proposal(fleet, actor, "renews its certificate", command);
    fleet
        .propose(proposal)
        .await?
        .map_err(RenewError::Rejected)?;
    store.save(&identity)?;
    Ok(identity)
}
