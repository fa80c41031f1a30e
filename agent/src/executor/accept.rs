//! What the executor believes. Pure: every answer follows from its arguments.
//!
//! The recovery key, pinned at enrolment, stands above all: it grants plan keys, by monotone version,
//! and epochs. The plan key signs targets. A target is for this cluster and host, of an epoch that is
//! known to be granted, and not below the floor.

use email_engine_protocol::bytes::VerifyingKey;
use email_engine_protocol::crypto::{Signed, VerifyError};
use email_engine_protocol::desired::{EpochGrant, PlanKeyGrant, Target};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::wire::Floor;

/// Where an executor stands when something is offered to it.
#[derive(Clone, Debug)]
pub struct Standpoint<'a> {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The host that it keeps.
    pub host: &'a HostId,
    /// Verifies grants.
    pub recovery: &'a VerifyingKey,
    /// The plan key that it trusts.
    pub plan_key: &'a PlanKeyGrant,
    /// The epoch in which it was enrolled.
    pub enrolled_epoch: u64,
    /// The newest epoch that the recovery key granted.
    pub granted_epoch: Option<u64>,
    /// What it will not go below.
    pub floor: Option<Floor>,
}

/// A target that may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The accepted one, signed again perhaps.
    Known,
    /// One above the floor.
    New(Target),
}

/// Why a target is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferRefused {
    /// For another cluster.
    #[error("target is for cluster {got}, this host belongs to {expected}")]
    Cluster {
        /// Whom it is for.
        got: ClusterId,
        /// Who we are.
        expected: ClusterId,
    },
    /// The accepted generation with other content.
    #[error("generation {0} was accepted with other content")]
    Content(Generation),
    /// An epoch that nobody granted.
    #[error("epoch {got} is not granted by the recovery key: {known} is")]
    Epoch {
        /// The target's epoch.
        got: u64,
        /// The newest known one.
        known: u64,
    },
    /// For another host.
    #[error("target is for host {got}, this is {expected}")]
    Host {
        /// Whom it is for.
        got: HostId,
        /// Who we are.
        expected: HostId,
    },
    /// Below the floor.
    #[error("generation {got} is older than the accepted {floor}")]
    Old {
        /// The target's generation.
        got: Generation,
        /// The floor.
        floor: Generation,
    },
    /// Signed with a plan key of another version.
    #[error("target names plan key version {got}, version {trusted} is trusted")]
    PlanKeyVersion {
        /// What it names.
        got: u32,
        /// What is trusted.
        trusted: u32,
    },
    /// Not signed by the plan key.
    #[error("target: {0}")]
    Signature(VerifyError),
}

/// Judges a target.
///
/// # Errors
/// Why it is not taken.
pub fn judge_target(at: &Standpoint<'_>, signed: &Signed<Target>) -> Result<Verdict, OfferRefused> {
    let target = match signed.verify(&at.plan_key.key) {
        Ok(target) => target,
        Err(error) => {
            return Err(name_version(at, signed).unwrap_or(OfferRefused::Signature(error)));
        }
    };
    if target.plan_key_version != at.plan_key.version {
        return Err(OfferRefused::PlanKeyVersion {
            got: target.plan_key_version,
            trusted: at.plan_key.version,
        });
    }
    if target.cluster != at.cluster {
        return Err(OfferRefused::Cluster {
            got: target.cluster,
            expected: at.cluster,
        });
    }
    if target.host != *at.host {
        return Err(OfferRefused::Host {
            got: target.host,
            expected: at.host.clone(),
        });
    }
    judge_generation(at, target)
}

fn judge_generation(at: &Standpoint<'_>, target: Target) -> Result<Verdict, OfferRefused> {
    let floor_epoch = at.floor.map(|floor| floor.generation.epoch);
    let known = [Some(at.enrolled_epoch), at.granted_epoch, floor_epoch];
    let epoch = target.generation.epoch;
    if !known.contains(&Some(epoch)) {
        return Err(OfferRefused::Epoch {
            got: epoch,
            known: known.into_iter().flatten().max().unwrap_or_default(),
        });
    }
    match at.floor {
        Some(floor) if target.generation < floor.generation => Err(OfferRefused::Old {
            got: target.generation,
            floor: floor.generation,
        }),
        Some(floor) if target.generation > floor.generation => Ok(Verdict::New(target)),
        Some(floor) if target.digest == floor.digest => Ok(Verdict::Known),
        Some(_) => Err(OfferRefused::Content(target.generation)),
        None => Ok(Verdict::New(target)),
    }
}

/// A wrong signature with another version in it is most likely that version's: a better answer.
fn name_version(at: &Standpoint<'_>, signed: &Signed<Target>) -> Option<OfferRefused> {
    let got = signed.unverified().ok()?.plan_key_version;
    (got != at.plan_key.version).then_some(OfferRefused::PlanKeyVersion {
        got,
        trusted: at.plan_key.version,
    })
}

/// Why a grant is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefused {
    /// For another cluster.
    #[error("grant is for cluster {got}, this host belongs to {expected}")]
    Cluster {
        /// Whom it is for.
        got: ClusterId,
        /// Who we are.
        expected: ClusterId,
    },
    /// Another key under a version that is trusted already.
    #[error("plan key version {0} was granted with another key")]
    Key(u32),
    /// Older than what is trusted.
    #[error("{what} {got} is below the trusted {trusted}")]
    Old {
        /// What it grants.
        what: &'static str,
        /// What it grants, as a number.
        got: u64,
        /// What is trusted.
        trusted: u64,
    },
    /// Not signed by the recovery key.
    #[error("grant: {0}")]
    Signature(#[from] VerifyError),
}

/// Judges a plan key grant; nothing when it says what is known.
///
/// # Errors
/// Why it is not believed.
pub fn judge_plan_key(
    cluster: ClusterId,
    recovery: &VerifyingKey,
    trusted: Option<&PlanKeyGrant>,
    signed: &Signed<PlanKeyGrant>,
) -> Result<Option<PlanKeyGrant>, GrantRefused> {
    let grant = signed.verify(recovery)?;
    check_cluster(cluster, grant.cluster)?;
    match trusted {
        Some(trusted) if grant.version < trusted.version => Err(GrantRefused::Old {
            what: "plan key version",
            got: u64::from(grant.version),
            trusted: u64::from(trusted.version),
        }),
        Some(trusted) if grant.version == trusted.version => {
            if grant.key == trusted.key {
                Ok(None)
            } else {
                Err(GrantRefused::Key(grant.version))
            }
        }
        _ => Ok(Some(grant)),
    }
}

/// Judges an epoch grant; nothing when it says what is known.
///
/// # Errors
/// Why it is not believed.
pub fn judge_epoch(
    cluster: ClusterId,
    recovery: &VerifyingKey,
    trusted: Option<&EpochGrant>,
    signed: &Signed<EpochGrant>,
) -> Result<Option<EpochGrant>, GrantRefused> {
    let grant = signed.verify(recovery)?;
    check_cluster(cluster, grant.cluster)?;
    match trusted {
        Some(trusted) if grant.epoch < trusted.epoch => Err(GrantRefused::Old {
            what: "epoch",
            got: grant.epoch,
            trusted: trusted.epoch,
        }),
        Some(trusted) if grant.epoch == trusted.epoch => Ok(None),
        _ => Ok(Some(grant)),
    }
}

fn check_cluster(expected: ClusterId, got: ClusterId) -> Result<(), GrantRefused> {
    if got == expected {
        Ok(())
    } else {
        Err(GrantRefused::Cluster { got, expected })
    }
}
