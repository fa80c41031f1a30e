//! Entries of a zip archive, by its directory.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::ZipArchive;
use zip::read::ZipFile;

use super::names::shown;
use super::{ENTRIES, Sink, UnpackError};

/// Longest target of a link that is looked at.
const TARGET: u64 = 4096;
/// Kind bits of a Unix mode, and the kinds that are taken.
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Most bytes that are read of a directory, which is held in memory whole.
const DIRECTORY: u64 = 64 * 1024 * 1024;

/// Gives no more bytes than are left, while that is bounded.
struct Budgeted<R> {
    from: R,
    left: Rc<Cell<Option<u64>>>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        if let Some(left) = self.left.get() {
            let left = left.checked_sub(count as u64);
            self.left.set(Some(
                left.ok_or_else(|| io::Error::other("its directory is too large"))?,
            ));
        }
        Ok(count)
    }
}

impl<R: Seek> Seek for Budgeted<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.from.seek(to)
    }
}

fn unreadable(error: impl std::fmt::Display) -> UnpackError {
    UnpackError::Archive(error.to_string())
}

pub(super) fn unpack(from: impl Read + Seek, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
    let left = Rc::new(Cell::new(Some(DIRECTORY)));
    let from = Budgeted {
        from,
        left: Rc::clone(&left),
    };
    let mut archive = ZipArchive::new(from).map_err(unreadable)?;
    left.set(None);
    if archive.len() as u64 > ENTRIES {
        return Err(UnpackError::TooMuch(format!("{ENTRIES} entries")));
    }
    if archive.is_empty() {
        return Err(UnpackError::Archive("it is empty".to_owned()));
    }
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(unreadable)?;
        one(&mut entry, sink)?;
    }
    Ok(())
}

fn one<R: Read>(entry: &mut ZipFile<'_, R>, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
    let name = entry.name_raw().to_vec();
    let mode = entry.unix_mode().unwrap_or(0);
    let kind = mode & KIND;
    if kind == LINK {
        let mut target = Vec::new();
        entry
            .take(TARGET)
            .read_to_end(&mut target)
            .map_err(unreadable)?;
        return sink.link(&name, &target);
    }
    if name.ends_with(b"/") || kind == FOLDER {
        return sink.folder(&name);
    }
    if kind != REGULAR && kind != 0 {
        let name = shown(&name);
        let what = "neither a file nor a folder nor a link";
        return Err(UnpackError::Kind { name, what });
    }
    // Reading to its end compares the checksum.
    sink.file(&name, mode & 0o111 != 0, entry).map(drop)
}
