//! Alerts as they are answered.

use serde::{Deserialize, Serialize};

use super::{AlertKind, Severity};
use crate::id::{ChannelName, TenantId};
use crate::time::Timestamp;

/// What is told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// That it is so.
    Raised,
    /// That it is over.
    Resolved,
}

impl Occasion {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Resolved => "resolved",
        }
    }
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It will be tried, perhaps again.
    Waiting,
    /// The channel took it.
    Delivered,
    /// The channel will never take it, or did not for three days.
    GivenUp,
    /// It was over before it was told.
    Dropped,
}

impl DeliveryState {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::GivenUp => "given-up",
            Self::Dropped => "dropped",
        }
    }
}

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertView {
    /// Its number in this cluster.
    pub id: u64,
    /// By which receivers know it: the same in each delivery, so that a double can be dropped.
    pub key: String,
    /// What happened.
    pub kind: AlertKind,
    /// How grave it is.
    pub severity: Severity,
    /// What it is about, such as `ip 192.0.2.1`.
    pub subject: String,
    /// Whose it is; none: the fleet's.
    pub tenant: Option<TenantId>,
    /// In one line.
    pub title: String,
    /// In more.
    pub text: Vec<String>,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// When it was seen last.
    pub last_at: Timestamp,
    /// How often it was seen.
    pub count: u32,
    /// When it ended; none while it goes on, and of what is an event.
    pub resolved_at: Option<Timestamp>,
    /// The silence that keeps it quiet.
    pub silenced_by: Option<u64>,
    /// To whom it was told, or will be.
    pub deliveries: Vec<DeliveryView>,
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryView {
    /// Through which channel.
    pub channel: ChannelName,
    /// What of it.
    pub occasion: Occasion,
    /// How far it is.
    pub state: DeliveryState,
    /// Attempts that came to nothing.
    pub attempts: u32,
    /// When it is tried next, or when it came to its end.
    pub at: Timestamp,
    /// What went wrong the last time.
    pub error: Option<String>,
}

/// Sends an alert to see whether alerts arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// To this channel alone, whatever routes say.
    #[serde(default)]
    pub channel: Option<ChannelName>,
}

/// The alert that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestView {
    /// Its number.
    pub id: u64,
    /// To which channels it goes.
    pub channels: Vec<ChannelName>,
}
