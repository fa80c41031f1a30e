//! Where an identity stands in the warm-up.

use serde::{Deserialize, Serialize};

use super::{WarmupRates, WarmupReason, WarmupVerdict};
use crate::api::Phase;
use crate::observed::DayCounts;
use crate::time::Timestamp;

/// Where an identity stands in the warm-up: the truth of it. The phase of its declaration is where it
/// entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmupPlan {
    /// The phase.
    pub phase: Phase,
    /// Since when.
    pub phase_started_at: Timestamp,
    /// Mails a day that it has reached, whatever keeps it from sending them now.
    pub reached: u32,
    /// Mails a day that it may send now, when its status lets it send at all.
    pub daily_quota: u32,
    /// Until then half of what it has reached.
    pub paused_until: Option<Timestamp>,
    /// It takes no new mail until an operator says so.
    pub stopped: Option<WarmupStop>,
    /// Beginning of the last day that was judged.
    pub judged_on: Option<Timestamp>,
    /// What came of it.
    pub verdict: Option<WarmupVerdict>,
    /// By which rates.
    pub rates: WarmupRates,
    /// An operator let it go on, on this day: what was counted of the day until then, and of days before, is
    /// not held against it any more.
    pub forgiven: Option<DayCounts>,
}

/// Why and since when an identity takes no new mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmupStop {
    /// Since when.
    pub at: Timestamp,
    /// The lines that were broken.
    pub reasons: Vec<WarmupReason>,
}
