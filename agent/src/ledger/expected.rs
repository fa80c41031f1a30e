//! Whom this host may belong to, by the word of whoever holds the machine: what a join token says, without
//! its secret.
//!
//! The executor believes a first trust by this alone, whatever the network half brings. It is kept until the
//! host is retired: a trust that is pinned needs it no longer, and one that was lost is asked for anew.

use std::path::PathBuf;

use email_engine_protocol::bytes::RecoveryPin;
use email_engine_protocol::id::{ClusterId, HostId, Role, TokenId};
use email_engine_protocol::join::{Admission, JoinToken, TrustPin};
use serde::{Deserialize, Serialize};

use super::read_trust;
use super::tombstone::Tombstone;
use crate::halves::Trust;
use crate::host::{Cabinet, RecordError};

pub(super) const RECORD: &str = "expected";

/// What is expected of a first trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The token that says so.
    pub token: TokenId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The host's name.
    pub host: HostId,
    /// Its role.
    pub role: Role,
    /// The root of what is signed for it, and where the fleet stood.
    pub trust: TrustPin,
}

/// Why a trust or a token is not the one that is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// Of another cluster.
    #[error("it is of cluster {got}, and this machine was told to join {expected}")]
    Cluster {
        /// Whose it is.
        got: ClusterId,
        /// Who is expected.
        expected: ClusterId,
    },
    /// Of another host.
    #[error("it is for host {got}, and this machine was told to be {expected}")]
    Host {
        /// Whom it is for.
        got: HostId,
        /// Who is expected.
        expected: HostId,
    },
    /// Nothing is expected.
    #[error(
        "nobody has told this machine whom it may belong to: whoever holds it has to, as root, by \
         `email-engine-bootstrap agent --join-file FILE`, or where the halves are started by hand by \
         `email-engine-agent expect --join-token-file FILE`"
    )]
    Nobody,
    /// A plan key that was replaced.
    #[error(
        "it brings plan key version {got}, and version {least} was in force when its token was made"
    )]
    PlanKey {
        /// Its version.
        got: u32,
        /// The least that is believed.
        least: u32,
    },
    /// Another recovery key.
    #[error("it has the recovery key {got}, and this machine was told to believe {expected}")]
    Recovery {
        /// What it has.
        got: RecoveryPin,
        /// What is expected.
        expected: RecoveryPin,
    },
    /// The host was retired.
    #[error(
        "{0}; it belongs to nobody until it is joined anew: make a token with `email-engine token create`, \
         and as root run `email-engine-bootstrap agent --join-file FILE`, or where the halves are started by \
         hand `email-engine-agent expect --join-token-file FILE`"
    )]
    Retired(Tombstone),
    /// Of another role.
    #[error(
        "it is for a host of role {got}, and this machine was told to be one of role {expected}"
    )]
    Role {
        /// Which.
        got: Role,
        /// Which is expected.
        expected: Role,
    },
}

/// Why a token cannot say whom this host may belong to.
#[derive(Debug, thiserror::Error)]
pub enum ExpectError {
    /// It is for a node.
    #[error(
        "this join token admits a coordinator node, not a host: make one with `email-engine token create \
         --role ROLE --host HOST`"
    )]
    NotForHosts,
    /// The machine is a host already.
    #[error("this machine is host {0} already, and the join token says otherwise: {1}")]
    Other(HostId, Unexpected),
    /// What was written down cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The host was retired, and its executor still runs: at its end it would forget what it is told now.
    #[error(
        "the host that this machine was is retired, and its executor, which runs on {}, still has to forget it: \
         it ends by itself within a minute, or by `systemctl stop email-engine-executor.service`; then do this \
         again", .0.display()
    )]
    Retiring(PathBuf),
    /// It is the one by which the host was let in before it was retired.
    #[error(
        "{was}, which join token {token} had let in: make another one with `email-engine token create`"
    )]
    Spent {
        /// What the host was.
        was: Tombstone,
        /// The token.
        token: TokenId,
    },
}

impl Expected {
    /// What a token says; nothing when it is not for a host.
    #[must_use]
    pub fn by(token: &JoinToken) -> Option<Self> {
        let Admission::Host { host, role } = &token.admission else {
            return None;
        };
        Some(Self {
            token: token.id.clone(),
            cluster: token.cluster,
            host: host.clone(),
            role: *role,
            trust: token.trust,
        })
    }

