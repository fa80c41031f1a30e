//! Finds the files of an accounting path, and knows those again that were read before.

use email_engine_protocol::desired::HostPath;
use email_engine_protocol::time::Timestamp;

use super::book::Book;
use super::line::record::{self, Line};
use super::line::split::{self, Cut, RECORD_BYTES};
use crate::host::{FileError, Opened, Rooted};

/// Files of one path that are looked at together. At the product's usual 50 MB and eight days that is
/// 3 GB a day.
const FILES: usize = 512;
/// A header and a record.
const HEAD_BYTES: u64 = 2 * RECORD_BYTES as u64;

/// What the names of a path's files begin with, and what they end with, if anything.
pub(super) fn stem(base: &HostPath) -> (&str, Option<&str>) {
    split(base.file_name())
}

fn split(base: &str) -> (&str, Option<&str>) {
    match base.rsplit_once('.') {
        Some((stem, extension)) => (stem, Some(extension)),
        None => (base, None),
    }
}

/// Whether this is a file of an accounting path: `acct.csv` stands for `acct-2026-11-21-0000.csv`.
pub(super) fn is_part(base: &str, name: &str) -> bool {
    let (stem, extension) = split(base);
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

/// The files of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Those that are looked at, oldest first.
    pub(super) paths: Vec<HostPath>,
    /// Names of the others.
    pub(super) later: Vec<String>,
    /// How many of the others are not done with.
    pub(super) waiting: usize,
}

/// The files of a path; none when there is not even a folder. When there are too many, those that are done
/// with make place, and the oldest of the others come first: each of them is looked at in its turn.
pub(super) fn parts(
    files: &Rooted,
    base: &HostPath,
    is_done: impl Fn(&str) -> bool,
) -> Result<Option<Parts>, FileError> {
    let Some(folder) = base.parent() else {
        return Ok(None);
    };
    if files.look(&folder)?.is_none() {
        return Ok(None);
    }
    let mut names = files.list(&folder)?;
    names.retain(|name| is_part(base.file_name(), name));
    // By date and number, which outgrow their digits some day.
    names.sort_by_key(|name| (name.len(), name.clone()));
    let (now, later, waiting) = share(names, is_done);
    let path = |name: String| HostPath::new(format!("{folder}/{name}")).ok();
    Ok(Some(Parts {
        paths: now.into_iter().filter_map(path).collect(),
        later,
        waiting,
    }))
}

/// Which names are looked at now and which later, and how many of these are not done with.
fn share(names: Vec<String>, is_done: impl Fn(&str) -> bool) -> (Vec<String>, Vec<String>, usize) {
    if names.len() <= FILES {
        return (names, Vec::new(), 0);
    }
    let open = names.iter().filter(|name| !is_done(name)).count();
    let waiting = open.saturating_sub(FILES);
    // The newest of those that are done with, where there is room for some.
    let mut passed = names.len() - open - FILES.saturating_sub(open);
    let mut room = FILES;
    let (now, later) = names.into_iter().partition(|name| {
        if is_done(name) && passed > 0 {
            passed -= 1;
            return false;
        }
        let has_room = room > 0;
        room = room.saturating_sub(1);
        has_room
    });
    (now, later, waiting)
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
    let Ok(Line::Header(columns)) = record::read(header, None) else {
        return None;
    };
    match record::read(first, Some(&columns)) {
        Ok(Line::Record(record)) => record.is_by(now).then_some(record.at),
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn of_too_many_files_each_has_its_turn_and_those_that_are_done_make_place() {
        let names: Vec<_> = (0..1500).map(|number| format!("{number:04}")).collect();
        let mut done = BTreeSet::new();
        for (turn, waits) in [(0, 988), (1, 476), (2, 0)] {
            let (now, later, waiting) = share(names.clone(), |name| done.contains(name));
            assert_eq!((now.len(), waiting), (512, waits));
            assert_eq!(later.len(), 1500 - 512);
            assert!(now.is_sorted());
            if turn < 2 {
                assert_eq!(now[0], names[turn * 512]);
            } else {
                // All that is left, and the newest ones before it.
                assert_eq!(now, names[1500 - 512..]);
            }
            done.extend(now);
        }
        let (now, _, waiting) = share(names[..512].to_vec(), |_| false);
        assert_eq!((now.len(), waiting), (512, 0));
    }

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
