//! Ways to people, and what is kept quiet.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{AlertKind, ChannelSpec};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::Line;
use crate::state::SealedAtRest;

/// A way to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Where alerts go.
    pub spec: ChannelSpec,
    /// Whose it is; none: the fleet's.
    pub tenant: Option<TenantId>,
    /// Its secret (postcard of `SecretBytes`), sealed.
    pub secret: Option<SealedAtRest>,
    /// When it was made or changed.
    pub changed_at: Timestamp,
    /// Last time that it took something.
    pub delivered_at: Option<Timestamp>,
    /// Since when it takes nothing.
    pub failing_since: Option<Timestamp>,
    /// Why, the last time.
    pub error: Option<Line>,
    /// Nothing is sent before this: it was asked for, or it failed.
    pub wait_until: Timestamp,
    /// How often it failed in a row.
    pub failures: u32,
}

/// Something is kept quiet for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Of this kind.
    pub kind: Option<AlertKind>,
    /// About this, as alerts say it.
    pub subject: Option<Line>,
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who asked for it.
    pub by: Line,
    /// Why.
    pub reason: Line,
}
