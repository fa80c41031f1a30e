//! What the agent counted in accounting files, as long as its session lasts.
//!
//! Nothing of it enters the log: a session begins with everything that the agent keeps, so that
//! whichever node has the session next learns it again, and a doubled or late batch changes nothing.

use std::collections::BTreeMap;

use email_engine_protocol::api::{MailDay, MailView};
use email_engine_protocol::bytes::{Nonce, VerifyingKey};
use email_engine_protocol::crypto::{Signed, VerifyError};
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::limits;
use email_engine_protocol::observed::{
    AccountingFileId, IdentityTotals, MailNotice, MailNotices, StatisticsBatch,
};
use email_engine_protocol::time::Timestamp;

/// Files of one host that are counted: those of two days, at the product's usual size.
const FILES: usize = 1024;
/// Days that are told, the newest ones.
const DAYS: usize = 3;
/// Names that a notice tells of: it goes from node to node with every look at the fleet.
const NAMES: usize = 5;
/// Longest name of a file, in bytes.
const FILE_NAME: usize = 255;

/// Why a batch is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StatisticsError {
    #[error("the host has no report key")]
    NoKey,
    #[error("statistics: {0}")]
    Form(VerifyError),
    #[error("the statistics are about host {host} of cluster {cluster}")]
    Foreign { cluster: ClusterId, host: HostId },
    #[error("the statistics are of another session: a replay")]
    Nonce,
    #[error("statistics: {what} is {got}, at most {limit} is accepted")]
    TooLarge {
        what: &'static str,
        got: usize,
        limit: usize,
    },
}

/// Judges a batch by its executor's signature, this session's nonce, and its size.
pub(super) fn judge(
    batch: &Signed<StatisticsBatch>,
    key: Option<&VerifyingKey>,
    cluster: ClusterId,
    host: &HostId,
    nonce: Nonce,
) -> Result<StatisticsBatch, StatisticsError> {
    let batch = batch
        .verify(key.ok_or(StatisticsError::NoKey)?)
        .map_err(StatisticsError::Form)?;
    if batch.cluster != cluster || batch.host != *host {
        return Err(StatisticsError::Foreign {
            cluster: batch.cluster,
            host: batch.host,
        });
    }
    if batch.nonce != nonce {
        return Err(StatisticsError::Nonce);
    }
    let at_most = |what, got: usize, limit: usize| {
        let fits = got <= limit;
        fits.then_some(())
            .ok_or(StatisticsError::TooLarge { what, got, limit })
    };
    at_most(
        "number of rows",
        batch.totals.len(),
        limits::STATISTICS_ROWS,
    )?;
    at_most(
        "length of the file's name",
        batch.file.name.len(),
        FILE_NAME,
    )?;
    for notice in notices(&batch.notices).into_iter().flatten() {
        at_most("number of names", notice.most.len(), limits::NOTICE_NAMES)?;
        let names = notice.most.iter().map(|(name, _)| name);
        let longest = names.chain([&notice.of]).map(String::len).max();
        at_most(
            "length of a name",
            longest.unwrap_or(0),
            limits::NOTICE_BYTES,
        )?;
    }
    Ok(batch)
}

const fn notices(all: &MailNotices) -> [Option<&MailNotice>; 3] {
    [
        all.unknown_senders.as_ref(),
        all.unmatched.as_ref(),
        all.unreadable.as_ref(),
    ]
}

/// Counts of one file, by day.
#[derive(Debug, Default)]
struct Known {
    cursor: u64,
    days: BTreeMap<u32, MailDay>,
}

/// What one session was told.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    files: BTreeMap<AccountingFileId, Known>,
    notices: MailNotices,
    /// When the notices that were logged began.
    logged: [Option<Timestamp>; 3],
}

impl Statistics {
    /// Takes a batch, and gives the first byte of its file that is not known. A batch that begins at
    /// 0 takes the place of what was known; one that begins elsewhere than the last one ended is not
    /// counted.
    pub(super) fn take(&mut self, batch: StatisticsBatch) -> u64 {
        self.notices = batch.notices;
        if self.files.len() >= FILES && !self.files.contains_key(&batch.file) {
            self.files.pop_first();
        }
        let known = self.files.entry(batch.file).or_default();
        if batch.from == 0 {
            *known = Known::default();
        }
        if batch.from == known.cursor && batch.to >= batch.from {
            known.cursor = batch.to;
            for row in &batch.totals {
                add(&mut known.days, row);
            }
        }
        known.cursor
    }

    /// Notices that began since this was asked last, in words.
    pub(super) fn news(&mut self, now: Timestamp) -> Vec<String> {
        let current = self.notices.clone().current(now);
        let began = notices(&current).map(|notice| notice.map(|notice| notice.since));
        let mut fresh = current;
        for (at, notice) in [
            &mut fresh.unknown_senders,
            &mut fresh.unmatched,
            &mut fresh.unreadable,
        ]
        .into_iter()
        .enumerate()
        {
            if self.logged[at] == began[at] {
                *notice = None;
            }
        }
        self.logged = began;
        fresh.words()
    }

