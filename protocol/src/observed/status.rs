//! How one resource was found and what was done about it.

use serde::{Deserialize, Serialize};

use super::Told;
use crate::desired::ResourceKind;
use crate::id::ResourceId;
use crate::time::Timestamp;

/// A measured value, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed<T> {
    /// Measured at a time.
    Known {
        /// What was measured.
        value: T,
        /// When.
        at: Timestamp,
    },
    /// Could not be measured.
    Unknown {
        /// Why.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

impl<T> Observed<T> {
    /// The value, when there is one.
    #[must_use]
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }
}

/// One resource as the last pass left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// Which one.
    pub id: ResourceId,
    /// Its kind.
    pub kind: ResourceKind,
    /// How it is.
    pub state: ResourceState,
}

/// How a resource is after a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceState {
    /// Not touched because something that it depends on failed.
    Blocked(String),
    /// Found right.
    Converged,
    /// Differs, and its policy says to leave it: what differs.
    Drifted(String),
    /// Could not be made right: why.
    Failed(String),
    /// Would be spawned or changed on a real host; this one is a sandbox.
    Simulated,
    /// Cannot be known here: why.
    Unknown(String),
    /// Found right, and asked for what it tells. What tells nothing is [`Converged`](Self::Converged).
    Told(Told),
}

impl ResourceState {
    /// Whether it is as it shall be, as far as this host can show it.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        matches!(self, Self::Converged | Self::Simulated | Self::Told(_))
    }
}
