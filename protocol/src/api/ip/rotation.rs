//! The rotation of an identity's DKIM key: from the new record that is to be published to the old one that
//! is withdrawn.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Statement;
use crate::api::DomainRecord;
use crate::id::TenantId;
use crate::mail::DomainName;
use crate::time::Timestamp;

/// Where a rotation stands. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RotationStage {
    /// The new record is to be published, and was not seen on every authoritative server yet.
    Publish,
    /// It was seen there; the host gets the new key, and signs with the old one.
    Verified,
    /// The host has the new key and is told to sign with it.
    Switching,
    /// It signs with the new key; the old record stays for what was signed before.
    Switched,
    /// The old record says that its key is not good any more.
    Retired,
}

impl RotationStage {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Publish,
        Self::Verified,
        Self::Switching,
        Self::Switched,
        Self::Retired,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Verified => "verified",
            Self::Switching => "switching",
            Self::Switched => "switched",
            Self::Retired => "retired",
        }
    }
}

impl fmt::Display for RotationStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a key is rotated. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RotationCause {
    /// An operator asked for it.
    Asked,
    /// The key is old enough.
    Scheduled,
    /// The key is known to others.
    Emergency,
}

/// Body of `POST /ips/{address}/dkim/rotate` and `POST /tenants/{tenant}/dkim/rotate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// The key is known to others: its record says so as soon as the new one signs.
    #[serde(default)]
    pub emergency: bool,
}

/// One rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationView {
    /// Where it stands.
    pub stage: RotationStage,
    /// Since when it stands there.
    pub since: Timestamp,
    /// When it began.
    pub begun_at: Timestamp,
    /// Why.
    pub cause: RotationCause,
    /// The selector whose key signs, or is to sign, when it is over.
    pub new_selector: String,
    /// The selector whose key signed when it began.
    pub old_selector: String,
    /// What was seen of the new record last.
    pub seen: Option<Statement>,
    /// By when this stage should be over; what follows waits as long as it must.
    pub deadline: Option<Timestamp>,
    /// Why it does not go on, once it should have.
    pub stuck: Option<String>,
    /// What it waits for.
    pub waits_for: String,
}

/// The DKIM keys of one identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimView {
    /// Its address.
    pub address: IpAddr,
    /// Whose it is.
    pub tenant: TenantId,
    /// The domain that signs.
    pub domain: DomainName,
    /// The selector whose key signs now.
    pub selector: String,
    /// Since when.
    pub since: Timestamp,
    /// When the key is changed by itself at the latest, while the identity sends.
    pub due: Timestamp,
    /// A rotation that is under way, or whose old record is not gone yet.
    pub rotation: Option<RotationView>,
    /// DKIM records that must be published now.
    pub publish: Vec<DomainRecord>,
    /// DKIM records that must say from now on that their key is not good any more.
    pub withdraw: Vec<DomainRecord>,
    /// What it costs and should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Answer of `POST /tenants/{tenant}/dkim/rotate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRotation {
    /// Rotations that began, or were hurried on.
    pub begun: usize,
    /// Identities that have one under way already.
    pub under_way: usize,
    /// Identities that had no room in this call: ask again.
    pub remaining: usize,
    /// Those that began.
    pub identities: Vec<DkimView>,
}
