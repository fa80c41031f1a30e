//! All that is known of a host's accounting files.
//!
//! The cluster remembers what was counted and up to where; the agent reads on from there. Of its own it
//! keeps only what no file tells again: notices, and identities that left.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::desired::{AccountingFile, AccountingSpec, HostPath};
use email_engine_protocol::limits;
use email_engine_protocol::observed::{
    AccountingCursors, AccountingFileId, FileCursor, Gap, MailNotices, StatisticsBatch,
};
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::book::{Book, Phase};
use super::gaps;
use super::line::split::RECORD_BYTES;
use super::names::{Former, Names};
use super::scan::{Judge, readable};
use super::telling::{Session, Telling};
use super::{STEP_BYTES, follow, notices};
use crate::host::{Cabinet, FileError, Opened, RecordError, Rooted};

/// Name of the record.
pub(crate) const RECORD: &str = "accounting";
/// Rows that wait to be told before reading waits for that: what is in memory is bounded, however much
/// there is to read.
const ROWS_WAITING: usize = 2 * limits::STATISTICS_ROWS;

/// The durable part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    notices: MailNotices,
    /// Up to where each file was read for them: nothing is noticed twice.
    noted: Vec<(AccountingFileId, u64)>,
    former: Former,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Books {
    kept: Kept,
    books: Vec<Book>,
    names: Names,
    telling: Telling,
    /// What the cluster counted, as it said at the beginning of the session; nothing is read before.
    cursors: Option<AccountingCursors>,
    /// Stems of which it is known whether something went unread.
    judged: BTreeSet<String>,
    /// Whether something changed that is not yet durable.
    unwritten: bool,
    /// What could not be read at the last look: said once.
    trouble: Option<String>,
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
            self.look(files, spec, &mut left, now);
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

    fn look(&mut self, files: &Rooted, spec: &AccountingSpec, left: &mut u64, now: Timestamp) {
        let (mut trouble, mut is_whole) = (None, true);
        self.books
            .iter_mut()
            .for_each(|book| (book.present, book.is_behind) = (false, false));
        for spec in &spec.files {
            match follow::parts(files, &spec.path) {
                Ok(paths) => {
                    for path in paths {
                        let followed = self.follow(files, spec, &path, left, now);
                        // What is no file holds no records, and is said all the same.
                        is_whole &= matches!(followed, Ok(()) | Err(FileError::NotRegular(_)));
                        trouble = trouble.or_else(|| followed.err());
                    }
                }
                Err(error) => {
                    is_whole = false;
                    trouble = trouble.or(Some(error));
                }
            }
        }
        self.note_trouble(trouble.map(|error| error.to_string()), now);
        if is_whole {
            self.find_gaps(now);
            self.let_go();
            if self.books.iter().all(|book| !book.is_behind) {
                self.telling.note_read(now);
            }
        }
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
        let before = self.books.len();
        let Some(at) = follow::book(&mut self.books, &spec.path, path, &file, now)? else {
            return Ok(());
        };
        let rows = self.rows();
        let Some(book) = self.books.get_mut(at) else {
            return Ok(());
        };
        book.present = true;
        let cursors = self.cursors.as_ref();
        if at == before {
            recognize(book, cursors, &file)?;
            let noted = self.kept.noted.iter().find(|(id, _)| *id == book.id);
            book.noted = noted.map_or(0, |(_, noted)| *noted);
        }
        let is_forgotten =
            book.told.is_none() && cursors.is_some_and(|all| is_forgotten(all, &book.id));
        book.place(&file, is_forgotten)?;
        let Phase::Scanning(scan) = &mut book.phase else {
            return Ok(());
        };
        if scan.position == file.size && !scan.is_seeking() {
            return Ok(());
        }
        if *left < RECORD_BYTES as u64 || rows >= ROWS_WAITING {
            book.is_behind = true;
            return Ok(());
        }
        let begin = scan.position;
        let bytes = file.read_at(begin, (file.size - begin).min(*left))?;
        *left = left.saturating_sub(bytes.len() as u64);
        let is_end = begin + bytes.len() as u64 == file.size;
        let known = self.kept.notices.clone();
        let has_room = scan.read(
            &bytes,
            is_end,
            &mut Judge {
                names: &self.names,
                notices: &mut self.kept.notices,
                counted: &spec.records,
                file: &book.id,
                noted: book.noted,
                now,
            },
        );
        if scan.is_counting() {
            book.noted = book.noted.max(scan.position);
        }
        book.is_behind = !has_room || !is_end;
        self.unwritten |= known != self.kept.notices;
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

    /// Files that went while nobody read them, and files that went in the middle of it.
    fn find_gaps(&mut self, now: Timestamp) {
        if let Some(cursors) = &self.cursors {
            gaps::find(&mut self.books, cursors, &mut self.judged, now);
        }
        for book in self.books.iter_mut().filter(|book| !book.present) {
            if book.is_unread
                && let Some(scan) = book.scan()
            {
                let from = scan.last;
                self.telling.note_gap(Gap { from, to: now });
            }
            book.is_unread = false;
        }
        for book in &mut self.books {
            book.is_unread = book.is_behind;
        }
    }

    /// Lets go of files that are gone or done: what is in memory follows what is written to.
    fn let_go(&mut self) {
        self.books.retain(|book| book.present || book.has_news());
        let mut newest: BTreeMap<HostPath, (usize, String)> = BTreeMap::new();
        for book in &self.books {
            let (length, name) = book.id.order();
            let own = (length, name.to_owned());
            let known = newest.entry(book.base.clone()).or_default();
            *known = own.max(std::mem::take(known));
        }
        for book in &mut self.books {
            let told = book.told.as_ref().map(|cursor| cursor.at);
            let is_done = !book.is_behind && !book.has_news() && told == Some(book.position());
            let newest = newest.get(&book.base);
            if is_done && newest.is_some_and(|(_, name)| *name != book.id.name) {
                book.phase = Phase::Resting;
            }
        }
    }

    fn note_positions(&mut self) {
        let noted = self.books.iter().map(|book| (book.id.clone(), book.noted));
        let noted: Vec<_> = noted.filter(|(_, noted)| *noted > 0).collect();
        if self.cursors.is_some() {
            self.kept.noted = noted;
        }
    }

    /// Rows that are not told.
    fn rows(&self) -> usize {
        let scans = self.books.iter().filter_map(Book::scan);
        scans.map(|scan| scan.tally.len()).sum()
    }

    /// A session begins: nothing is told before the cluster said what it has.
    pub fn begin_session(&mut self) {
        self.telling = Telling::default();
        self.cursors = None;
    }

    /// The cluster says up to where it counted.
    pub fn take_cursors(&mut self, cursors: AccountingCursors) {
        for book in &mut self.books {
            let own = cursors.files.iter().find(|cursor| cursor.file == book.id);
            book.learn(own.cloned());
        }
        self.telling.begin(cursors.read_until);
        self.judged.clear();
        self.cursors = Some(cursors);
    }

    /// What is to be said next, if anything.
    pub fn next_batch(&mut self, session: Session<'_>) -> Option<StatisticsBatch> {
        self.cursors.as_ref()?;
        self.telling
            .next(session, &mut self.books, &self.kept.notices)
    }

    /// The last batch was answered.
    pub fn answered(&mut self, cursor: Option<FileCursor>) {
        self.telling.answered(&mut self.books, cursor);
    }

    /// How far a file was read.
    #[must_use]
    pub fn position(&self, base: &HostPath, name: &str) -> Option<u64> {
        let mut books = self.books.iter();
        let own = books.find(|book| book.base == *base && book.id.name == name);
        own.map(Book::position)
    }
}

/// Finds what the cluster knows of a file that is seen for the first time. One that was counted under
/// another name is known by its beginning and by what stands before the cursor.
fn recognize(
    book: &mut Book,
    cursors: Option<&AccountingCursors>,
    file: &Opened,
) -> Result<(), FileError> {
    let Some(cursors) = cursors else {
        return Ok(());
    };
    if let Some(own) = cursors.files.iter().find(|cursor| cursor.file == book.id) {
        book.told = Some(own.clone());
        return Ok(());
    }
    for cursor in &cursors.files {
        let is_alike = cursor.file.head == book.id.head && cursor.file.stem() == book.id.stem();
        if is_alike && cursor.at <= file.size && Book::fits(file, cursor)? {
            book.id = cursor.file.clone();
            book.told = Some(cursor.clone());
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a file without a cursor may have been counted once.
fn is_forgotten(cursors: &AccountingCursors, file: &AccountingFileId) -> bool {
    let floor = file.stem().and_then(|stem| cursors.floors.get(stem));
    floor.is_some_and(|floor| file.order() <= (floor.len(), floor))
}
