//! Sending identities and their pools.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::id::{HostId, PoolName, SecretId, TenantId};
use email_engine_protocol::time::Timestamp;

/// A sending identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What was declared, with everything decided.
    pub spec: IpSpec,
    /// Its DKIM private key in the table of secrets.
    pub dkim_key: SecretId,
    /// Public half of it: base64 of the DER SubjectPublicKeyInfo, as DNS wants it.
    pub dkim_public: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// Fleet revision since which its virtual MTA is on its host.
    pub placed_at: u64,
}

/// An inventory group of one tenant's identities on one PowerMTA host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: PoolName,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where its identities are.
    pub host: HostId,
}
