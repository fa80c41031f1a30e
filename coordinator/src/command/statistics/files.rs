//! Which accounting files of a host are remembered.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::limits;
use email_engine_protocol::observed::AccountingFileId;
use email_engine_protocol::time::Timestamp;

use crate::state::{CountedFile, HostAccounting};

/// A host's files are remembered for so long after the last word of them.
const REMEMBERED: u64 = 60 * Timestamp::DAY;

/// Forgets the cursors of files that are long gone. What stands below the floor is never counted anew. The
/// newest file of each stem is remembered for as long as the host is: it may be written to after a year.
/// Age alone lets nothing go before the host says that all is read: one that comes back after months has
/// files whose ends are not counted.
pub(super) fn forget(host: &mut HostAccounting, is_all_read: bool, now: Timestamp) {
    forget_stems(host);
    let surplus = host.files.len().saturating_sub(limits::ACCOUNTING_CURSORS);
    let is_old = |file: &CountedFile| is_all_read && now.since(file.changed_at) > REMEMBERED;
    if surplus == 0 && !host.files.values().any(is_old) {
        return;
    }
    let newest: BTreeSet<_> = newest(host).into_values().flatten().cloned().collect();
    let mut others: Vec<_> = host
        .files
        .iter()
        .filter(|(id, _)| !newest.contains(id))
        .map(|(id, file)| (file.changed_at, is_old(file), id.clone()))
        .collect();
    // Of the surplus those that were written to first go.
    others.sort();
    for (at, (_, is_old, gone)) in others.into_iter().enumerate() {
        if is_old || at < surplus {
            host.files.remove(&gone);
            raise_floor(host, gone, now);
        }
    }
}

/// By stem, its last file by name and the one that was written to last: a name that is dated years ahead
/// must not make an old file of the one that the product writes.
fn newest(host: &HostAccounting) -> BTreeMap<&str, [&AccountingFileId; 2]> {
    let mut newest: BTreeMap<&str, [(&AccountingFileId, &CountedFile); 2]> = BTreeMap::new();
    for (id, file) in &host.files {
        let Some(stem) = id.stem() else {
            continue;
        };
        let [last, latest] = newest.entry(stem).or_insert([(id, file); 2]);
        if last.0.order() <= id.order() {
            *last = (id, file);
        }
        if latest.1.changed_at <= file.changed_at {
            *latest = (id, file);
        }
    }
    let ids = |[last, latest]: [(_, _); 2]| [last.0, latest.0];
    newest
        .into_iter()
        .map(|(stem, both)| (stem, ids(both)))
        .collect()
}

/// A name that is dated later than tomorrow raises no floor: everything that is written until then would be
/// taken for forgotten.
fn raise_floor(host: &mut HostAccounting, gone: AccountingFileId, now: Timestamp) {
    if !gone.is_dated_by(now.plus(Timestamp::DAY)) {
        return;
    }
    if let Some(stem) = gone.stem() {
        let floor = host.floors.entry(stem.to_owned()).or_default();
        if (floor.len(), &floor[..]) < gone.order() {
            *floor = gone.name;
        }
    }
}

/// Of too many stems the one goes that was quiet longest, floor and all. No configuration comes to so many:
/// a host that makes them up counts its own files twice and nobody else's.
fn forget_stems(host: &mut HostAccounting) {
    loop {
        let mut quiet: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for (id, file) in &host.files {
            let last = quiet.entry(id.stem().unwrap_or_default()).or_default();
            *last = file.changed_at.max(*last);
        }
        if quiet.len() <= limits::ACCOUNTING_STEMS {
            return;
        }
        let longest = quiet.into_iter().min_by_key(|(stem, last)| (*last, *stem));
        let Some(gone) = longest.map(|(stem, _)| stem.to_owned()) else {
            return;
        };
        host.files
            .retain(|id, _| id.stem().unwrap_or_default() != gone);
        host.floors.remove(&gone);
    }
}
