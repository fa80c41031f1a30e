//! What an agent says of its accounting files: whether it is believed, and what of it an operator should
//! know. Counts go into the log; notices are kept as long as the session lasts.

use email_engine_protocol::bytes::{Nonce, VerifyingKey};
use email_engine_protocol::crypto::{Signed, VerifyError};
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::limits;
use email_engine_protocol::observed::{MailNotice, MailNotices, StatisticsBatch};
use email_engine_protocol::time::Timestamp;

/// Names that a notice tells of: it goes from node to node with every look at the fleet.
const NAMES: usize = 5;

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
    #[error("statistics: {0:?} is no file of the product's, such as acct-2026-11-21-0000.csv")]
    Name(String),
    #[error("statistics: of {file:?} {what}")]
    Impossible { file: String, what: &'static str },
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
    if let Some(stretch) = &batch.stretch {
        at_most(
            "number of rows",
            stretch.totals.len(),
            limits::STATISTICS_ROWS,
        )?;
        let name = &stretch.file.name;
        at_most(
            "length of the file's name",
            name.len(),
            limits::ACCOUNTING_NAME_BYTES,
        )?;
        if stretch.file.stem().is_none() {
            return Err(StatisticsError::Name(name.clone()));
        }
        if let Some(what) = stretch.fault() {
            let file = name.clone();
            return Err(StatisticsError::Impossible { file, what });
        }
    }
    for notice in all(&batch.notices).into_iter().flatten() {
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

const fn all_mut(all: &mut MailNotices) -> [&mut Option<MailNotice>; 3] {
    [
        &mut all.unknown_senders,
        &mut all.unmatched,
        &mut all.unreadable,
    ]
}

const fn all(all: &MailNotices) -> [Option<&MailNotice>; 3] {
    [
        all.unknown_senders.as_ref(),
        all.unmatched.as_ref(),
        all.unreadable.as_ref(),
    ]
}

/// What one session was told that an operator should know.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    /// Counts are on their way into the log: what comes before they are answered breaks the protocol.
    pub(super) underway: bool,
    notices: MailNotices,
    /// When the notices that were logged began.
    logged: [Option<Timestamp>; 3],
}

impl Statistics {
    /// Takes what is said now, and gives those notices in words that began since the last time.
    pub(super) fn take(&mut self, notices: MailNotices, now: Timestamp) -> Vec<String> {
        self.notices = notices;
        let current = self.notices.clone().current(now);
        let began = all(&current).map(|notice| notice.map(|notice| notice.since));
        let mut fresh = current;
        for (at, notice) in all_mut(&mut fresh).into_iter().enumerate() {
            if self.logged[at] == began[at] {
                *notice = None;
            }
        }
        self.logged = began;
        fresh.words()
    }

    /// All of them, for whoever looks.
    pub(super) fn notices(&self) -> MailNotices {
        let mut notices = self.notices.clone();
        for notice in all_mut(&mut notices).into_iter().flatten() {
            notice.most.truncate(NAMES);
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::crypto::SigningKey;
    use email_engine_protocol::id::ReceiverGroup;
    use email_engine_protocol::observed::{
        AccountingFileId, Counts, IdentityTotals, Mark, Stretch,
    };

    use super::*;

    const HOST: &str = "pmta1";

    fn batch(rows: usize) -> StatisticsBatch {
        let row = IdentityTotals {
            address: "192.0.2.1".parse().unwrap(),
            hour: 498_678,
            group: ReceiverGroup::other(),
            counts: Counts::NONE,
        };
        StatisticsBatch {
            host: HostId::new(HOST).unwrap(),
            stretch: Some(Stretch {
                file: AccountingFileId {
                    name: "acct-2026-11-21-0000.csv".to_owned(),
                    head: ContentHash([1; 32]),
                },
                from: 0,
                to: 1,
                instead_of: None,
                mark: Mark {
                    last: Timestamp(0),
                    tail: ContentHash([2; 32]),
                },
                totals: vec![row; rows],
                replies: Vec::new(),
            }),
            gap: None,
            read_until: None,
            cluster: ClusterId([1; 16]),
            nonce: Nonce([2; 16]),
            notices: MailNotices::default(),
        }
    }

    #[test]
    fn a_notice_is_logged_when_it_begins() {
        let at = Timestamp(1_795_240_800_000);
        let mut notice = MailNotice {
            count: 1,
            since: at,
            last: at,
            of: "example.net".to_owned(),
            most: vec![("example.net".to_owned(), 1); NAMES + 1],
        };
        let mut statistics = Statistics::default();
        let mut take = |notice: &MailNotice, now| {
            let notices = MailNotices {
                unknown_senders: Some(notice.clone()),
                ..MailNotices::default()
            };
            let words = statistics.take(notices, now).len();
            let told = statistics.notices().unknown_senders.unwrap();
            assert_eq!(told.most.len(), NAMES);
            words
        };
        assert_eq!(take(&notice, at), 1);
        notice.count = 2;
        assert_eq!(take(&notice, at), 0);
        let next = at.plus(Timestamp::DAY);
        (notice.since, notice.last) = (next, next);
        assert_eq!(take(&notice, next), 1);
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
        let good = batch(1);
        assert_eq!(judged(&good, 2), Ok(()));
        assert_eq!(judged(&good, 3), Err(StatisticsError::Nonce));
        let mut foreign = good.clone();
        foreign.host = HostId::new("pmta2").unwrap();
        assert!(matches!(
            judged(&foreign, 2),
            Err(StatisticsError::Foreign { .. })
        ));
        let large = batch(limits::STATISTICS_ROWS + 1);
        assert!(matches!(
            judged(&large, 2),
            Err(StatisticsError::TooLarge { .. })
        ));
        let mut made_up = good.clone();
        let row = &mut made_up.stretch.as_mut().unwrap().totals[0];
        row.counts.complaints = 1_000_000;
        assert!(matches!(
            judged(&made_up, 2),
            Err(StatisticsError::Impossible { .. })
        ));
        let mut strange = good.clone();
        strange.stretch.as_mut().unwrap().file.name = "passwd".to_owned();
        assert!(matches!(judged(&strange, 2), Err(StatisticsError::Name(_))));
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
