//! Who may do what: join tokens, API keys, certificates.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::AccessRole;
use email_engine_protocol::bytes::{CertificateSerial, ContentHash, SecretHash};
use email_engine_protocol::id::{ApiKeyId, HostId, NodeId, TenantId, TokenId};
use email_engine_protocol::join::Admission;
use email_engine_protocol::time::Timestamp;

/// Longest name or address that is kept of a machine that showed a token.
const TOKEN_USE_CHARS: usize = 60;

/// A join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public half.
    pub id: TokenId,
    /// Hash of its secret half.
    pub secret: SecretHash,
    /// What it lets its bearer become.
    pub admission: Admission,
    /// It may replace a living identity.
    pub replace: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it was used.
    pub state: TokenState,
    /// Who used it, when it was.
    pub used_by: Option<TokenUse>,
    /// Other machines that showed it later and were refused: the first few of them.
    pub refused: Vec<TokenUse>,
}

impl Token {
    /// Other machines that are kept of one token. Whoever makes up new keys for ever fills neither
    /// the log nor the state.
    pub const REFUSED: usize = 4;

    /// Whether a machine with this key is a second one that is not on record yet.
    #[must_use]
    pub fn is_news(&self, spki: &ContentHash) -> bool {
        matches!(&self.state, TokenState::Redeemed { spki: holder, .. } if holder != spki)
            && self.refused.len() < Self::REFUSED
            && self.refused.iter().all(|known| known.spki != *spki)
    }
}

/// A machine that showed a token together with its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// SHA-256 of its TLS key (SubjectPublicKeyInfo).
    pub spki: ContentHash,
    /// What it calls itself: the name of a host, the end point of a node.
    pub machine: String,
    /// Where it called from, as the node saw it.
    pub from: String,
}

impl TokenUse {
    /// What a stranger says of itself is cut and loses what does not print.
    #[must_use]
    pub fn new(spki: ContentHash, machine: &str, from: &str) -> Self {
        let short = |text: &str| text.escape_debug().take(TOKEN_USE_CHARS).collect();
        Self {
            spki,
            machine: short(machine),
            from: short(from),
        }
    }
}

/// Whether a token was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenState {
    /// Not yet.
    Open,
    /// By the holder of this TLS key (SHA-256 of its SubjectPublicKeyInfo), who may repeat it.
    Redeemed {
        /// Whose key.
        spki: ContentHash,
        /// The number that was given, when it let a node in.
        node: Option<NodeId>,
    },
    /// Taken back.
    Revoked,
}

/// An API key. Its secret half is stored hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its name.
    pub id: ApiKeyId,
    /// Hash of its secret half.
    pub secret: SecretHash,
    /// What it may do.
    pub role: AccessRole,
    /// Its tenant, when bound to one.
    pub tenant: Option<TenantId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A certificate that the cluster issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Its serial.
    pub serial: CertificateSerial,
    /// Whose it is.
    pub subject: CertificateSubject,
    /// SHA-256 of its key (SubjectPublicKeyInfo).
    pub spki: ContentHash,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// Whose a certificate is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CertificateSubject {
    /// An agent's.
    Host(HostId),
    /// A node's.
    Node(NodeId),
}
