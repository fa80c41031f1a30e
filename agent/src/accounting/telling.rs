//! What is said to the cluster: one batch at a time, the next one when it was answered.
//!
//! A session begins with the whole of each file (`from` 0, which takes the place of anything known
//! before); then comes what is new. Nobody keeps any of it for longer than the session: whoever has the
//! host's next session is told all of it again.

use email_engine_protocol::bytes::Nonce;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::observed::{AccountingFileId, MailNotices, StatisticsBatch};

use super::book::Book;

/// Where a session stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Telling {
    /// What was said and not answered.
    awaited: Option<(AccountingFileId, u64)>,
    /// The notices that were said last.
    noticed: Option<MailNotices>,
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
    /// A session begins, with nothing told.
    pub(super) fn begin(&mut self, books: &mut [Book]) {
        *self = Self::default();
        books.iter_mut().for_each(Book::untell);
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
        let notices_are_news = match &self.noticed {
            Some(noticed) => noticed != notices,
            None => !notices.is_empty(),
        };
        let news = books.iter().position(Book::has_news);
        // Notices travel with the newest file when there is nothing else to say.
        let at = news.or_else(|| {
            notices_are_news
                .then(|| books.len().checked_sub(1))
                .flatten()
        })?;
        let book = books.get_mut(at)?;
        let from = book.told.unwrap_or(0);
        let tally = match book.told {
            Some(_) => std::mem::take(&mut book.fresh),
            None => book.tally.clone(),
        };
        let to = book.position;
        book.untell();
        book.told = Some(to);
        self.awaited = Some((book.id.clone(), to));
        self.noticed = Some(notices.clone());
        Some(StatisticsBatch {
            host: session.host.clone(),
            file: book.id.clone(),
            from,
            to,
            totals: tally.rows(),
            cluster: session.cluster,
            nonce: session.nonce,
            left_out: tally.left_out(),
            notices: notices.clone(),
        })
    }

    /// The answer: up to where a file is known. When that is not what was said, all of it is said
    /// again.
    pub(super) fn answered(&mut self, books: &mut [Book], file: &AccountingFileId, cursor: u64) {
        let Some((_, to)) = self.awaited.take_if(|(awaited, _)| awaited == file) else {
            return;
        };
        let own = books.iter_mut().find(|book| book.id == *file);
        if let Some(book) = own.filter(|_| cursor != to) {
            book.untell();
        }
    }
}
