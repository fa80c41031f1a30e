//! All that is known of a host's accounting files.
//!
//! The cluster remembers what was counted and up to where; the agent reads on from there. Of its own it
//! keeps only what no file tells again: notices, and identities that left.

use std::collections::BTreeSet;

use email_engine_protocol::desired::{AccountingSpec, HostPath};
use email_engine_protocol::limits;
use email_engine_protocol::observed::{
    AccountingCursors, AccountingFileId, FileCursor, Gap, MailNotices, StatisticsBatch,
};
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::STEP_BYTES;
use super::book::Book;
use super::look::is_forgotten;
use super::names::{Former, Names};
use super::telling::{Session, Telling};
use crate::host::{Cabinet, RecordError, Rooted};

/// Name of the record.
pub(crate) const RECORD: &str = "accounting";
/// Rows that wait to be told before reading waits for that: what is in memory is bounded, however much
/// there is to read.
pub(super) const ROWS_WAITING: usize = 2 * limits::STATISTICS_ROWS;

/// The durable part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) notices: MailNotices,
    /// Up to where each file was read for them: nothing is noticed twice.
    pub(super) noted: Vec<(AccountingFileId, u64)>,
    former: Former,
    /// What was found missing, and the cluster does not know.
    gap: Option<Gap>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Books {
    pub(super) kept: Kept,
    pub(super) books: Vec<Book>,
    pub(super) names: Names,
    pub(super) telling: Telling,
    /// What the cluster counted, as it said at the beginning of the session; nothing is read before.
    pub(super) cursors: Option<AccountingCursors>,
    /// Stems of which it is known whether something went unread.
    pub(super) judged: BTreeSet<String>,
    /// Whether something changed that is not yet durable.
    pub(super) unwritten: bool,
    /// What could not be read at the last look: said once.
    pub(super) trouble: Option<String>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Whether there is more to read already, and room for it.
    pub more: bool,
    /// Whether there is more to read once something was told.
    pub waits_for_room: bool,
}

impl Books {
    /// Reads what an earlier life knew. What is damaged is said, and begun anew.
    #[must_use]
    pub fn open(cabinet: &Cabinet) -> Self {
        let kept = cabinet.read(RECORD).unwrap_or_else(|error| {
            tracing::error!(%error, "notices of accounting begin anew");
            None
        });
        let kept: Kept = kept.unwrap_or_default();
        Self {
            telling: Telling::of(kept.gap),
            kept,
            ..Self::default()
        }
    }

    /// Whose records are whose.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// What an operator should know.
    #[must_use]
    pub const fn notices(&self) -> &MailNotices {
        &self.kept.notices
    }

    /// Reads on, a bounded stretch, and makes notices durable that are new. When the disk refuses, they
    /// stay in memory until the next step.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn step(
        &mut self,
        files: &Rooted,
        cabinet: &Cabinet,
        spec: &AccountingSpec,
        now: Timestamp,
    ) -> Result<Step, RecordError> {
        self.unwritten |= self.names.take(Some(spec), &mut self.kept.former, now);
        let mut left = STEP_BYTES;
        if self.cursors.is_some() {
            self.telling.look();
            self.look(files, spec, &mut left, now);
        }
        if self.kept.gap != self.telling.gap() {
            self.kept.gap = self.telling.gap();
            self.unwritten = true;
        }
        if self.unwritten {
            self.note_positions();
            cabinet.write(RECORD, &self.kept)?;
            self.unwritten = false;
        }
        let has_room = self.rows() < ROWS_WAITING && !self.books.iter().any(Book::is_full);
        let is_behind = self.books.iter().any(|book| book.is_behind);
        Ok(Step {
            more: is_behind && has_room,
            waits_for_room: is_behind && !has_room,
        })
    }

    fn note_positions(&mut self) {
        let noted = self.books.iter().map(|book| (book.id.clone(), book.noted));
        let noted: Vec<_> = noted.filter(|(_, noted)| *noted > 0).collect();
        if self.cursors.is_some() {
            self.kept.noted = noted;
        }
    }

    /// Rows that are not told.
    pub(super) fn rows(&self) -> usize {
        self.books.iter().map(Book::rows).sum()
    }

    /// A session begins: nothing is told before the cluster said what it has.
    pub fn begin_session(&mut self) {
        self.telling.begin(None);
        self.cursors = None;
    }

    /// The cluster says up to where it counted.
    pub fn take_cursors(&mut self, cursors: AccountingCursors) {
        self.telling.begin(cursors.read_until);
        for book in &mut self.books {
            let own = cursors.files.iter().find(|cursor| cursor.file == book.id);
            if own.is_none() && is_forgotten(&cursors, &book.id) {
                book.forget();
            } else if let Some(lost) = book.learn(own.cloned()) {
                self.telling.note_gap(lost);
            }
        }
        self.judged.clear();
        self.cursors = Some(cursors);
    }

    /// What is to be said next, if anything.
    pub fn next_batch(&mut self, session: Session<'_>) -> Option<StatisticsBatch> {
        self.cursors.as_ref()?;
        self.telling
            .next(session, &mut self.books, &self.kept.notices)
    }

    /// The last batch was answered: whether it was counted, and up to where its file is.
    pub fn answered(&mut self, is_counted: bool, cursor: Option<FileCursor>) {
        self.telling.answered(&mut self.books, is_counted, cursor);
    }

    /// How far a file was read.
    #[must_use]
    pub fn position(&self, base: &HostPath, name: &str) -> Option<u64> {
        let mut books = self.books.iter();
        let own = books.find(|book| book.base == *base && book.id.name == name);
        own.map(Book::position)
    }
}
