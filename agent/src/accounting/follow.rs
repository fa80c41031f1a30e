//! Finds the files of an accounting path, and knows those again that were read before.

use email_engine_protocol::desired::HostPath;
use email_engine_protocol::time::Timestamp;

use super::book::Book;
use super::line::record::{self, Line};
use super::line::split::{self, Cut, RECORD_BYTES};
use crate::host::{FileError, Opened, Rooted};

/// Files of one path that are looked at, the newest ones. At the product's usual 50 MB and eight days
/// that is 3 GB a day.
const FILES: usize = 512;
/// A header and a record.
const HEAD_BYTES: u64 = 2 * RECORD_BYTES as u64;

/// Whether this is a file of an accounting path: `acct.csv` stands for `acct-2026-11-21-0000.csv`.
pub(super) fn is_part(base: &str, name: &str) -> bool {
    let (stem, extension) = match base.rsplit_once('.') {
        Some((stem, extension)) => (stem, Some(extension)),
        None => (base, None),
    };
    let rest = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_prefix('-'));
    let rest = rest.and_then(|rest| match extension {
        Some(extension) => rest.strip_suffix(extension)?.strip_suffix('.'),
        None => Some(rest),
    });
    let mut parts = rest.unwrap_or_default().split('-');
    let digits = |part: Option<&str>, least: usize, most: usize| {
        part.is_some_and(|part| {
            (least..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        })
    };
    digits(parts.next(), 4, 4)
        && digits(parts.next(), 2, 2)
        && digits(parts.next(), 2, 2)
        && digits(parts.next(), 4, 9)
        && parts.next().is_none()
}

/// The files of a path, oldest first.
pub(super) fn parts(files: &Rooted, base: &HostPath) -> Result<Vec<HostPath>, FileError> {
    let Some(folder) = base.parent() else {
        return Ok(Vec::new());
    };
    if files.look(&folder)?.is_none() {
        return Ok(Vec::new());
    }
    let mut names = files.list(&folder)?;
    names.retain(|name| is_part(base.file_name(), name));
    // By date and number, which outgrow their digits some day.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names.drain(..names.len().saturating_sub(FILES));
    let path = |name: String| HostPath::new(format!("{folder}/{name}")).ok();
    Ok(names.into_iter().filter_map(path).collect())
}

/// The header and first record of a file, once they are written: by them it is known again.
pub(super) fn head(file: &Opened) -> Result<Option<Vec<u8>>, FileError> {
    let mut bytes = file.read_at(0, HEAD_BYTES)?;
    let mut length = 0;
    for _ in 0..2 {
        match split::first(&bytes[length..]) {
            Cut::Record(more) | Cut::TooLong(more) => length += more,
            Cut::Unfinished => return Ok(None),
        }
    }
    bytes.truncate(length);
    Ok(Some(bytes))
}

/// When the first record was written, by the header before it.
pub(super) fn first_time(head: &[u8], now: Timestamp) -> Option<Timestamp> {
    let Cut::Record(length) = split::first(head) else {
        return None;
    };
    let (header, first) = head.split_at(length);
    let Ok(Line::Header(columns)) = record::read(header, None, now) else {
        return None;
    };
    match record::read(first, Some(&columns), now) {
        Ok(Line::Record(record)) => Some(record.at),
        _ => None,
    }
}

/// The place of a file's book: the one that it has, or a new one; none while it has no record.
pub(super) fn book(
    books: &mut Vec<Book>,
    base: &HostPath,
    path: &HostPath,
    file: &Opened,
    now: Timestamp,
) -> Result<Option<usize>, FileError> {
    let name = path.file_name();
    let known = books.iter_mut().enumerate().find(|(_, book)| {
        book.base == *base
            && (book.id.name == name || book.inode == file.inode)
            && file
                .read_at(0, book.head)
                .is_ok_and(|head| book.begins(&head))
    });
    if let Some((at, book)) = known {
        book.inode = file.inode;
        return Ok(Some(at));
    }
    let head = head(file)?;
    Ok(head.map(|head| {
        let book = Book::new(base.clone(), name.to_owned(), &head, file.inode, now);
        books.push(book);
        books.len() - 1
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_products_names_are_known_and_no_others() {
        for name in ["acct-2026-11-21-0000.csv", "acct-2026-11-21-10000.csv"] {
            assert!(is_part("acct.csv", name), "{name}");
        }
        assert!(is_part("a-b", "a-b-2026-11-21-0007"));
        for name in [
            "acct.csv",
            "acct-2026-11-21.csv",
            "acct-2026-11-21-0000.csv.gz",
            "acct-2026-11-21-0000",
            "acct-2026-11-21-000x.csv",
            "acct-2026-11-21-0000-1.csv",
            "acct-more-2026-11-21-0000.csv",
            "xacct-2026-11-21-0000.csv",
        ] {
            assert!(!is_part("acct.csv", name), "{name}");
        }
    }
}
