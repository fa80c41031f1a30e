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
    /// Opens and clicks of these days, as MailWizz tells them of campaigns that were asked for here; of an
    /// identity, of those that it sent alone. None by hour: they are told by day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opens: Vec<OpensRow>,
    /// There is more: ask again `from` here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

/// Opens and clicks of one day: what came to them between the last reading before it and its own last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpensRow {
    /// The beginning of the day.
    pub at: Timestamp,
    /// Recipients that opened; absent when that is not known, which is not none.
    pub opens: Option<u64>,
    /// Recipients that followed a link, likewise.
    pub clicks: Option<u64>,
    /// Mails of these campaigns that were handed over for delivery, likewise.
    pub of: Option<u64>,
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

/// Records that were counted for nobody, since the first of them after a day without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncounted {
    /// How many.
    pub count: u64,
    /// When the cluster was told of the first of them.
    pub since: Timestamp,
    /// And of the last.
    pub last: Timestamp,
}

impl Uncounted {
    /// It ends when none came for so long.
    const ENDS_AFTER: u64 = Timestamp::DAY;

    /// Adds some.
    pub fn note(known: &mut Option<Self>, count: u64, now: Timestamp) {
        if count == 0 {
            return;
        }
        let before = known.filter(|known| known.is_current(now));
        let before = before.unwrap_or(Self {
            count: 0,
            since: now,
            last: now,
        });
        *known = Some(Self {
            count: before.count.saturating_add(count),
            last: now,
            ..before
        });
    }

    /// Whether it still is news.
    #[must_use]
    pub const fn is_current(&self, now: Timestamp) -> bool {
        now.since(self.last) < Self::ENDS_AFTER
    }
}

/// Records of one host's accounting files that are in nobody's statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncountedView {
    /// Of an address that was no identity's on the host when they were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclaimed: Option<Uncounted>,
    /// From before the first day that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_old: Option<Uncounted>,
}

impl UncountedView {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.unclaimed.is_none() && self.too_old.is_none()
    }

    /// Those that still are news.
    #[must_use]
    pub fn current(self, now: Timestamp) -> Self {
        let current = |one: Option<Uncounted>| one.filter(|one| one.is_current(now));
        Self {
            unclaimed: current(self.unclaimed),
            too_old: current(self.too_old),
        }
    }

    /// Each in words, for people.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let said = |one: Option<Uncounted>, why: &str| {
            let Uncounted { count, since, last } = one?;
            Some(format!(
                "{count} accounting records since {since} are in nobody's statistics, last at {last}: {why}"
            ))
        };
        let unclaimed = "their address was no identity's of the host when they were written";
        let too_old = "they are older than what is kept";
        let all = [said(self.unclaimed, unclaimed), said(self.too_old, too_old)];
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_for_nobody_is_news_for_a_day_and_then_begins_anew() {
        let at = Timestamp(1_795_240_800_000);
        let mut view = UncountedView::default();
        Uncounted::note(&mut view.unclaimed, 0, at);
        assert!(view.is_empty());
        Uncounted::note(&mut view.unclaimed, 3, at);
        let later = at.plus(Timestamp::HOUR);
        Uncounted::note(&mut view.unclaimed, 4, later);
        assert_eq!(
            view.words(),
            [
                "7 accounting records since 2026-11-21T06:00:00.000Z are in nobody's statistics, last at \
                 2026-11-21T07:00:00.000Z: their address was no identity's of the host when they were \
                 written"
            ]
        );
        let ends = later.plus(Timestamp::DAY);
        assert!(!view.current(Timestamp(ends.0 - 1)).is_empty());
        assert!(view.current(ends).is_empty());
        Uncounted::note(&mut view.unclaimed, 1, ends);
        assert_eq!(view.unclaimed.unwrap().count, 1);
    }
}
