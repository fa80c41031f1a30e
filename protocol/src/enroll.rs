//! Enrolment: what a new machine says on the enrol ALPN and what it is given.
//!
//! The enrol ALPN is the only one that a client without a certificate may use, and it can do nothing
//! but this: redeem a token, join as a node, renew a certificate that is past its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes::{CertificateSerial, SealingPublicKey, VerifyingKey};
use crate::crypto::{RecoveryPublic, Sealed, Signed};
use crate::desired::PlanKeyGrant;
use crate::id::{ClusterId, HostId, NodeId, Role, TokenId};
use crate::join::Endpoint;
use crate::observed::Mode;
use crate::time::Timestamp;

/// The one message of a client on the enrol ALPN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollRequest {
    /// A new host redeems its token.
    Host(HostEnrollment),
    /// A new coordinator node redeems its token.
    Node(NodeEnrollment),
    /// A host whose certificate has ended, or whose clock is broken, asks for a new one.
    Renew(ExpiredRenewal),
}

/// The secret half of a token on its way. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSecret(pub [u8; 32]);

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(redacted)")
    }
}

/// A new host's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEnrollment {
    /// Public half of the token.
    pub token: TokenId,
    /// Its secret half.
    pub secret: TokenSecret,
    /// PKCS#10 request (DER) for the P-256 key of the network half; proves possession of it.
    pub request: Vec<u8>,
    /// The executor's report key.
    pub report_key: VerifyingKey,
    /// The executor's decryption key.
    pub sealing_key: SealingPublicKey,
    /// Sandbox or real.
    pub mode: Mode,
    /// The machine's own name, for the audit log.
    pub hostname: String,
}

/// A new node's keys and where its peers and agents reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEnrollment {
    /// Public half of the token.
    pub token: TokenId,
    /// Its secret half.
    pub secret: TokenSecret,
    /// PKCS#10 request (DER) for the node's P-256 key.
    pub request: Vec<u8>,
    /// The cluster's key-encryption key is wrapped to this key.
    pub sealing_key: SealingPublicKey,
    /// Where the node's Raft end point will be.
    pub raft_endpoint: Endpoint,
    /// Where its agents will reach it (UDP).
    pub agent_endpoint: Endpoint,
    /// Where its HTTPS API will be (TCP).
    pub api_endpoint: Endpoint,
}

/// Renewal without a valid certificate: the current key signs this connection's exporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiredRenewal {
    /// The last certificate (DER) that the cluster issued to this host.
    pub certificate: Vec<u8>,
    /// PKCS#10 request (DER) for the new key.
    pub request: Vec<u8>,
    /// ECDSA P-256 signature (ASN.1) by the certificate's key over [`renewal_message`].
    pub proof: Vec<u8>,
}

/// Label of the TLS exporter (RFC 8446 section 7.5) that binds a renewal to one connection.
pub const RENEWAL_EXPORTER_LABEL: &[u8] = b"EXPORTER-email-engine-renew-v1";

/// What the current key signs: a domain, the 32 exporter bytes of this connection, the new request.
#[must_use]
pub fn renewal_message(exporter: &[u8; 32], request: &[u8]) -> Vec<u8> {
    let mut message = b"email-engine/renew/v1\0".to_vec();
    message.extend_from_slice(exporter);
    message.extend_from_slice(request);
    message
}

/// The one answer on the enrol ALPN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollReply {
    /// The host is let in.
    Host(Box<HostAdmission>),
    /// The node is let in.
    Node(Box<NodeAdmission>),
    /// It is not.
    Refused {
        /// Stable code.
        code: EnrollRefusal,
        /// For a person.
        reason: String,
    },
}

/// Why an enrolment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollRefusal {
    /// The request does not decode, prove or fit its kind.
    Malformed,
    /// No such token, wrong secret, or for another purpose: not told apart, so that nothing can be
    /// guessed.
    TokenUnknown,
    /// Past its end.
    TokenExpired,
    /// Already redeemed with another key.
    TokenUsed,
    /// The host or its certificate was revoked, retired, or its key was replaced.
    Revoked,
    /// A production cluster refuses sandboxes, and the other way round.
    WrongMode,
    /// No leader can be reached: come back.
    Unavailable,
}

/// What a host is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAdmission {
    /// The cluster.
    pub cluster: ClusterId,
    /// The host's name.
    pub host: HostId,
    /// Its role.
    pub role: Role,
    /// Its certificate and the intermediates below the root, leaf first (DER).
    pub chain: Vec<Vec<u8>>,
    /// The root certificate (DER); its key hash must be the token's pin.
    pub root: Vec<u8>,
    /// Verifies grants; pinned by the executor for ever.
    pub recovery: RecoveryPublic,
    /// The current plan key.
    pub plan_key: Signed<PlanKeyGrant>,
    /// The epoch in force: the executor's first floor.
    pub epoch: u64,
    /// All coordinators.
    pub coordinators: Vec<Endpoint>,
}

/// What a node is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAdmission {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node's number, never used before.
    pub node: NodeId,
    /// Its certificate and the intermediates below the root, leaf first (DER).
    pub chain: Vec<Vec<u8>>,
    /// The root certificate (DER).
    pub root: Vec<u8>,
    /// The key-encryption key, sealed to the node's key under info `email-engine/kek/v1`, with the
    /// node number (8 bytes, big endian) as associated data.
    pub key_encryption_key: Sealed,
    /// Raft end points of the members, by number.
    pub peers: Vec<(NodeId, Endpoint)>,
}

/// A renewed certificate of a live session, or of one past its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewedCertificate {
    /// The new chain, leaf first (DER).
    pub chain: Vec<Vec<u8>>,
    /// Its serial.
    pub serial: CertificateSerial,
    /// Its end.
    pub not_after: Timestamp,
}
