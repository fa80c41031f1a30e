//! One look at the files of a path: what is there is read on, what is gone is missed.

use std::collections::BTreeMap;

use email_engine_protocol::desired::{AccountingFile, AccountingSpec, HostPath};
use email_engine_protocol::observed::{AccountingCursors, AccountingFileId, Gap};
use email_engine_protocol::time::Timestamp;

use super::book::{Book, Phase};
use super::books::{Books, ROWS_WAITING};
use super::follow::Parts;
use super::line::split::RECORD_BYTES;
use super::scan::{Judge, readable};
use super::{follow, gaps, notices};
use crate::host::{FileError, Opened, Rooted};

impl Books {
    /// Looks at all files, and reads at most so many bytes of them.
    pub(super) fn look(
        &mut self,
        files: &Rooted,
        spec: &AccountingSpec,
        left: &mut u64,
        now: Timestamp,
    ) {
        let (mut trouble, mut is_whole) = (None, true);
        self.books
            .iter_mut()
            .for_each(|book| (book.present, book.is_behind) = (false, false));
        for spec in &spec.files {
            let parts = match follow::parts(files, &spec.path, |name| self.rests(spec, name)) {
                Ok(parts) => parts,
                Err(error) => {
                    is_whole = false;
                    trouble = trouble.or_else(|| Some(error.to_string()));
                    continue;
                }
            };
            let (paths, missing) = self.of_look(spec, parts);
            is_whole &= missing.is_none();
            trouble = trouble.or_else(|| missing.flatten());
            for path in paths {
                let followed = self.follow(files, spec, &path, left, now);
                // What is no file holds no records, and is said all the same.
                is_whole &= matches!(followed, Ok(()) | Err(FileError::NotRegular(_)));
                trouble = trouble.or_else(|| followed.err().map(|error| error.to_string()));
            }
        }
        self.note_trouble(trouble, now);
        if is_whole {
            self.find_gaps(now);
            self.books.retain(|book| book.present || book.has_news());
        }
        self.rest();
        if is_whole && self.books.iter().all(|book| !book.is_behind) {
            self.telling.note_read(now);
        }
    }

    /// Whether a file is known to be done with.
    fn rests(&self, spec: &AccountingFile, name: &str) -> bool {
        let mut own = self.books.iter();
        own.any(|book| {
            let rests = matches!(book.phase, Phase::Resting { .. });
            rests && book.base == spec.path && book.id.name == name
        })
    }

    /// The files of a path that are looked at now, and whether some are not: with a reason, where an
    /// operator should know.
    fn of_look(
        &mut self,
        spec: &AccountingFile,
        parts: Option<Parts>,
    ) -> (Vec<HostPath>, Option<Option<String>>) {
        let Some(parts) = parts else {
            // Before the product is there it has no folder; afterwards somebody took it away.
            let (stem, _) = follow::stem(&spec.path);
            let cursors = self.cursors.iter().flat_map(|cursors| &cursors.files);
            let had_files = cursors.into_iter().any(|one| one.file.stem() == Some(stem));
            let reason = had_files.then(|| format!("the folder of {} is gone", spec.path));
            return (Vec::new(), Some(reason));
        };
        for name in &parts.later {
            let books = self.books.iter_mut();
            for book in books.filter(|book| book.base == spec.path && book.id.name == *name) {
                book.present = true;
            }
        }
        let waits = (parts.waiting > 0).then(|| {
            let waiting = parts.waiting;
            Some(format!(
                "{waiting} more files of {} wait to be read",
                spec.path
            ))
        });
        (parts.paths, waits)
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
        let is_full = book.is_full();
        let Phase::Scanning(scan) = &mut book.phase else {
            return Ok(());
        };
        if scan.position == file.size && !scan.is_seeking() {
            return Ok(());
        }
        if *left < RECORD_BYTES as u64 || rows >= ROWS_WAITING || is_full {
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
            if book.is_unread {
                let told = book.told.as_ref().map(|cursor| cursor.mark.last);
                let from = book.scan().map(|scan| scan.last).max(told).max(book.first);
                let from = from.unwrap_or(now);
                self.telling.note_gap(Gap { from, to: now });
            }
            book.is_unread = false;
        }
        for book in &mut self.books {
            book.is_unread = book.is_behind;
        }
    }

    /// Lets go of what is remembered of files that are done with: what is in memory follows what is
    /// written to.
    fn rest(&mut self) {
        let mut newest: BTreeMap<HostPath, (usize, String)> = BTreeMap::new();
        for book in &self.books {
            let (length, name) = book.id.order();
            let own = (length, name.to_owned());
            let known = newest.entry(book.base.clone()).or_default();
            *known = own.max(std::mem::take(known));
        }
        for book in &mut self.books {
            let told = book.told.as_ref().map(|cursor| cursor.at);
            let is_done = book.is_read() && book.said.is_none() && told == Some(book.position());
            let newest = newest.get(&book.base);
            if is_done && newest.is_some_and(|(_, name)| *name != book.id.name) {
                book.phase = Phase::Resting { size: book.size };
            }
        }
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
pub(super) fn is_forgotten(cursors: &AccountingCursors, file: &AccountingFileId) -> bool {
    let floor = file.stem().and_then(|stem| cursors.floors.get(stem));
    floor.is_some_and(|floor| file.order() <= (floor.len(), floor))
}
