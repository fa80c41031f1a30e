//! Who may do what: API keys and join tokens.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::bytes::ContentHash;
use crate::id::{ApiKeyId, TenantId, TokenId};
use crate::join::Admission;
use crate::time::Timestamp;

/// What a key may do. Each role may also do what the ones below it may: admin, operator, viewer, metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// Reads.
    Viewer,
    /// Changes the fleet.
    Operator,
    /// Also keys, nodes, backups and forced changes.
    Admin,
    /// Reads the metrics of nodes, and nothing else. The least of all; last, because stored keys are read by
    /// their order here.
    Metrics,
}

impl AccessRole {
    const fn rank(self) -> u8 {
        match self {
            Self::Metrics => 0,
            Self::Viewer => 1,
            Self::Operator => 2,
            Self::Admin => 3,
        }
    }
}

impl Ord for AccessRole {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for AccessRole {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Asks for a new API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyRequest {
    /// Its name, for lists and the audit.
    pub id: ApiKeyId,
    /// What it may do.
    pub role: AccessRole,
    /// Sees and touches only this tenant's objects.
    #[serde(default)]
    pub tenant: Option<TenantId>,
}

/// A new API key: the only answer that ever shows the key itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// Its name.
    pub id: ApiKeyId,
    /// The key, shown once.
    pub key: String,
}

impl std::fmt::Debug for ApiKeyCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeyCreated")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// An API key as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyView {
    /// Its name.
    pub id: ApiKeyId,
    /// What it may do.
    pub role: AccessRole,
    /// Its tenant, when bound to one.
    pub tenant: Option<TenantId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Asks for a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it lets its bearer become.
    pub admission: Admission,
    /// How long it lives, in seconds.
    pub ttl_seconds: u64,
    /// The host exists and has an agent: replace its identity.
    #[serde(default)]
    pub replace: bool,
}

/// A new join token: the only answer that ever shows the token itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// Its public half.
    pub id: TokenId,
    /// The string to hand over, shown once.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCreated")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A join token as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its public half.
    pub id: TokenId,
    /// What it lets its bearer become.
    pub admission: Admission,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// `open`, `redeemed`, `revoked` or `expired`.
    pub state: String,
    /// Who used it, when it was used.
    #[serde(default)]
    pub used_by: Option<TokenUseView>,
    /// Other machines that showed it later and were refused: was the token stolen? At most four.
    #[serde(default)]
    pub refused: Vec<TokenUseView>,
}

/// A machine that showed a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUseView {
    /// SHA-256 of its TLS key.
    pub key: ContentHash,
    /// What it calls itself.
    pub machine: String,
    /// Address and port that it called from.
    pub from: String,
}
