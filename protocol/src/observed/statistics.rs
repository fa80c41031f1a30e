//! Statistics read from PowerMTA's accounting files, in immutable batches.
//!
//! A batch covers the bytes `from..to` of one file. It is added only when `from` is the cluster's own
//! cursor of that file, and cursor and counts change as one, so that no record is lost or counted twice
//! whoever is restarted, wiped or replaced meanwhile. The agent begins where the cluster's cursor stands.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Counts, ListReplies, MailNotices, reply};
use crate::bytes::{ContentHash, Nonce};
use crate::crypto::Signable;
use crate::id::{ClusterId, HostId, ReceiverGroup};
use crate::limits::STATISTICS_BYTES;
use crate::time::Timestamp;

/// Bytes before a cursor that its mark is the hash of; fewer at the beginning of a file.
pub const TAIL_BYTES: usize = 4096;

/// Records of an identity that left its host are read, and counted for it, for so long: the product keeps its
/// accounting files for eight days, so that nothing older stands in them, and bounces and complaints about
/// what was sent last still come.
pub const OWNED_FOR: u64 = 8 * Timestamp::DAY;

/// Which accounting file: its name, and the hash of its first bytes, because names are used again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountingFileId {
    /// File name without its folder, such as `acct-2026-11-21-0000.csv`.
    pub name: String,
    /// SHA-256 of its header line and first record.
    pub head: ContentHash,
}

impl AccountingFileId {
    /// What stands before date and number in its name; none when it is not named as the product does.
    #[must_use]
    pub fn stem(&self) -> Option<&str> {
        stem(&self.name)
    }

    /// Whether the date in its name has come by then.
    #[must_use]
    pub fn is_dated_by(&self, at: Timestamp) -> bool {
        let stem = self.stem().map_or(0, str::len);
        let date = self.name.get(stem + 1..stem + 11);
        let latest = at.to_string();
        date.is_some_and(|date| latest.get(..10).is_some_and(|latest| date <= latest))
    }

    /// Sorts the files of one stem by date and number, which outgrow their digits some day.
    #[must_use]
    pub fn order(&self) -> (usize, &str) {
        (self.name.len(), &self.name)
    }
}

fn stem(name: &str) -> Option<&str> {
    let mut parts = name.rsplitn(5, '-');
    let number = parts.next()?.split('.').next()?;
    let digits = |part: &str, least: usize, most: usize| {
        (least..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let dated = digits(number, 4, 9)
        && digits(parts.next()?, 2, 2)
        && digits(parts.next()?, 2, 2)
        && digits(parts.next()?, 4, 4);
    let stem = parts.next()?;
    (dated && !stem.is_empty()).then_some(stem)
}

/// By what a place in a file is known again: a machine that was rolled back to an earlier day has a file
/// of the same name and beginning, with other records in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The latest time of a record before it.
    pub last: Timestamp,
    /// SHA-256 of the [`TAIL_BYTES`] before it.
    pub tail: ContentHash,
}

/// Up to where a file is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCursor {
    /// The file.
    pub file: AccountingFileId,
    /// First byte that is not counted.
    pub at: u64,
    /// What stood before it.
    pub mark: Mark,
}

/// Up to where all files of a host are counted: where the agent begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountingCursors {
    /// Files of which something is counted, at most
    /// [`ACCOUNTING_CURSORS`](crate::limits::ACCOUNTING_CURSORS).
    pub files: Vec<FileCursor>,
    /// By stem, the last name of files whose cursors were forgotten: what is not above it and has no
    /// cursor was counted once.
    pub floors: BTreeMap<String, String>,
    /// All files were read to their ends at this time, by the host's clock.
    pub read_until: Option<Timestamp>,
}

/// What was counted in the bytes `from..to` of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The file.
    pub file: AccountingFileId,
    /// First byte that is covered.
    pub from: u64,
    /// First byte that is not.
    pub to: u64,
    /// The cluster's cursor that this is said in place of, when the file lost what stood before it.
    pub instead_of: Option<u64>,
    /// Knows `to` again.
    pub mark: Mark,
    /// What was counted, in order of address, hour and group, at most
    /// [`STATISTICS_ROWS`](crate::limits::STATISTICS_ROWS).
    pub totals: Vec<IdentityTotals>,
    /// Replies among what was counted that name a list of bad senders, in order of address and list, at most
    /// [`REPLY_ROWS`](crate::limits::REPLY_ROWS).
    pub replies: Vec<ListReplies>,
}

/// Bytes of the shortest line that counts: type, time and the line's end.
const LEAST_LINE: u64 = 4;

