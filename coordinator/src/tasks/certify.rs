//! Keeps a certificate on every host at which the fleet submits mail: the first one when the host is
//! declared, another when it is called otherwise, the next at half of its life.
//!
//! Who submits has to trust the authority before a server shows what it issued: a mailer that finds
//! STARTTLS offered may use it unasked, and refuse a server that it cannot check. So a change of the
//! authority goes to those hosts first, and servers follow when every one of them has reported to have
//! it, however long that takes: a machine whose agent is off may well send. `status` says who is waited
//! for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::SystemRandom;
use tokio::time::{sleep, timeout};

use email_engine_protocol::bytes::CertificateSerial;
use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use super::{leads, look};
use crate::command::{
    COVERED, Command, Rejection, SetSubmissionAuthority, SetSubmissionCertificate,
};
use crate::pki::Life;
use crate::pki::submission::{SubmissionError, SubmissionIssuer, vouch};
use crate::push::{Fleet, now, proposal};
use crate::raft::ProposeError;
use crate::seal::Vault;
use crate::state::{FleetState, SubmissionAuthority, SubmissionNames};

/// A look without a change.
const IDLE: Duration = Duration::from_secs(60);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// Why no certificate is issued.
#[derive(Debug, thiserror::Error)]
enum CertifyError {
    #[error(transparent)]
    Issue(#[from] SubmissionError),
    #[error("no certificate could be made: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
    #[error("refused: {0}")]
    Rejected(Rejection),
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The authority vouches for these from now on.
    Vouch(BTreeSet<SubmissionNames>),
    /// This host gets a certificate.
    Certify {
        host: HostId,
        names: SubmissionNames,
        replaces: Option<CertificateSerial>,
    },
    /// Nothing before this moment, unless something changes.
    Nothing(Option<Timestamp>),
}

/// Issues while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, vault: Arc<Vault>, life: Life) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let Some((found, rest)) = look(&fleet, |state| next(state, now())).await else {
            sleep(AGAIN).await;
            continue;
        };
        let done = match found {
            Next::Nothing(until) => {
                sleep(rest).await;
                let wait = until.map_or(IDLE, |until| Duration::from_millis(until.since(now())));
                // A moment that is over by the clock is looked at again, not waited for.
                let wait = wait.clamp(Duration::from_millis(50), IDLE);
                if let Ok(Err(_)) = timeout(wait, applied.changed()).await {
                    return;
                }
                continue;
            }
            Next::Vouch(covers) => vouch_for(&fleet, &vault, covers).await,
            Next::Certify {
                host,
                names,
                replaces,
            } => certify(&fleet, &vault, (host, names, replaces), life).await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "no certificate for submission");
            sleep(AGAIN).await;
        }
    }
}

/// When something that lives so long wants to be renewed.
const fn half_life(issued_at: Timestamp, not_after: Timestamp) -> Timestamp {
    Timestamp(issued_at.0 + not_after.0.saturating_sub(issued_at.0) / 2)
}

fn next(state: &FleetState, now: Timestamp) -> Next {
    let wanted = state.submission_wanted();
    if wanted.is_empty() || state.cluster.is_none() {
        return Next::Nothing(None);
    }
    let covers: BTreeSet<_> = wanted.values().take(COVERED).cloned().collect();
    let Some(record) = &state.submission_authority else {
        return Next::Vouch(covers);
    };
    let SubmissionAuthority {
        issued_at,
        not_after,
        covers: covered,
        ..
    } = &record.authority;
    let mut soonest = half_life(*issued_at, *not_after);
    if *covered != covers || soonest <= now {
        return Next::Vouch(covers);
    }
    let may_begin = state.submission_distrusted_by().next().is_none();
    for (host, names) in wanted {
        let row = state.submission_certificates.get(host);
        let same = row.filter(|row| row.names == names);
        match same.map(|row| half_life(row.issued_at, row.not_after)) {
            Some(due) if due > now => soonest = soonest.min(due),
            // Beyond what one authority can vouch for: as every host was before there was one.
            _ if !covered.contains(&names) => {}
            // The next certificate is trusted as the one before it is.
            None if !may_begin => {}
            _ => {
                return Next::Certify {
                    host: host.clone(),
                    names,
                    replaces: row.map(|row| row.serial),
                };
            }
        }
    }
    Next::Nothing(Some(soonest))
}

async fn vouch_for<F: Fleet>(
    fleet: &F,
    vault: &Vault,
    covers: BTreeSet<SubmissionNames>,
) -> Result<(), CertifyError> {
    let (cluster, before) = fleet.view(|state| {
        let cluster = state.cluster.as_ref().map(|cluster| cluster.id);
        (cluster, state.submission_authority.clone())
    });
    let Some(cluster) = cluster else {
        return Ok(());
    };
    let before = before.as_deref().map(|record| &record.authority);
    let random = SystemRandom::new();
    let authority = vouch(cluster, covers, before, (vault, &Entropy(&random), now()))?;
    let hosts = authority.covers.len();
    let command = Command::SetSubmissionAuthority(Box::new(SetSubmissionAuthority {
        replaces: before.map(|before| before.serial),
        authority,
    }));
    propose(fleet, "who takes mail from the fleet has changed", command).await?;
    tracing::info!(hosts, "authority for submission vouches");
    Ok(())
}

async fn certify<F: Fleet>(
    fleet: &F,
    vault: &Arc<Vault>,
    (host, names, replaces): (HostId, SubmissionNames, Option<CertificateSerial>),
    life: Life,
) -> Result<(), CertifyError> {
    let Some(record) = fleet.view(|state| state.submission_authority.clone()) else {
        return Ok(());
    };
    let authority = record.authority.serial;
    let sealing = Arc::clone(vault);
    let (whose, called) = (host.clone(), names.clone());
    let made = tokio::task::spawn_blocking(move || {
        let random = SystemRandom::new();
        let entropy = Entropy(&random);
        let issuer = SubmissionIssuer::load(&record.authority, &sealing)?;
        let issued = issuer.issue(&whose, &called, (&entropy, now(), life))?;
        let sealed = sealing.seal_secret(&issued.secret, &entropy);
        Ok::<_, SubmissionError>((issued.secret.commitment(), sealed, issued.term))
    });
    let (commitment, sealed, term) = made.await??;
    let command = Command::SetSubmissionCertificate(Box::new(SetSubmissionCertificate {
        host: host.clone(),
        names,
        commitment,
        sealed,
        serial: term.serial,
        not_after: term.not_after,
        authority,
        replaces,
    }));
    let why = match replaces {
        Some(_) => "its certificate for submission is replaced",
        None => "the fleet submits there",
    };
    propose(fleet, why, command).await?;
    tracing::info!(%host, until = %term.not_after, "host has a certificate for submission");
    Ok(())
}

async fn propose<F: Fleet>(fleet: &F, why: &str, command: Command) -> Result<(), CertifyError> {
    let actor = format!("node {}", fleet.node());
    let answer = fleet.propose(proposal(fleet, actor, why, command)).await?;
    answer.map(drop).map_err(CertifyError::Rejected)
}
