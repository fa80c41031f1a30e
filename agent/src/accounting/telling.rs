//! What is said to the cluster: one batch at a time, the next one when it was answered.
//!
//! A batch is a stretch of one file, from where the cluster's cursor stands. What was said and not
//! answered when a session ends is said again in the next one, unless the cluster's cursors say that it
//! is counted.

use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::observed::{
    AccountingFileId, FileCursor, Gap, MailNotices, StatisticsBatch,
};
use email_engine_protocol::time::Timestamp;

use super::book::Book;

/// Where a session stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    /// What was said and not answered.
    awaited: Option<Awaited>,
    /// The notices that were said last.
    noticed: Option<MailNotices>,
    /// Everything that was written before was read.
    read_at: Option<Timestamp>,
    /// The last such time that the cluster knows.
    told_read: Option<Timestamp>,
    /// A gap that was found, not yet told.
    gap: Option<Gap>,
}

#[derive(Clone, Debug)]
struct Awaited {
    stretch: Option<(AccountingFileId, u64)>,
    read_until: Option<Timestamp>,
}

/// Whose session it is.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// The host.
    pub host: &'a HostId,
    /// The coordinator's nonce.
    pub nonce: Nonce,
}

impl Telling {
    /// A session begins, whose cluster knows that everything was read until then.
    pub(super) fn begin(&mut self, told_read: Option<Timestamp>) {
        *self = Self {
            told_read,
            gap: self.gap,
            ..Self::default()
        };
    }

    /// Everything that was written before this was read.
    pub(super) const fn note_read(&mut self, at: Timestamp) {
        self.read_at = Some(at);
    }

    /// A file went before it was read.
    pub(super) fn note_gap(&mut self, gap: Gap) {
        let from = self.gap.map_or(gap.from, |known| known.from.min(gap.from));
        self.gap = Some(Gap { from, to: gap.to });
    }

    /// What is to be said next, if anything.
    pub(super) fn next(
        &mut self,
        session: Session<'_>,
        books: &mut [Book],
        notices: &MailNotices,
    ) -> Option<StatisticsBatch> {
        if self.awaited.is_some() {
            return None;
        }
        let news = books.iter().position(Book::has_news);
        if news.is_none() && !self.has_word(notices) {
            return None;
        }
        let book = news.and_then(|at| books.get_mut(at));
        let gap = match &book {
            Some(book) if book.gap.is_some() => book.gap,
            _ => self.gap,
        };
        let stretch = book.and_then(|book| {
            let id = book.id.clone();
            book.scan_mut()?.take(&id)
        });
        let is_all = !books.iter().any(Book::has_news);
        let read_until = self.read_at.filter(|_| is_all);
        self.awaited = Some(Awaited {
            stretch: stretch
                .as_ref()
                .map(|stretch| (stretch.file.clone(), stretch.to)),
            read_until,
        });
        self.noticed = Some(notices.clone());
        Some(StatisticsBatch {
            host: session.host.clone(),
            stretch,
            gap,
            read_until,
            cluster: session.cluster,
            nonce: session.nonce,
            notices: notices.clone(),
        })
    }

    /// Whether there is something to say of all files: notices, a gap, or that another hour of them
    /// was read.
    fn has_word(&self, notices: &MailNotices) -> bool {
        let is_noticed = match &self.noticed {
            Some(noticed) => noticed == notices,
            None => notices.is_empty(),
        };
        let hour = |at: Option<Timestamp>| at.map(|at| at.0 / Timestamp::HOUR);
        !is_noticed || self.gap.is_some() || hour(self.read_at) > hour(self.told_read)
    }

    /// The answer: up to where the file is counted. When that is not what was said, it is read anew from
    /// there.
    pub(super) fn answered(&mut self, books: &mut [Book], cursor: Option<FileCursor>) {
        let Some(awaited) = self.awaited.take() else {
            return;
        };
        let Some((file, to)) = awaited.stretch else {
            self.gap = None;
            self.told_read = awaited.read_until.or(self.told_read);
            return;
        };
        let is_counted = cursor
            .as_ref()
            .is_some_and(|cursor| cursor.file == file && cursor.at == to);
        if is_counted {
            self.told_read = awaited.read_until.or(self.told_read);
        }
        let Some(book) = books.iter_mut().find(|book| book.id == file) else {
            return;
        };
        if is_counted {
            book.gap = None;
        }
        book.learn(cursor.filter(|cursor| cursor.file == file));
    }
}
