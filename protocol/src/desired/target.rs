//! What is signed: a host's current target, and the grants that only the recovery key can give.

use serde::{Deserialize, Serialize};

use crate::bytes::{ContentHash, VerifyingKey};
use crate::crypto::Signable;
use crate::generation::Generation;
use crate::id::{ClusterId, HostId};
use crate::time::Timestamp;

/// "This host shall be at this generation, which is the manifest with this digest."
///
/// Signed with the cluster's plan key. Re-signing the same content under a later `issued_at` is not
/// other content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The cluster that speaks.
    pub cluster: ClusterId,
    /// The host that is spoken to.
    pub host: HostId,
    /// Number of this desired state; carries the epoch.
    pub generation: Generation,
    /// Hash of the manifest's bytes.
    pub digest: ContentHash,
    /// Which plan key signed it. Judged by monotone version, not by date.
    pub plan_key_version: u32,
    /// When it was signed: a lower bound of the present for a host with a broken clock.
    pub issued_at: Timestamp,
}

impl Signable for Target {
    const DOMAIN: &'static str = "email-engine/target/v1";
}

/// "Targets may be signed with this key." Signed with the recovery key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanKeyGrant {
    /// The cluster that speaks.
    pub cluster: ClusterId,
    /// Grows with every rotation; an agent never goes back to a lower one.
    pub version: u32,
    /// The key.
    pub key: VerifyingKey,
}

impl Signable for PlanKeyGrant {
    const DOMAIN: &'static str = "email-engine/plan-key/v1";
}

/// "The cluster was restored or recovered and speaks in this epoch from now on." Signed with the
/// recovery key: without it nobody can lift a host over its floor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochGrant {
    /// The cluster that speaks.
    pub cluster: ClusterId,
    /// The new epoch, above any that was seen before.
    pub epoch: u64,
    /// When it was granted.
    pub issued_at: Timestamp,
}

impl Signable for EpochGrant {
    const DOMAIN: &'static str = "email-engine/epoch/v1";
}
