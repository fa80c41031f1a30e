//! What is said to the cluster: one batch at a time, the next one when it was answered.
//!
//! A batch is a stretch of one file, from where the cluster's cursor stands. What came to nothing is said
//! again as it was, in the same session or the next one, for as long as the cluster's cursor stands where it
//! begins; a gap is said until a batch with it is counted.

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
    /// The last batch came to nothing: nothing is said before the next look.
    is_paused: bool,
    /// The notices that were said last.
    noticed: Option<MailNotices>,
    /// Everything that was written before was read.
    read_at: Option<Timestamp>,
    /// The last such time that the cluster knows.
    told_read: Option<Timestamp>,
    /// A gap that was found, and that the cluster does not know.
    gap: Option<Gap>,
}

#[derive(Clone, Debug)]
struct Awaited {
    /// The file, and up to where it is counted if the batch is.
    stretch: Option<(AccountingFileId, u64)>,
    gap: Option<Gap>,
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
    /// A life begins, whose last one had found this gap.
    pub(super) fn of(gap: Option<Gap>) -> Self {
        Self {
            gap,
            ..Self::default()
        }
    }

    /// A session begins, whose cluster knows that everything was read until then.
    pub(super) fn begin(&mut self, told_read: Option<Timestamp>) {
        *self = Self {
            told_read,
            ..Self::of(self.gap)
        };
    }

    /// The files are looked at once more.
    pub(super) const fn look(&mut self) {
        self.is_paused = false;
    }

    /// Everything that was written before this was read.
    pub(super) const fn note_read(&mut self, at: Timestamp) {
        self.read_at = Some(at);
    }

    /// A file went before it was counted.
    pub(super) fn note_gap(&mut self, gap: Gap) {
        if gap.from < gap.to {
            let known = self.gap.unwrap_or(gap);
            self.gap = Some(Gap {
                from: known.from.min(gap.from),
                to: known.to.max(gap.to),
            });
        }
    }

    /// The gap that the cluster does not know.
    pub(super) const fn gap(&self) -> Option<Gap> {
        self.gap
    }

    /// What is to be said next, if anything.
    pub(super) fn next(
        &mut self,
        session: Session<'_>,
        books: &mut [Book],
        notices: &MailNotices,
    ) -> Option<StatisticsBatch> {
        if self.awaited.is_some() || self.is_paused {
            return None;
        }
        let news = books.iter().position(Book::has_news);
        let stretch = news
            .and_then(|at| books.get_mut(at))
            .and_then(|book| book.say());
        let read_until = self.read_at.filter(|_| is_all(books, news));
        if stretch.is_none() && !self.has_word(notices, read_until) {
            return None;
        }
        let of_book = news.and_then(|at| books.get(at)?.gap);
        let gap = of_book.or(self.gap);
        self.awaited = Some(Awaited {
            stretch: stretch
                .as_ref()
                .map(|stretch| (stretch.file.clone(), stretch.to)),
            gap,
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
    fn has_word(&self, notices: &MailNotices, read_until: Option<Timestamp>) -> bool {
        let is_noticed = match &self.noticed {
            Some(noticed) => noticed == notices,
            None => notices.is_empty(),
        };
        let hour = |at: Option<Timestamp>| at.map(|at| at.0 / Timestamp::HOUR);
        !is_noticed || self.gap.is_some() || hour(read_until) > hour(self.told_read)
    }

    /// The answer: whether the batch was counted, and up to where its file is. When that is not where the
    /// batch began or ended, the file is read anew from there.
    pub(super) fn answered(
        &mut self,
        books: &mut [Book],
        is_counted: bool,
        cursor: Option<FileCursor>,
    ) {
        let Some(awaited) = self.awaited.take() else {
            return;
        };
        let is_there = match &awaited.stretch {
            None => true,
            Some((file, to)) => cursor
                .as_ref()
                .is_some_and(|cursor| cursor.file == *file && cursor.at == *to),
        };
        let is_counted = is_counted && is_there;
        self.is_paused = !is_counted;
        if is_counted {
            self.told_read = awaited.read_until.or(self.told_read);
            if self.gap == awaited.gap {
                self.gap = None;
            }
        }
        let Some((file, _)) = awaited.stretch else {
            return;
        };
        let Some(book) = books.iter_mut().find(|book| book.id == file) else {
            return;
        };
        if is_counted && book.gap == awaited.gap {
            book.gap = None;
        }
        if let Some(lost) = book.learn(cursor.filter(|cursor| cursor.file == file)) {
            self.note_gap(lost);
        }
    }
}

/// Whether everything that was read is counted once what is said of one file is. What the cluster has
/// refused and was not read again is not.
fn is_all(books: &[Book], said: Option<usize>) -> bool {
    let mut books = books.iter().enumerate();
    books.all(|(at, book)| book.is_read() && (book.said.is_none() || Some(at) == said))
}
