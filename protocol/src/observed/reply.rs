//! Replies of receivers that name a list of bad senders.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::ListId;
use crate::limits::{REPLY_CHARS, REPLY_ROWS};
use crate::time::Timestamp;

/// What receivers said of one identity and one list in the records of one stretch: refusals, deferrals and
/// bounces that came back, whose text names the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReplies {
    /// Whose mail it was.
    pub address: IpAddr,
    /// The list that they name.
    pub list: ListId,
    /// How many records.
    pub count: u64,
    /// When the first of them was written.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// What one of them says, without mailboxes and without what stands in front of the list's name: at most
    /// [`REPLY_CHARS`] of printable ASCII.
    pub sample: String,
}

/// What cannot be, in rows of so many records.
pub(super) fn fault(rows: &[ListReplies], records: u64) -> Option<&'static str> {
    if rows.len() > REPLY_ROWS {
        return Some("it has more rows of replies than are told at once");
    }
    let keys = rows.iter().map(|row| (row.address, &row.list));
    if !keys.is_sorted_by(|one, next| one < next) {
        return Some("its rows of replies are not in order");
    }
    let mut told = 0_u64;
    for row in rows {
        let is_printable = row.sample.bytes().all(|b| matches!(b, b' '..=b'~'));
        if !is_printable || row.sample.len() > REPLY_CHARS {
            return Some("a reply is longer than is told, or not printable");
        }
        if row.count == 0 || row.last < row.first {
            return Some("a row of replies has none, or an end before its beginning");
        }
        told = told.saturating_add(row.count);
    }
    // Each is a record of this stretch, and names one list.
    (told > records).then_some("it has more replies than records")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(address: u8, list: &str) -> ListReplies {
        ListReplies {
            address: IpAddr::from([192, 0, 2, address]),
            list: ListId::new(list).unwrap(),
            count: 2,
            first: Timestamp(5),
            last: Timestamp(7),
            sample: "550 5.7.1 blocked using *.zen.spamhaus.org".to_owned(),
        }
    }

    #[test]
    fn rows_are_few_in_order_and_of_records_that_are_there() {
        let two = vec![row(1, "psbl"), row(1, "spamcop"), row(2, "psbl")];
        assert_eq!(fault(&two, 6), None);
        assert!(fault(&two, 5).unwrap().contains("records"));
        let twice = vec![row(1, "psbl"), row(1, "psbl")];
        assert!(fault(&twice, 9).unwrap().contains("order"));
        let many = |at: usize| ListReplies {
            address: IpAddr::from(u128::try_from(at).unwrap().to_be_bytes()),
            ..row(0, "psbl")
        };
        let many: Vec<_> = (0..=REPLY_ROWS).map(many).collect();
        assert_eq!(fault(&many[1..], u64::MAX), None);
        assert!(fault(&many, u64::MAX).unwrap().contains("rows"));
        for (change, word) in [
            ((|row| row.count = 0) as fn(&mut ListReplies), "none"),
            (|row| row.first = Timestamp(8), "end"),
            (|row| row.sample.push('\n'), "printable"),
            (|row| row.sample.push('é'), "printable"),
            (|row| row.sample = "a".repeat(REPLY_CHARS + 1), "longer"),
            (|row| row.count = u64::MAX, "records"),
        ] {
            let mut one = row(1, "psbl");
            change(&mut one);
            let rows = [one, row(2, "psbl")];
            assert!(fault(&rows, 1_000).unwrap().contains(word), "{rows:?}");
        }
    }
}
