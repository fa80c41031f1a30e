//! Counts by identity, hour and group of receivers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::desired::RecordKind;
use email_engine_protocol::id::ReceiverGroup;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{Counts, IdentityTotals};
use email_engine_protocol::time::Timestamp;

use crate::accounting::line::record::Record;

/// Rows of counts, at most [`STATISTICS_ROWS`](limits::STATISTICS_ROWS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    rows: BTreeMap<(IpAddr, u32, ReceiverGroup), Counts>,
}

impl Tally {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows, in order.
    #[must_use]
    pub fn into_rows(self) -> Vec<IdentityTotals> {
        let row = |((address, hour, group), counts)| IdentityTotals {
            address,
            hour,
            group,
            counts,
        };
        self.rows.into_iter().map(row).collect()
    }

    /// Counts a record, and says whether there was room. `is_first`: no deferral of its message was
    /// seen before.
    #[must_use]
    pub fn count(
        &mut self,
        address: IpAddr,
        group: ReceiverGroup,
        record: &Record,
        is_first: bool,
    ) -> bool {
        let key = (address, hour(record.at), group);
        let is_full = self.rows.len() >= limits::STATISTICS_ROWS;
        if is_full && !self.rows.contains_key(&key) {
            return false;
        }
        self.rows
            .entry(key)
            .or_default()
            .add(&one(record, is_first));
        true
    }
}

/// What one record counts.
fn one(record: &Record, is_first: bool) -> Counts {
    let mut one = Counts::NONE;
    let hard = u64::from(record.category.is_hard());
    match record.kind {
        RecordKind::Delivered => (one.sent, one.delivered) = (1, 1),
        RecordKind::Bounced => {
            (one.sent, one.bounced) = (1, hard);
            one.categories.count(record.category);
        }
        // Whatever its category: the receiver took it and gave it back for good. It makes a bounce of
        // what was counted as delivered; `returned` says of how many.
        RecordKind::Returned => (one.returned, one.bounced) = (1, 1),
        RecordKind::Deferred => one.deferred = u64::from(is_first),
        RecordKind::Complaint => one.complaints = 1,
    }
    one
}

fn hour(at: Timestamp) -> u32 {
    u32::try_from(at.0 / Timestamp::HOUR).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::observed::BounceCategory;
    use proptest::prelude::*;

    use super::*;
    use crate::accounting::names::tests::record;

    #[test]
    fn only_what_the_words_say_is_counted() {
        let mut tally = Tally::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut count = |kind, category, is_first| {
            let record = Record {
                category,
                ..record(kind, "vmta-1", "")
            };
            assert!(tally.count(address, ReceiverGroup::other(), &record, is_first));
        };
        count(RecordKind::Delivered, BounceCategory::Other, false);
        count(RecordKind::Bounced, BounceCategory::BadMailbox, false);
        count(RecordKind::Bounced, BounceCategory::QuotaIssues, false);
        count(RecordKind::Returned, BounceCategory::BadDomain, false);
        count(RecordKind::Returned, BounceCategory::QuotaIssues, false);
        count(RecordKind::Deferred, BounceCategory::Other, true);
        count(RecordKind::Deferred, BounceCategory::Other, false);
        count(RecordKind::Complaint, BounceCategory::Other, false);
        let row = tally.into_rows()[0].counts;
        assert_eq!(
            (
                row.sent,
                row.delivered,
                row.bounced,
                row.deferred,
                row.complaints,
                row.returned
            ),
            (3, 1, 3, 1, 1, 2)
        );
        assert_eq!(row.categories.of(BounceCategory::BadMailbox), 1);
        assert_eq!(row.categories.of(BounceCategory::QuotaIssues), 1);
        assert_eq!(row.categories.of(BounceCategory::BadDomain), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn every_record_is_in_a_row_or_finds_no_room(many in prop::collection::vec((0_u8..60, 0_u64..80), 0..5000)) {
            let mut tally = Tally::default();
            let mut refused = 0;
            for (address, hour) in &many {
                let at = Timestamp(hour * Timestamp::HOUR);
                let record = Record { at, ..record(RecordKind::Delivered, "", "") };
                let address = IpAddr::from([192, 0, 2, *address]);
                refused += u64::from(!tally.count(address, ReceiverGroup::other(), &record, false));
            }
            prop_assert!(tally.len() <= limits::STATISTICS_ROWS);
            let sent: u64 = tally.into_rows().iter().map(|row| row.counts.sent).sum();
            prop_assert_eq!(sent + refused, many.len() as u64);
        }
    }
}
