//! What is counted of mail: of one identity, in one stretch of time, at one group of receivers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BounceCategory, Categories};
use crate::id::ReceiverGroup;

/// Counts of a stretch of time. How they are counted: powermta.md §8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Final results: delivered and bounced.
    pub sent: u64,
    /// Delivered.
    pub delivered: u64,
    /// Bounced for a hard reason, and whatever came back later.
    pub bounced: u64,
    /// Distinct messages that were deferred, as far as the agent remembers them.
    pub deferred: u64,
    /// Complaints from feedback loops.
    pub complaints: u64,
    /// Final results that were refusals here and now, by category.
    pub categories: Categories,
    /// Bounces that came back later as mail: what they are about was counted as delivered before.
    pub returned: u64,
}

impl Counts {
    /// Nothing counted yet.
    pub const NONE: Self = Self {
        sent: 0,
        delivered: 0,
        bounced: 0,
        deferred: 0,
        complaints: 0,
        categories: Categories([0; BounceCategory::ALL.len()]),
        returned: 0,
    };

    /// How many records came to this, as far as they are told apart.
    #[must_use]
    pub const fn records(&self) -> u64 {
        let results = self.sent.saturating_add(self.returned);
        let others = self.deferred.saturating_add(self.complaints);
        results.saturating_add(others)
    }

    /// Adds what was counted elsewhere; stops at the largest number instead of wrapping.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in [
            (&mut self.sent, other.sent),
            (&mut self.delivered, other.delivered),
            (&mut self.bounced, other.bounced),
            (&mut self.deferred, other.deferred),
            (&mut self.complaints, other.complaints),
            (&mut self.returned, other.returned),
        ] {
            *own = own.saturating_add(more);
        }
        for (own, more) in self.categories.0.iter_mut().zip(other.categories.0) {
            *own = own.saturating_add(more);
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::NONE
    }
}

/// Counts of one identity's UTC day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCounts {
    /// Days since 1970-01-01.
    pub day: u32,
    /// By receiver; what belongs to no known one is counted under [`ReceiverGroup::other`].
    pub groups: BTreeMap<ReceiverGroup, Counts>,
}

impl DayCounts {
    /// All receivers together.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::NONE;
        for counts in self.groups.values() {
            total.add(counts);
        }
        total
    }
}
