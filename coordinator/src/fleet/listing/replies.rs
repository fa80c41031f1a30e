//! What follows from replies that name a list: which list is asked about whom, and what they are evidence of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use crate::dnsbl::query::Subject;
use crate::dnsbl::registry::{Kind, Registry};
use crate::state::{FleetState, Listings, Replies};

/// How long replies are evidence: what nobody says any more is over.
pub const EVIDENCE_MILLIS: u64 = Timestamp::DAY;
/// How long they are kept after the last of them, for people.
pub const REPLIES_KEPT_MILLIS: u64 = 7 * Timestamp::DAY;
/// Between two questions about the same identity on the same list because of replies.
pub const APART_MILLIS: u64 = Timestamp::HOUR;

/// Replies of the last day that name a list, to mail of the identity that has the address now.
///
/// They are second evidence beside a listing: they make of one that slows a quarantine, and pause an identity
/// whose list has gone mad. By themselves they are what anybody writes into a reply.
#[must_use]
pub fn replies_naming<'a>(
    state: &'a FleetState,
    address: IpAddr,
    list: &ListId,
    now: Timestamp,
) -> Option<&'a Replies> {
    let identity = state.identities.get(&address)?;
    let row = state.listings.replies.get(&address)?.get(list)?;
    let is_its_own = row.last >= identity.added_at;
    (is_its_own && now.since(row.last) <= EVIDENCE_MILLIS).then_some(&**row)
}

/// Lists that are to be asked now because replies name them, and about whom.
#[must_use]
pub fn asked_for_by_replies(
    state: &FleetState,
    delay: u64,
    now: Timestamp,
) -> BTreeMap<ListId, BTreeSet<Subject>> {
    let mut wanted = BTreeMap::<ListId, BTreeSet<Subject>>::new();
    for (address, rows) in &state.listings.replies {
        let Some(identity) = state.identities.get(address) else {
            continue;
        };
        for (list, row) in rows {
            let is_due = row.wanted_since.is_some_and(|at| now.since(at) >= delay)
                && row
                    .checked_at
                    .is_none_or(|at| now.since(at) >= APART_MILLIS);
            if let Some(zone) = Registry::built_in().zone(list).filter(|_| is_due) {
                let own = subjects_of(&identity.spec, zone.kind);
                wanted.entry(list.clone()).or_default().extend(own);
            }
        }
    }
    wanted
}

/// Those of whom replies ask what a list says.
#[must_use]
pub fn wait_for_answer(state: &FleetState, list: &ListId) -> BTreeSet<Subject> {
    let waits = state
        .listings
        .replies
        .iter()
        .filter(|(_, rows)| rows.get(list).is_some_and(|row| row.wanted_since.is_some()));
    let waits = waits.filter_map(|(address, _)| state.identities.get(address));
    waits
        .flat_map(|identity| all_subjects(&identity.spec))
        .collect()
}

/// Whom a list of this kind is asked about for one identity.
#[must_use]
pub fn subjects_of(spec: &IpSpec, kind: Kind) -> BTreeSet<Subject> {
    let [address, domain, hostname, zone] = all_subjects(spec);
    match kind {
        Kind::Ip => [address].into(),
        Kind::Host => [domain, hostname].into(),
        Kind::Domain => [zone].into(),
    }
}

/// Whatever a list may know of an identity: its address, its domain, its host name, and its zone.
pub(super) fn all_subjects(spec: &IpSpec) -> [Subject; 4] {
    let name = |name: &str| Subject::Name(name.to_owned());
    [
        Subject::Address(spec.address),
        name(spec.domain.as_str()),
        name(spec.hostname.as_str()),
        name(spec.zone.as_str()),
    ]
}

/// What a list was asked.
pub(crate) enum Asked<'a> {
    /// About everybody, in a sweep that began then.
    Everybody(Timestamp),
    /// About these.
    These(&'a BTreeSet<Subject>),
}

/// The list was asked, and answered: what replies asked for is known.
pub(crate) fn note_asked(state: &mut FleetState, list: &ListId, asked: &Asked<'_>, now: Timestamp) {
    let identities = &state.identities;
    let is_told = |address: &IpAddr, since: Timestamp| match asked {
        Asked::Everybody(from) => since <= *from,
        Asked::These(subjects) => {
            let spec = identities.get(address).map(|identity| &identity.spec);
            let own = spec.map(all_subjects);
            own.is_some_and(|own| own.iter().any(|one| subjects.contains(one)))
        }
    };
    let told = state.listings.replies.iter().filter(|(address, rows)| {
        let since = rows.get(list).and_then(|row| row.wanted_since);
        since.is_some_and(|since| is_told(address, since))
    });
    let told: Vec<IpAddr> = told.map(|(address, _)| *address).collect();
    for address in told {
        let rows = state.listings.replies.get_mut(&address);
        if let Some(row) = rows.and_then(|rows| rows.get_mut(list)) {
            let row = std::sync::Arc::make_mut(row);
            (row.wanted_since, row.checked_at) = (None, Some(now));
        }
    }
}

/// Lets go of replies that are long past.
pub(crate) fn forget_replies(listings: &mut Listings, is_kept: impl Fn(&IpAddr, &Replies) -> bool) {
    let gone = listings
        .replies
        .iter()
        .filter(|(address, rows)| rows.values().any(|row| !is_kept(address, row)));
    let gone: Vec<IpAddr> = gone.map(|(address, _)| *address).collect();
    for address in gone {
        let Some(mut rows) = listings.replies.remove(&address) else {
            continue;
        };
        rows.retain(|_, row| is_kept(&address, row));
        if !rows.is_empty() {
            listings.replies.insert(address, rows);
        }
    }
}