impl Stretch {
    /// What of it cannot be, whatever stands in the file.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let Some(bytes) = self.to.checked_sub(self.from) else {
            return Some("its end is before its beginning");
        };
        if bytes > STATISTICS_BYTES {
            return Some("it is longer than any that is told at once");
        }
        let mut lines = 0_u64;
        for row in &self.totals {
            let counts = &row.counts;
            let Some(refused) = counts.sent.checked_sub(counts.delivered) else {
                return Some("more is delivered than sent");
            };
            let categories = counts.categories.0.iter();
            if categories.fold(0, |sum: u64, one| sum.saturating_add(*one)) != refused {
                return Some("its refusals are not those of all categories");
            }
            if counts.bounced > refused.saturating_add(counts.returned) {
                return Some("more bounced than was refused or came back");
            }
            lines = lines.saturating_add(counts.records());
        }
        if lines > bytes / LEAST_LINE {
            return Some("it counts more records than have room in it");
        }
        // A deferral may be one of a message that was counted before, so that more replies than counts are true.
        reply::fault(&self.replies, bytes / LEAST_LINE)
    }
}

/// Records of this time may be missing: files went before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// Until then all was read.
    pub from: Timestamp,
    /// From then on it is again.
    pub to: Timestamp,
}

/// What an agent says of its accounting files. Signed by the executor, with the coordinator's nonce, as
/// a report is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsBatch {
    /// The host that has the files.
    pub host: HostId,
    /// What was counted in one of them; none when there is only something to say of all.
    pub stretch: Option<Stretch>,
    /// A gap that was found, once.
    pub gap: Option<Gap>,
    /// With this batch all that was written before this time is told, by the host's clock.
    pub read_until: Option<Timestamp>,
    /// The cluster that the host belongs to.
    pub cluster: ClusterId,
    /// The nonce of the session that it is for.
    pub nonce: Nonce,
    /// What an operator should know of all files together, as of now: it takes the place of what the
    /// batch before said.
    pub notices: MailNotices,
}

impl Signable for StatisticsBatch {
    const DOMAIN: &'static str = "email-engine/statistics/v3";
}

/// Counts of one identity in one UTC hour at one group of receivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityTotals {
    /// The sending address.
    pub address: IpAddr,
    /// Hours since 1970-01-01T00:00:00Z.
    pub hour: u32,
    /// Whose mailboxes.
    pub group: ReceiverGroup,
    /// What was counted.
    pub counts: Counts,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::BounceCategory;

    #[test]
    fn a_stretch_counts_no_more_than_has_room_in_it() {
        let mut counts = Counts {
            sent: 10,
            delivered: 8,
            bounced: 3,
            deferred: 5,
            complaints: 1,
            returned: 1,
            ..Counts::NONE
        };
        counts.categories.count(BounceCategory::BadMailbox);
        counts.categories.count(BounceCategory::QuotaIssues);
        let stretch = |to: u64, counts: Counts| Stretch {
            file: AccountingFileId {
                name: "acct-2026-11-21-0000.csv".to_owned(),
                head: ContentHash([1; 32]),
            },
            from: 100,
            to,
            instead_of: None,
            mark: Mark {
                last: Timestamp(0),
                tail: ContentHash([2; 32]),
            },
            totals: vec![IdentityTotals {
                address: "192.0.2.1".parse().unwrap(),
                hour: 1,
                group: ReceiverGroup::other(),
                counts,
            }],
            replies: Vec::new(),
        };
        let fault = |to, change: fn(&mut Counts)| {
            let mut counts = counts;
            change(&mut counts);
            stretch(to, counts).fault().unwrap_or_default()
        };
        let none = |_: &mut Counts| {};
        assert_eq!(fault(168, none), "", "17 lines of 4 bytes");
        assert!(fault(167, none).contains("records"));
        assert!(fault(99, none).contains("end"));
        assert!(fault(101 + STATISTICS_BYTES, none).contains("longer"));
        assert!(fault(900, |counts| counts.delivered = 11).contains("delivered"));
        assert!(fault(900, |counts| counts.sent = 11).contains("categories"));
        assert!(fault(900, |counts| counts.bounced = 4).contains("bounced"));
        assert!(fault(900, |counts| counts.deferred = u64::MAX).contains("records"));
    }

    #[test]
    fn a_files_date_is_known() {
        let at = Timestamp(1_795_240_800_000);
        for (name, wanted) in [
            ("acct-2026-11-20-0000.csv", true),
            ("acct-2026-11-21-0000.csv", true),
            ("a-b-2026-11-21-10000", true),
            ("acct-2026-11-22-0000.csv", false),
            ("acct-9999-99-99-0000.csv", false),
        ] {
            let head = ContentHash([1; 32]);
            let name = name.to_owned();
            let file = AccountingFileId { name, head };
            assert_eq!(file.is_dated_by(at), wanted, "{}", file.name);
        }
    }

    #[test]
    fn a_files_stem_stands_before_date_and_number() {
        for (name, wanted) in [
            ("acct-2026-11-21-0000.csv", Some("acct")),
            ("a-b-2026-11-21-10000", Some("a-b")),
            ("acct-2026-11-21.csv", None),
            ("acct.csv", None),
            ("-2026-11-21-0000.csv", None),
            ("acct-2026-11-21-000x.csv", None),
            ("acct-26-11-21-0000.csv", None),
        ] {
            assert_eq!(stem(name), wanted, "{name}");
        }
    }
}
