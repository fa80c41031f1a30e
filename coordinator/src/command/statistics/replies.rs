//! Replies that name lists of bad senders, as they come with what was counted.

use std::net::IpAddr;
use std::sync::Arc;

use email_engine_protocol::id::{HostId, ListId};
use email_engine_protocol::limits::REPLY_CHARS;
use email_engine_protocol::observed::{ListReplies, Stretch};
use email_engine_protocol::time::Timestamp;

use crate::command::refuse::cut;
use crate::fleet::listing::{EVIDENCE_MILLIS, REPLIES_KEPT_MILLIS, forget_replies};
use crate::state::{FleetState, Identity, Listings, Replies};

/// Most lists of one identity.
const LISTS: usize = 16;
/// Most rows that are kept; those that were named longest ago go first.
const ROWS: usize = 10_000;
/// Rows above that before any go, all at once: finding them is the cost.
const SLACK: usize = 500;

/// Writes down what a stretch has of them. A host speaks of identities that are on it and of nobody else's.
pub(super) fn note(state: &mut FleetState, host: &HostId, stretch: &Stretch, now: Timestamp) {
    if stretch.replies.is_empty() {
        return;
    }
    for told in &stretch.replies {
        let identity = state.identities.get(&told.address);
        let Some(identity) = identity.filter(|identity| identity.spec.host == *host) else {
            continue;
        };
        let last = told.last.min(now);
        // What came back to whoever had the address before says nothing of this one.
        if last >= identity.added_at && now.since(last) <= REPLIES_KEPT_MILLIS {
            let since = Arc::clone(identity);
            add(&mut state.listings, told, &since, now);
        }
    }
    shorten(state, now);
}

fn add(listings: &mut Listings, told: &ListReplies, identity: &Identity, now: Timestamp) {
    let rows = listings.replies.or_default(&told.address);
    let last = told.last.min(now);
    let known = rows
        .get(&told.list)
        .filter(|row| row.last >= identity.added_at);
    let mut row = known.map_or_else(
        || Replies {
            count: 0,
            first: told.first.min(last).max(identity.added_at),
            last,
            sample: String::new(),
            wanted_since: None,
            checked_at: None,
        },
        |known| (**known).clone(),
    );
    if row.count == 0 && rows.len() >= LISTS && !rows.contains_key(&told.list) {
        return;
    }
    row.count = row.count.saturating_add(told.count);
    // Files are read in any order: what is late may be older.
    if last >= row.last {
        row.sample = cut(&told.sample, REPLY_CHARS);
    }
    row.first = row.first.min(told.first.max(identity.added_at));
    row.last = row.last.max(last);
    if now.since(last) <= EVIDENCE_MILLIS {
        row.wanted_since.get_or_insert(now);
    }
    rows.insert(told.list.clone(), Arc::new(row));
}

/// Keeps the table within its bound.
fn shorten(state: &mut FleetState, now: Timestamp) {
    let count =
        |listings: &Listings| -> usize { listings.replies.values().map(|rows| rows.len()).sum() };
    if count(&state.listings) <= ROWS + SLACK {
        return;
    }
    let identities = &state.identities;
    forget_replies(&mut state.listings, |address, row| {
        identities.contains_key(address) && now.since(row.last) <= REPLIES_KEPT_MILLIS
    });
    let surplus = count(&state.listings).saturating_sub(ROWS);
    if surplus == 0 {
        return;
    }
    let mut all: Vec<(Timestamp, IpAddr, ListId)> = Vec::new();
    for (address, rows) in &state.listings.replies {
        all.extend(
            rows.iter()
                .map(|(list, row)| (row.last, *address, list.clone())),
        );
    }
    all.sort_unstable();
    for (_, address, list) in all.into_iter().take(surplus) {
        if let Some(rows) = state.listings.replies.get_mut(&address) {
            rows.remove(&list);
            if rows.is_empty() {
                state.listings.replies.remove(&address);
            }
        }
    }
}