    /// All of it, for whoever looks.
    pub(super) fn mail(&self) -> MailView {
        let mut days: BTreeMap<u32, MailDay> = BTreeMap::new();
        for (number, day) in self.files.values().flat_map(|known| &known.days) {
            days.entry(*number)
                .or_insert_with(|| MailDay::none(day.day))
                .add(day);
        }
        let newest = days.into_values().rev().take(DAYS);
        let mut mail = MailView {
            notices: self.notices.clone(),
            days: newest.collect(),
        };
        let MailNotices {
            unknown_senders,
            unmatched,
            unreadable,
        } = &mut mail.notices;
        for notice in [unknown_senders, unmatched, unreadable]
            .into_iter()
            .flatten()
        {
            notice.most.truncate(NAMES);
        }
        mail
    }
}

fn add(days: &mut BTreeMap<u32, MailDay>, row: &IdentityTotals) {
    let number = row.hour / 24;
    let begins = Timestamp(u64::from(number) * Timestamp::DAY);
    days.entry(number)
        .or_insert_with(|| MailDay::none(begins))
        .count(row);
    while days.len() > DAYS {
        days.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::crypto::SigningKey;

    use super::*;

    const HOST: &str = "pmta1";

    fn batch(from: u64, to: u64, delivered: u64) -> StatisticsBatch {
        let mut row = IdentityTotals::none("192.0.2.1".parse().unwrap(), 498_678);
        (row.sent, row.delivered) = (delivered, delivered);
        StatisticsBatch {
            host: HostId::new(HOST).unwrap(),
            file: AccountingFileId {
                name: "acct-2026-11-21-0000.csv".to_owned(),
                head: ContentHash([1; 32]),
            },
            from,
            to,
            totals: vec![row],
            cluster: ClusterId([1; 16]),
            nonce: Nonce([2; 16]),
            left_out: 0,
            notices: MailNotices::default(),
        }
    }

    fn delivered(statistics: &Statistics) -> u64 {
        statistics.mail().days.iter().map(|day| day.delivered).sum()
    }

    #[test]
    fn a_doubled_or_late_batch_counts_nothing_twice_and_a_gap_is_told() {
        let mut statistics = Statistics::default();
        assert_eq!(statistics.take(batch(0, 100, 5)), 100);
        assert_eq!(statistics.take(batch(100, 200, 2)), 200);
        // Doubled, late, and from a future that we do not know the way to.
        assert_eq!(statistics.take(batch(100, 200, 2)), 200);
        assert_eq!(statistics.take(batch(300, 400, 9)), 200);
        assert_eq!(delivered(&statistics), 7);
        // The whole file again takes the place of its pieces.
        assert_eq!(statistics.take(batch(0, 400, 16)), 400);
        assert_eq!(delivered(&statistics), 16);
        // A batch that this session knows no beginning of.
        let mut other = Statistics::default();
        assert_eq!(other.take(batch(200, 300, 1)), 0);
        assert_eq!(delivered(&other), 0);
    }

    #[test]
    fn a_notice_is_logged_when_it_begins() {
        let at = Timestamp(1_795_240_800_000);
        let mut told = batch(0, 1, 0);
        told.notices.unknown_senders = Some(MailNotice {
            count: 1,
            since: at,
            last: at,
            of: "example.net".to_owned(),
            most: Vec::new(),
        });
        let mut statistics = Statistics::default();
        statistics.take(told.clone());
        assert_eq!(statistics.news(at).len(), 1);
        if let Some(notice) = &mut told.notices.unknown_senders {
            notice.count = 2;
        }
        statistics.take(told.clone());
        assert_eq!(statistics.news(at), [""; 0]);
        if let Some(notice) = &mut told.notices.unknown_senders {
            (notice.since, notice.last) = (at.plus(Timestamp::DAY), at.plus(Timestamp::DAY));
        }
        statistics.take(told);
        assert_eq!(statistics.news(at.plus(Timestamp::DAY)).len(), 1);
    }

    #[test]
    fn only_the_hosts_own_word_in_this_session_is_believed() {
        let key = SigningKey::from_seed([3; 32]);
        let verifying = key.verifying_key();
        let host = HostId::new(HOST).unwrap();
        let judged = |batch: &StatisticsBatch, nonce: u8| {
            let signed = key.sign(batch);
            let nonce = Nonce([nonce; 16]);
            judge(&signed, Some(&verifying), ClusterId([1; 16]), &host, nonce).map(|_| ())
        };
        let good = batch(0, 1, 1);
        assert_eq!(judged(&good, 2), Ok(()));
        assert_eq!(judged(&good, 3), Err(StatisticsError::Nonce));
        let mut foreign = good.clone();
        foreign.host = HostId::new("pmta2").unwrap();
        assert!(matches!(
            judged(&foreign, 2),
            Err(StatisticsError::Foreign { .. })
        ));
        let mut large = good.clone();
        large.totals = vec![good.totals[0]; limits::STATISTICS_ROWS + 1];
        assert!(matches!(
            judged(&large, 2),
            Err(StatisticsError::TooLarge { .. })
        ));
        let mut long = good.clone();
        long.notices.unmatched = Some(MailNotice {
            count: 1,
            since: Timestamp(0),
            last: Timestamp(0),
            of: "x".repeat(limits::NOTICE_BYTES + 1),
            most: Vec::new(),
        });
        assert!(matches!(
            judged(&long, 2),
            Err(StatisticsError::TooLarge { .. })
        ));
        let signed = SigningKey::from_seed([4; 32]).sign(&good);
        let other = judge(
            &signed,
            Some(&verifying),
            ClusterId([1; 16]),
            &host,
            Nonce([2; 16]),
        );
        assert!(matches!(other, Err(StatisticsError::Form(_))));
    }
}
