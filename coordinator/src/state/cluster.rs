//! The cluster itself: its name, its keys, its nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::bytes::CaPin;
use email_engine_protocol::crypto::{RecoveryPublic, Sealed, Signed};
use email_engine_protocol::desired::{EpochGrant, PlanKeyGrant};
use email_engine_protocol::id::{ClusterId, NodeId};
use email_engine_protocol::join::{Endpoint, TrustPin};
use email_engine_protocol::observed::Mode;
use email_engine_protocol::time::Timestamp;

use super::SealedAtRest;

/// What makes this cluster this cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Its name.
    pub id: ClusterId,
    /// Raised by restore and recovery; part of every generation.
    pub epoch: u64,
    /// Shown to agents when the epoch is above the first.
    pub epoch_grant: Option<Signed<EpochGrant>>,
    /// Commands and planner semantics that may be used; raised only when all voters support it.
    pub version: u32,
    /// Whether agents are real machines or sandboxes. A production cluster refuses sandboxes.
    pub mode: Mode,
    /// Public halves of the recovery key.
    pub recovery: RecoveryPublic,
    /// The root certificate (DER).
    pub root: Vec<u8>,
    /// Hash of its public key: what tokens pin.
    pub ca_pin: CaPin,
    /// The root's private key, sealed to the recovery key: no node can use it.
    pub root_key: Sealed,
    /// The intermediate that nodes issue with.
    pub issuer: Issuer,
    /// Keys that targets are signed with, by version.
    pub plan_keys: BTreeMap<u32, PlanKey>,
    /// When the cluster was made.
    pub created_at: Timestamp,
}

impl ClusterRecord {
    /// Whom a machine that joins now may believe.
    #[must_use]
    pub fn trust_pin(&self) -> TrustPin {
        TrustPin {
            recovery: self.recovery.pin(),
            plan_key_version: self.plan_keys.keys().next_back().copied().unwrap_or(0),
            epoch: self.epoch,
        }
    }
}

/// An intermediate certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Its certificate (DER), signed by the root.
    pub certificate: Vec<u8>,
    /// Its private key (PKCS#8 DER), sealed with the cluster's key-encryption key.
    pub key: SealedAtRest,
}

/// A key that targets are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanKey {
    /// Public half with the recovery key's word for it.
    pub grant: Signed<PlanKeyGrant>,
    /// Ed25519 seed, sealed with the cluster's key-encryption key.
    pub key: SealedAtRest,
}

/// A coordinator node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Raft end point.
    pub raft_endpoint: Endpoint,
    /// Agents' end point.
    pub agent_endpoint: Endpoint,
    /// HTTPS end point.
    pub api_endpoint: Endpoint,
    /// Its part; removed nodes stay on record.
    pub role: MemberRole,
    /// When it joined.
    pub joined_at: Timestamp,
    /// Newest cluster version that its software supports.
    pub supports_version: u32,
}