    /// What was written down, if anything was.
    ///
    /// # Errors
    /// When it is damaged or unreadable.
    pub fn read(cabinet: &Cabinet) -> Result<Option<Self>, RecordError> {
        cabinet.read(RECORD)
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, cabinet: &Cabinet) -> Result<(), RecordError> {
        cabinet.write(RECORD, self)
    }

    /// The trust as far as it may be believed. Its epoch is only claimed, so that of the token is taken: one above
    /// it needs a grant, as ever, and one below it would let nodes speak that a recovery threw out.
    ///
    /// # Errors
    /// When it is another one than is expected.
    pub fn judge(&self, trust: Trust) -> Result<Trust, Unexpected> {
        self.compare(trust.cluster, &trust.host, trust.role, trust.recovery.pin())?;
        Ok(Trust {
            epoch: self.trust.epoch,
            ..trust
        })
    }

    /// Whether a plan key of this version may be the first.
    ///
    /// # Errors
    /// When it was replaced before the token was made.
    pub const fn judge_plan_key(&self, version: u32) -> Result<(), Unexpected> {
        if version < self.trust.plan_key_version {
            return Err(Unexpected::PlanKey {
                got: version,
                least: self.trust.plan_key_version,
            });
        }
        Ok(())
    }

    /// Whether a token leads to what is expected.
    ///
    /// # Errors
    /// When it leads elsewhere.
    pub fn judge_token(&self, token: &JoinToken) -> Result<(), Unexpected> {
        match Self::by(token) {
            Some(other) => {
                self.compare(other.cluster, &other.host, other.role, other.trust.recovery)
            }
            // Whoever redeems it says what it is for.
            None => Ok(()),
        }
    }

    /// Whether it is what was pinned already.
    ///
    /// # Errors
    /// When the machine is another host, or one of somebody else's.
    pub fn judge_pinned(&self, pinned: &Trust) -> Result<(), ExpectError> {
        let recovery = pinned.recovery.pin();
        self.compare(pinned.cluster, &pinned.host, pinned.role, recovery)
            .map_err(|why| ExpectError::Other(pinned.host.clone(), why))
    }

    fn compare(
        &self,
        cluster: ClusterId,
        host: &HostId,
        role: Role,
        recovery: RecoveryPin,
    ) -> Result<(), Unexpected> {
        if cluster != self.cluster {
            return Err(Unexpected::Cluster {
                got: cluster,
                expected: self.cluster,
            });
        }
        if *host != self.host {
            return Err(Unexpected::Host {
                got: host.clone(),
                expected: self.host.clone(),
            });
        }
        if role != self.role {
            return Err(Unexpected::Role {
                got: role,
                expected: self.role,
            });
        }
        if recovery != self.trust.recovery {
            return Err(Unexpected::Recovery {
                got: recovery,
                expected: self.trust.recovery,
            });
        }
        Ok(())
    }
}

/// Takes a token's word for whom this host may belong to. That it was retired is then over.
///
/// # Errors
/// When the token is not for this machine, or the disk refuses.
pub fn expect(cabinet: &Cabinet, token: &JoinToken) -> Result<Expected, ExpectError> {
    let expected = Expected::by(token).ok_or(ExpectError::NotForHosts)?;
    if let Some(trust) = read_trust(cabinet)? {
        expected.judge_pinned(&trust)?;
    }
    let tombstone = Tombstone::read(cabinet).unwrap_or_else(|error| {
        tracing::warn!(%error, "what the host was cannot be told");
        None
    });
    match tombstone {
        Some(was) if was.token.as_ref() == Some(&token.id) => {
            let token = token.id.clone();
            return Err(ExpectError::Spent { was, token });
        }
        // First: between the two the host belongs to nobody.
        _ => Tombstone::remove(cabinet)?,
    }
    let known = Expected::read(cabinet).ok().flatten();
    if known.as_ref() != Some(&expected) {
        expected.write(cabinet)?;
    }
    Ok(expected)
}

/// What is expected, or why nothing is.
///
/// # Errors
/// When nothing is expected, or it cannot be read.
pub fn expected(cabinet: &Cabinet) -> Result<Result<Expected, Unexpected>, RecordError> {
    Ok(match Expected::read(cabinet)? {
        Some(expected) => Ok(expected),
        None => Err(match Tombstone::read(cabinet)? {
            Some(tombstone) => Unexpected::Retired(tombstone),
            None => Unexpected::Nobody,
        }),
    })
}
