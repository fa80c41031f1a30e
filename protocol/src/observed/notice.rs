//! What accounting files say that an operator should know of: mail that is not as it shall be.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Something that happens while everything is as desired. It ends by itself when it did not happen
/// for a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailNotice {
    /// How often.
    pub count: u64,
    /// The first time after a day without.
    pub since: Timestamp,
    /// The last time.
    pub last: Timestamp,
    /// What it was about the last time.
    pub of: String,
    /// What it was about most often, with counts; at most
    /// [`NOTICE_NAMES`](crate::limits::NOTICE_NAMES).
    pub most: Vec<(String, u64)>,
}

impl MailNotice {
    /// It ends when it did not happen for so long.
    pub const ENDS_AFTER: u64 = Timestamp::DAY;

    /// Whether it still is news.
    #[must_use]
    pub const fn is_current(&self, now: Timestamp) -> bool {
        now.since(self.last) < Self::ENDS_AFTER
    }
}

/// All notices of a host. Each covers all of its accounting files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailNotices {
    /// Messages under senders that are nobody's identity were discarded; by the sender's domain.
    pub unknown_senders: Option<MailNotice>,
    /// Records that belong to no identity of the host; by virtual MTA, domain or address.
    pub unmatched: Option<MailNotice>,
    /// What stands in the files and cannot be read as a record; by the reason.
    pub unreadable: Option<MailNotice>,
}

impl MailNotices {
    /// Whether there is nothing to say.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.unknown_senders.is_none() && self.unmatched.is_none() && self.unreadable.is_none()
    }

    /// Those that still are news.
    #[must_use]
    pub fn current(self, now: Timestamp) -> Self {
        let current = |notice: Option<MailNotice>| notice.filter(|notice| notice.is_current(now));
        Self {
            unknown_senders: current(self.unknown_senders),
            unmatched: current(self.unmatched),
            unreadable: current(self.unreadable),
        }
    }

    /// Each in words, for people.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let said = |notice: &Option<MailNotice>, words: Words| Some(words.of(notice.as_ref()?));
        let all = [
            said(&self.unknown_senders, UNKNOWN_SENDERS),
            said(&self.unmatched, UNMATCHED),
            said(&self.unreadable, UNREADABLE),
        ];
        all.into_iter().flatten().collect()
    }
}

/// How a notice is told.
struct Words {
    one: &'static str,
    many: &'static str,
    last: &'static str,
}

const UNKNOWN_SENDERS: Words = Words {
    one: "message from an unknown sender was discarded",
    many: "messages from unknown senders were discarded",
    last: "last from",
};
const UNMATCHED: Words = Words {
    one: "accounting record belongs to no identity of the host",
    many: "accounting records belong to no identity of the host",
    last: "last of",
};
const UNREADABLE: Words = Words {
    one: "record of the accounting files could not be read",
    many: "records of the accounting files could not be read",
    last: "last:",
};

impl Words {
    fn of(&self, notice: &MailNotice) -> String {
        let what = if notice.count == 1 {
            self.one
        } else {
            self.many
        };
        let MailNotice {
            count, since, of, ..
        } = notice;
        format!("{count} {what} since {since}, {} {of}", self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_says_how_often_since_when_and_from_whom_and_ends_after_a_day() {
        let since = Timestamp(1_795_240_800_000);
        let notice = MailNotice {
            count: 3,
            since,
            last: since.plus(Timestamp::HOUR),
            of: "example.net".to_owned(),
            most: Vec::new(),
        };
        let mut notices = MailNotices {
            unknown_senders: Some(notice),
            ..MailNotices::default()
        };
        assert_eq!(
            notices.words(),
            [
                "3 messages from unknown senders were discarded since 2026-11-21T06:00:00.000Z, \
              last from example.net"
            ]
        );
        let ends = since.plus(Timestamp::HOUR + Timestamp::DAY);
        notices = notices.current(Timestamp(ends.0 - 1));
        assert!(!notices.is_empty());
        assert!(notices.current(ends).is_empty());
    }
}
