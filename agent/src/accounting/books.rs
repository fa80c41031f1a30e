//! All that is known of a host's accounting files.

use email_engine_protocol::desired::{AccountingFile, AccountingSpec, HostPath, RecordKind};
use email_engine_protocol::limits;
use email_engine_protocol::observed::{AccountingFileId, MailNotices, StatisticsBatch};
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::line::record::{self, Line, LineError, Record};
use super::line::split::{self, Cut, RECORD_BYTES};
use super::names::{Former, Names, Whose};
use super::tally::Deferrals;
use super::telling::{Session, Telling};
use super::{STEP_BYTES, follow, notices};
use crate::host::{Cabinet, FileError, RecordError, Rooted};

/// Name of the record.
pub(crate) const RECORD: &str = "accounting";
/// A file that is gone is remembered for so long: its hours are still told.
const REMEMBERED: u64 = 2 * Timestamp::DAY;

/// The durable part: positions and counts are one record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    books: Vec<Book>,
    notices: MailNotices,
    deferrals: Deferrals,
    former: Former,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Books {
    kept: Kept,
    names: Names,
    telling: Telling,
    /// Whether something changed that is not yet durable.
    unwritten: bool,
    /// What could not be read at the last look: said once.
    trouble: Option<String>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Whether there is more to read already.
    pub more: bool,
}

impl Books {
    /// Reads what an earlier life knew. What is damaged is said, and everything is read anew.
    #[must_use]
    pub fn open(cabinet: &Cabinet) -> Self {
        let kept = cabinet.read(RECORD).unwrap_or_else(|error| {
            tracing::error!(%error, "accounting is read anew from the files that are there");
            None
        });
        Self {
            kept: kept.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// What an operator should know.
    #[must_use]
    pub const fn notices(&self) -> &MailNotices {
        &self.kept.notices
    }

    /// Reads on, a bounded stretch, and makes what was counted durable together with how far it was
    /// read. When the disk refuses, it stays in memory until the next step: a crash before reads the
    /// same stretch again, with the counts of before.
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
        let mut trouble = None;
        self.kept
            .books
            .iter_mut()
            .for_each(|book| book.present = false);
        for spec in &spec.files {
            match follow::parts(files, &spec.path) {
                Ok(paths) => {
                    for path in paths {
                        let followed = self.follow(files, spec, &path, &mut left, now);
                        trouble = trouble.or_else(|| followed.err());
                    }
                }
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        self.note_trouble(trouble.map(|error| error.to_string()), now);
        self.forget(now);
        if self.unwritten {
            cabinet.write(RECORD, &self.kept)?;
            self.unwritten = false;
        }
        Ok(Step {
            more: left < RECORD_BYTES as u64,
        })
    }

    fn follow(
        &mut self,
        files: &Rooted,
        spec: &AccountingFile,
        path: &HostPath,
        left: &mut u64,
        now: Timestamp,
    ) -> Result<(), FileError> {
        let Some(file) = files.open_regular(path)? else {
            return Ok(());
        };
        let Some(at) = follow::book(&mut self.kept.books, &spec.path, path, &file)? else {
            return Ok(());
        };
        let Some(book) = self.kept.books.get_mut(at) else {
            return Ok(());
        };
        book.present = true;
        if book.position == file.size || *left < RECORD_BYTES as u64 {
            return Ok(());
        }
        let begin = book.position;
        let bytes = file.read_at(begin, (file.size - begin).min(*left))?;
        *left = left.saturating_sub(bytes.len() as u64);
        let mut count = Count {
            book,
            names: &self.names,
            notices: &mut self.kept.notices,
            deferrals: &mut self.kept.deferrals,
            counted: &spec.records,
            now,
        };
        count.all(&bytes);
        if book.position != begin {
            book.read_at = now;
            self.unwritten = true;
        }
        Ok(())
    }

    /// Says once what keeps files from being read.
    fn note_trouble(&mut self, trouble: Option<String>, now: Timestamp) {
        if trouble == self.trouble {
            return;
        }
        if let Some(reason) = &trouble {
            tracing::warn!(reason, "accounting files cannot be read");
            notices::note(&mut self.kept.notices.unreadable, now, &readable(reason));
            self.unwritten = true;
        }
        self.trouble = trouble;
    }

    /// Forgets hours and files of long ago.
    fn forget(&mut self, now: Timestamp) {
        let before = self.kept.books.len();
        self.kept.books.retain_mut(|book| {
            book.tally.prune(now);
            book.present || now.since(book.read_at) < REMEMBERED
        });
        self.unwritten |= self.kept.books.len() != before;
    }

    /// A session begins: all is told anew.
    pub fn begin_session(&mut self) {
        self.telling.begin(&mut self.kept.books);
    }

    /// What is to be said next, if anything.
    pub fn next_batch(&mut self, session: Session<'_>) -> Option<StatisticsBatch> {
        self.telling
            .next(session, &mut self.kept.books, &self.kept.notices)
    }

    /// A batch was answered.
    pub fn answered(&mut self, file: &AccountingFileId, cursor: u64) {
        self.telling.answered(&mut self.kept.books, file, cursor);
    }

    /// How far a file was read.
    #[must_use]
    pub fn position(&self, base: &HostPath, name: &str) -> Option<u64> {
        let mut books = self.kept.books.iter();
        let own = books.find(|book| book.base == *base && book.id.name == name);
        own.map(|book| book.position)
    }
}

/// Counts the lines of one file.
struct Count<'a> {
    book: &'a mut Book,
    names: &'a Names,
    notices: &'a mut MailNotices,
    deferrals: &'a mut Deferrals,
    counted: &'a [RecordKind],
    now: Timestamp,
}

impl Count<'_> {
    /// Counts every whole record of a stretch, and moves on behind them.
    fn all(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let taken = match split::first(rest) {
                Cut::Unfinished => return,
                Cut::Record(length) => {
                    self.line(&rest[..length]);
                    length
                }
                Cut::TooLong(length) => {
                    self.fault(&LineError::TooLong);
                    length
                }
            };
            rest = &rest[taken..];
            self.book.position += taken as u64;
        }
    }

    fn line(&mut self, line: &[u8]) {
        match record::read(line, self.book.columns.as_ref(), self.now) {
            Ok(Line::Header(columns)) => self.book.columns = Some(columns),
            Ok(Line::Record(record)) if self.counted.contains(&record.kind) => self.record(&record),
            Ok(Line::Record(_) | Line::Passed) => {}
            Err(error) => self.fault(&error),
        }
    }

    fn record(&mut self, record: &Record) {
        match self.names.whose(record) {
            Whose::Identity(address) => {
                let is_first =
                    record.kind == RecordKind::Deferred && self.deferrals.is_first(record.message);
                self.book.tally.count(address, record, is_first);
                if self.book.told.is_some() {
                    self.book.fresh.count(address, record, is_first);
                }
            }
            Whose::UnknownSender(domain) => {
                notices::note(&mut self.notices.unknown_senders, record.at, &domain);
            }
            Whose::Nobody(name) => notices::note(&mut self.notices.unmatched, record.at, &name),
        }
    }

    fn fault(&mut self, error: &LineError) {
        let reason = readable(&format!("{}: {error}", self.book.id.name));
        notices::note(&mut self.notices.unreadable, self.now, &reason);
    }
}

/// A reason as a notice may carry it.
fn readable(reason: &str) -> String {
    let cut = &reason[..reason.floor_char_boundary(limits::NOTICE_BYTES)];
    cut.replace(char::is_control, " ")
}
