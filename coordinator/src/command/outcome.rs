//! What a command comes to.

use std::fmt;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{HostId, NodeId};

use crate::state::SeriesChange;

/// The answer to a proposal.
pub type Answer = Result<Outcome, Rejection>;

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Fleet revision after it. Each change inside a batch is one.
    pub revision: u64,
    /// What came of it.
    pub effect: Effect,
}

/// What came of a command, where the asker cannot know it beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Done.
    Done,
    /// Nothing to do: it was so already. No audit entry, no revision.
    Unchanged,
    /// Targets were set; hosts whose parent was stale are left out.
    Targets(Vec<(HostId, Generation)>),
    /// A node was given this number.
    Node(NodeId),
    /// Effects of a batch, in its order.
    Batch(Vec<Self>),
    /// An alert was raised under this number.
    Alert(u64),
    /// Alerts are kept quiet by this silence.
    Silence(u64),
}

/// A change of what is stored beside the tables, carried out by the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyChange {
    /// Store these bytes.
    Put(ContentHash, Vec<u8>),
    /// Neither a target nor an artifact needs it any more.
    Drop(ContentHash),
    /// Series change, in the same write as the index of the entry that says so.
    Series(SeriesChange),
}

/// A command that was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Rejection {
    /// Stable code.
    pub code: RejectionCode,
    /// The field that is wrong, such as `domain`, or `commands[56].domain` in a batch.
    pub field: String,
    /// Its value.
    pub value: String,
    /// What would be accepted, or who has it already.
    pub accepted: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} {:?}: {}",
            self.code.as_str(),
            self.field,
            self.value,
            self.accepted
        )
    }
}

/// Stable codes of refusals. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectionCode {
    /// The cluster exists already, or does not exist yet.
    ClusterState,
    /// The proposer's clock is behind the fleet's, or too far ahead.
    Clock,
    /// The same request id came with another command.
    RequestReused,
    /// The fleet changed since the asker looked.
    StaleRevision,
    /// Something of that name exists already.
    AlreadyExists,
    /// No such thing.
    NotFound,
    /// Address, hostname, domain, sender or virtual MTA belongs to another identity.
    Duplicate,
    /// Belongs to another tenant.
    ForeignTenant,
    /// A brand domain, or an ancestor of one, may not send.
    BrandDomain,
    /// A pool holds identities of one tenant and one host.
    PoolMismatch,
    /// The host has another role than is needed.
    WrongRole,
    /// The thing is still in use.
    InUse,
    /// The thing is not in a state for this.
    WrongState,
    /// No DKIM key is prepared.
    NoPreparedKey,
    /// The token is unknown, or its secret is wrong.
    TokenUnknown,
    /// The token is past its end.
    TokenExpired,
    /// The token was used with another key, or taken back.
    TokenUsed,
    /// The target's parent is not current.
    StaleParent,
    /// The value is not acceptable.
    Invalid,
    /// Too many or too large.
    Limit,
    /// The cluster version does not allow it yet.
    Version,
    /// Not for a key that is bound to a tenant.
    Forbidden,
    /// No room for it, by a limit that the nodes are configured with.
    StorageFull,
    /// An identity's life has no such turn from where it stands.
    NoEdge,
    /// An identity was not seen to be fit for sending.
    Preflight,
    /// The turn is there, its time is not.
    NotYet,
}

impl RejectionCode {
    /// The code as it is answered.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterState => "cluster-state",
            Self::Clock => "clock",
            Self::RequestReused => "request-reused",
            Self::StaleRevision => "stale-revision",
            Self::AlreadyExists => "already-exists",
            Self::NotFound => "not-found",
            Self::Duplicate => "duplicate",
            Self::ForeignTenant => "foreign-tenant",
            Self::BrandDomain => "brand-domain",
            Self::PoolMismatch => "pool-mismatch",
            Self::WrongRole => "wrong-role",
            Self::InUse => "in-use",
            Self::WrongState => "wrong-state",
            Self::NoPreparedKey => "no-prepared-key",
            Self::TokenUnknown => "token-unknown",
            Self::TokenExpired => "token-expired",
            Self::TokenUsed => "token-used",
            Self::StaleParent => "stale-parent",
            Self::Invalid => "invalid",
            Self::Limit => "limit",
            Self::Version => "version",
            Self::Forbidden => "forbidden",
            Self::StorageFull => "storage-full",
            Self::NoEdge => "no-edge",
            Self::Preflight => "preflight",
            Self::NotYet => "not-yet",
        }
    }
}
