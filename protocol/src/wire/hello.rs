//! The first exchange of a session: versions, who, what is held.

use serde::{Deserialize, Serialize};

use crate::bytes::{ContentHash, Nonce};
use crate::crypto::Signed;
use crate::desired::{EpochGrant, PlanKeyGrant};
use crate::generation::Generation;
use crate::id::{ClusterId, HostId, NodeId};
use crate::join::Endpoint;
use crate::observed::{GenerationStates, Mode};
use crate::time::Timestamp;

/// An inclusive range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Oldest that is spoken.
    pub min: u16,
    /// Newest that is spoken.
    pub max: u16,
}

/// What this build speaks.
pub const SUPPORTED: Versions = Versions { min: 1, max: 1 };

/// Two sides that have no version in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no common protocol version: we speak {}-{}, the other side {}-{}", ours.min, ours.max, theirs.min, theirs.max)]
pub struct VersionError {
    /// Our range.
    pub ours: Versions,
    /// Theirs.
    pub theirs: Versions,
}

/// The newest version that both sides speak.
///
/// # Errors
/// When there is none, or a range is upside down.
pub const fn negotiate(ours: Versions, theirs: Versions) -> Result<u16, VersionError> {
    let max = if ours.max < theirs.max {
        ours.max
    } else {
        theirs.max
    };
    let min = if ours.min > theirs.min {
        ours.min
    } else {
        theirs.min
    };
    if min <= max && theirs.min <= theirs.max {
        Ok(max)
    } else {
        Err(VersionError { ours, theirs })
    }
}

/// The agent's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Versions that the agent speaks.
    pub versions: Versions,
    /// Its software version, for people.
    pub software: String,
    /// Sandbox or real.
    pub mode: Mode,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// Who it is; must be the host of its certificate.
    pub host: HostId,
    /// Where it stands: an epoch or number ahead of the replicated state freezes planning for it.
    pub generations: GenerationStates,
    /// Floor of the executor: nothing below it is accepted any more.
    pub floor: Option<Floor>,
    /// The plan key version that its executor trusts.
    pub plan_key_version: u32,
}

/// What the executor will not go below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The newest accepted generation.
    pub generation: Generation,
    /// Its content.
    pub digest: ContentHash,
}

/// The coordinator's answer to a good Hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that is spoken from here on.
    pub version: u16,
    /// Who answers.
    pub node: NodeId,
    /// To be put in every report of this session.
    pub nonce: Nonce,
    /// All coordinators, for the next time.
    pub coordinators: Vec<Endpoint>,
    /// The current plan key.
    pub plan_key: Signed<PlanKeyGrant>,
    /// Present when the cluster was restored or recovered.
    pub epoch_grant: Option<Signed<EpochGrant>>,
    /// The coordinator's clock.
    pub now: Timestamp,
}

/// The coordinator's answer to anything else, before it closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// For a person.
    pub reason: String,
    /// Come back after this many milliseconds; as the agent's own back-off says, when absent.
    pub retry_after_millis: Option<u64>,
}

/// Why a session is refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalCode {
    /// No common version.
    Version,
    /// The certificate is for another host or cluster, or the Hello lies about it.
    Identity,
    /// The host or certificate was revoked or retired.
    Revoked,
    /// Sandbox at a production cluster.
    WrongMode,
    /// The node has no leader: go to another.
    NoLeader,
    /// A newer connection of the same host took over.
    Superseded,
    /// Too many at once: come back.
    Busy,
    /// A message that does not belong here.
    Protocol,
    /// The agent holds and has said why: noted.
    Holding,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_chosen() {
        let range = |min, max| Versions { min, max };
        assert_eq!(negotiate(range(1, 3), range(2, 5)), Ok(3));
        assert_eq!(negotiate(range(1, 1), range(1, 9)), Ok(1));
        assert!(negotiate(range(1, 1), range(2, 3)).is_err());
        assert!(negotiate(range(1, 5), range(4, 2)).is_err());
    }
}
