//! What was counted of mail, as answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{HostId, ReceiverGroup};
use crate::observed::{BounceCategory, Counts};
use crate::time::Timestamp;

/// By what counts are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatisticsBy {
    /// UTC days; 400 are kept.
    #[default]
    Day,
    /// UTC hours; those of 14 days are kept.
    Hour,
}

/// Counts of an identity or a tenant. `GET /api/v1/ips/{address}/stats` and
/// `GET /api/v1/tenants/{tenant}/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsView {
    /// Oldest first; what has no row was not counted.
    pub rows: Vec<StatisticsRow>,
    /// Times of which records of the hosts may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapView>,
    /// All that the hosts wrote before this is counted; absent when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_until: Option<Timestamp>,
    /// There is more: ask again `from` here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

/// Counts of one day or hour at one group of receivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsRow {
    /// The beginning of the day or hour.
    pub at: Timestamp,
    /// Whose mailboxes; `other` is whatever the catalogue does not know.
    pub group: ReceiverGroup,
    /// Final results: delivered and bounced.
    pub sent: u64,
    /// Delivered.
    pub delivered: u64,
    /// Bounced for a hard reason, bounces that came back later included.
    pub bounced: u64,
    /// Messages that were put off.
    pub deferred: u64,
    /// Complaints from feedback loops.
    pub complaints: u64,
    /// Bounces that came back later as mail.
    pub returned: u64,
    /// Refusals here and now by category, those that there were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub categories: BTreeMap<BounceCategory, u64>,
}

impl StatisticsRow {
    /// A row of these counts.
    #[must_use]
    pub fn new(at: Timestamp, group: ReceiverGroup, counts: &Counts) -> Self {
        let all = BounceCategory::ALL.into_iter();
        let categories = all.map(|category| (category, counts.categories.of(category)));
        Self {
            at,
            group,
            sent: counts.sent,
            delivered: counts.delivered,
            bounced: counts.bounced,
            deferred: counts.deferred,
            complaints: counts.complaints,
            returned: counts.returned,
            categories: categories.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// A time of which records of a host may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapView {
    /// Whose.
    pub host: HostId,
    /// Until then all was read.
    pub from: Timestamp,
    /// From then on it is again.
    pub to: Timestamp,
}
