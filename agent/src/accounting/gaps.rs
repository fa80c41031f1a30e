//! Finds out whether files went unread while the host was away. Pure.

use std::collections::BTreeSet;

use email_engine_protocol::observed::{AccountingCursors, FileCursor, Gap};
use email_engine_protocol::time::Timestamp;

use super::book::Book;

/// No host keeps its files for less: who was away for a shorter time has missed none.
const KEPT: u64 = Timestamp::DAY;

/// Judges every stem once in a session: when the newest file that was counted is gone, and everything had
/// not been read a moment before, records between it and the first file that nobody counted may be
/// missing. The gap is told with that file.
pub(super) fn find(
    books: &mut [Book],
    cursors: &AccountingCursors,
    judged: &mut BTreeSet<String>,
    now: Timestamp,
) {
    let stems: BTreeSet<_> = cursors
        .files
        .iter()
        .filter_map(|one| one.file.stem())
        .collect();
    for stem in stems {
        if judged.contains(stem) {
            continue;
        }
        let Some(last) = newest(cursors, stem) else {
            continue;
        };
        if books
            .iter()
            .any(|book| book.present && book.id == last.file)
        {
            judged.insert(stem.to_owned());
            continue;
        }
        let after = |book: &&mut Book| {
            let is_own = book.id.stem() == Some(stem) && book.id.order() > last.file.order();
            book.present && book.told.is_none() && is_own
        };
        let mut later: Vec<_> = books.iter_mut().filter(after).collect();
        later.sort_by(|one, other| one.id.order().cmp(&other.id.order()));
        let Some(first) = later.into_iter().next() else {
            continue;
        };
        judged.insert(stem.to_owned());
        first.gap = gap(last, cursors.read_until, first.first, now);
    }
}

fn newest<'a>(cursors: &'a AccountingCursors, stem: &str) -> Option<&'a FileCursor> {
    let own = cursors
        .files
        .iter()
        .filter(|one| one.file.stem() == Some(stem));
    own.max_by(|one, other| one.file.order().cmp(&other.file.order()))
}

fn gap(
    last: &FileCursor,
    read_until: Option<Timestamp>,
    first: Option<Timestamp>,
    now: Timestamp,
) -> Option<Gap> {
    let from = last.mark.last.max(read_until.unwrap_or_default());
    let to = first.unwrap_or(now);
    (now.since(from) >= KEPT && to > from).then_some(Gap { from, to })
}
