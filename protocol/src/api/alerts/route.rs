//! Who is told what, and what is kept quiet for a while.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AlertKind, Severity};
use crate::id::{ChannelName, RouteName, TenantId};
use crate::time::Timestamp;

/// Which alerts go to which channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Alerts of this tenant alone. None: of all tenants, and of the fleet itself.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// These and graver ones.
    #[serde(default)]
    pub at_least: Severity,
    /// These kinds alone; none named: all.
    #[serde(default)]
    pub kinds: BTreeSet<AlertKind>,
    /// To all of these. A tenant's channel is in routes of that tenant alone.
    pub channels: BTreeSet<ChannelName>,
}

/// A route with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteView {
    /// Its name.
    pub name: RouteName,
    /// What it says.
    pub route: RouteSpec,
}

/// Keeps alerts quiet for a while: they are listed and not delivered. Of `kind`, `subject` and `tenant`, at
/// least one is named, and all that are named have to fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceRequest {
    /// Alerts of this kind.
    #[serde(default)]
    pub kind: Option<AlertKind>,
    /// Alerts about this, as they say it: `ip 192.0.2.1`, `host pmta1`.
    #[serde(default)]
    pub subject: Option<String>,
    /// Alerts of this tenant.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// For so many minutes, 1 to 43200 (30 days).
    pub minutes: u32,
    /// Why.
    pub reason: String,
}

/// A silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceView {
    /// Its number.
    pub id: u64,
    /// Alerts of this kind.
    pub kind: Option<AlertKind>,
    /// Alerts about this.
    pub subject: Option<String>,
    /// Alerts of this tenant.
    pub tenant: Option<TenantId>,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
}
