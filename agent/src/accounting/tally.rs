//! Counts by identity and hour.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use email_engine_protocol::desired::RecordKind;
use email_engine_protocol::limits;
use email_engine_protocol::observed::IdentityTotals;
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::line::record::Record;

/// Hours that are kept, the current one included.
const HOURS: u32 = 48;
/// Deferred messages that are remembered.
const DEFERRALS: usize = 4096;

/// Rows of counts, at most [`STATISTICS_ROWS`](limits::STATISTICS_ROWS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    rows: BTreeMap<(IpAddr, u32), IdentityTotals>,
    left_out: u64,
}

impl Tally {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.left_out == 0
    }

    /// The rows, in order.
    #[must_use]
    pub fn rows(&self) -> Vec<IdentityTotals> {
        self.rows.values().copied().collect()
    }

    /// Records for which there was no room.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Counts a record. `is_first`: no deferral of its message was seen before.
    pub fn count(&mut self, address: IpAddr, record: &Record, is_first: bool) {
        let hour = hour(record.at);
        let is_full = self.rows.len() >= limits::STATISTICS_ROWS;
        if is_full && !self.rows.contains_key(&(address, hour)) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let none = IdentityTotals::none(address, hour);
        let row = self.rows.entry((address, hour)).or_insert(none);
        let mut one = none;
        let hard = u64::from(record.category.is_hard());
        match record.kind {
            RecordKind::Delivered => (one.sent, one.delivered) = (1, 1),
            RecordKind::Bounced => {
                (one.sent, one.bounced) = (1, hard);
                one.categories.count(record.category);
            }
            RecordKind::Returned => (one.returned, one.bounced) = (1, hard),
            RecordKind::Deferred => one.deferred = u64::from(is_first),
            RecordKind::Complaint => one.complaints = 1,
        }
        row.add(&one);
    }

    /// Forgets what is older than two days.
    pub fn prune(&mut self, now: Timestamp) {
        let now = hour(now);
        self.rows
            .retain(|(_, hour), _| hour.saturating_add(HOURS) > now);
    }
}

fn hour(at: Timestamp) -> u32 {
    u32::try_from(at.0 / Timestamp::HOUR).unwrap_or(u32::MAX)
}

/// The messages that were deferred of late. A message is one sender, one recipient and one time of
/// queueing; one that is deferred again after so many others counts once more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "VecDeque<u64>", into = "VecDeque<u64>")]
pub struct Deferrals {
    order: VecDeque<u64>,
    known: BTreeSet<u64>,
}

impl Deferrals {
    /// Remembers a message, and says whether it was not known.
    pub fn is_first(&mut self, message: u64) -> bool {
        if !self.known.insert(message) {
            return false;
        }
        self.order.push_back(message);
        while self.order.len() > DEFERRALS {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        true
    }
}

impl From<VecDeque<u64>> for Deferrals {
    fn from(messages: VecDeque<u64>) -> Self {
        let mut deferrals = Self::default();
        for message in messages {
            deferrals.is_first(message);
        }
        deferrals
    }
}

impl From<Deferrals> for VecDeque<u64> {
    fn from(deferrals: Deferrals) -> Self {
        deferrals.order
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::observed::BounceCategory;
    use proptest::prelude::*;

    use super::super::names::tests::record;
    use super::*;

    #[test]
    fn only_what_the_words_say_is_counted() {
        let mut tally = Tally::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut count = |kind, category, is_first| {
            let record = Record {
                category,
                ..record(kind, "vmta-1", "")
            };
            tally.count(address, &record, is_first);
        };
        count(RecordKind::Delivered, BounceCategory::Other, false);
        count(RecordKind::Bounced, BounceCategory::BadMailbox, false);
        count(RecordKind::Bounced, BounceCategory::QuotaIssues, false);
        count(RecordKind::Returned, BounceCategory::BadDomain, false);
        count(RecordKind::Deferred, BounceCategory::Other, true);
        count(RecordKind::Deferred, BounceCategory::Other, false);
        count(RecordKind::Complaint, BounceCategory::Other, false);
        let row = tally.rows()[0];
        assert_eq!(
            (
                row.sent,
                row.delivered,
                row.bounced,
                row.deferred,
                row.complaints,
                row.returned
            ),
            (3, 1, 2, 1, 1, 1)
        );
        assert_eq!(row.categories.of(BounceCategory::BadMailbox), 1);
        assert_eq!(row.categories.of(BounceCategory::QuotaIssues), 1);
        assert_eq!(row.categories.of(BounceCategory::BadDomain), 0);
        tally.prune(row.begins().plus(47 * Timestamp::HOUR));
        assert!(!tally.is_empty());
        tally.prune(row.begins().plus(48 * Timestamp::HOUR));
        assert!(tally.is_empty());
    }

    #[test]
    fn a_deferral_is_remembered_until_many_others_came() {
        let mut deferrals = Deferrals::default();
        assert!(deferrals.is_first(7));
        assert!(!deferrals.is_first(7));
        for other in 0..4096 {
            deferrals.is_first(1_000_000 + other);
        }
        assert!(deferrals.is_first(7));
        let again = Deferrals::from(VecDeque::from(deferrals.clone()));
        assert_eq!(again, deferrals);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn every_record_is_in_a_row_or_left_out(many in prop::collection::vec((0_u8..60, 0_u64..80), 0..5000)) {
            let mut tally = Tally::default();
            for (address, hour) in &many {
                let at = Timestamp(hour * Timestamp::HOUR);
                let record = Record { at, ..record(RecordKind::Delivered, "", "") };
                tally.count(IpAddr::from([192, 0, 2, *address]), &record, false);
            }
            let sent: u64 = tally.rows().iter().map(|row| row.sent).sum();
            prop_assert_eq!(sent + tally.left_out(), many.len() as u64);
            prop_assert!(tally.rows().len() <= limits::STATISTICS_ROWS);
        }
    }
}
