//! What follows from what lists said, as facts: whose listings are confirmed, who is clean, which list has
//! gone mad, which is not heard of. What is done about them is decided elsewhere.

mod close;
mod preflight;
mod replies;

use std::collections::BTreeSet;
use std::sync::Arc;

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::id::{ListId, NodeId};
use email_engine_protocol::time::Timestamp;

use crate::dnsbl::query::Subject;
use crate::dnsbl::registry::{Kind, Registry};
use crate::state::{FleetState, Identity, Listing, Observer, Restraint, Sweep, with_ancestors};

pub(crate) use close::{close, note_sighting};
pub use preflight::{checks, preflight};
pub use replies::{
    APART_MILLIS, EVIDENCE_MILLIS, REPLIES_KEPT_MILLIS, asked_for_by_replies, replies_naming,
    subjects_of, wait_for_answer,
};
pub(crate) use replies::{Asked, forget_replies, note_asked};

/// After which a list that was not seen healthy is a matter for a person.
pub const UNHEARD_MILLIS: u64 = Timestamp::DAY;

/// Listings of somebody that two pairs of eyes saw, and that are not over.
pub fn confirmed<'a>(
    state: &'a FleetState,
    subject: &Subject,
) -> impl Iterator<Item = (&'a ListId, &'a Listing)> + use<'a> {
    let rows = state.listings.rows.get(subject).into_iter().flatten();
    rows.map(|(list, row)| (list, row.as_ref()))
        .filter(|(_, row)| row.is_confirmed())
}

/// Whether some list has something against somebody, confirmed or not yet.
#[must_use]
pub fn is_seen(state: &FleetState, subject: &Subject) -> bool {
    let rows = state.listings.rows.get(subject);
    rows.is_some_and(|rows| rows.values().any(|row| row.is_open()))
}

/// Where an address stands on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was on it when the list was last believed.
    Listed,
    /// It was not.
    Clean,
    /// Neither is known.
    Unknown,
}

/// Where an identity's address stands on a list; none when the list is not asked about such addresses.
/// One that was added since the last sweep began was not asked about: then nothing is known yet.
#[must_use]
pub fn standing(state: &FleetState, identity: &Identity, list: &ListId) -> Option<Standing> {
    let zone = Registry::built_in().zone(list)?;
    let address = identity.spec.address;
    if zone.kind != Kind::Ip || (address.is_ipv6() && !zone.ipv6) {
        return None;
    }
    let subject = Subject::Address(address);
    let health = state.listings.lists.get(list)?;
    let row = state
        .listings
        .rows
        .get(&subject)
        .and_then(|rows| rows.get(list));
    let is_heard = health.unhealthy.is_none() && !health.unknown.contains(&subject);
    let is_asked = health
        .swept_from
        .is_some_and(|from| identity.added_at <= from);
    Some(match row {
        _ if !is_heard => Standing::Unknown,
        Some(row) if row.is_open() => Standing::Listed,
        _ if is_asked => Standing::Clean,
        _ => Standing::Unknown,
    })
}

/// Lists of which nothing is known for longer than a day, and since when.
pub fn unheard(state: &FleetState, now: Timestamp) -> impl Iterator<Item = (&ListId, Timestamp)> {
    state
        .listings
        .lists
        .iter()
        .filter_map(move |(list, health)| {
            health.unhealthy.as_ref()?;
            let since = health.healthy_at.unwrap_or(health.known_since);
            (now.since(since) > UNHEARD_MILLIS).then_some((list, since))
        })
}

/// Whom a list of this kind is asked about. A name below an identity's own zone has that zone as its
/// registered domain; of others nobody said which it is, and they are asked about as they are.
#[must_use]
pub fn subjects(state: &FleetState, kind: Kind) -> BTreeSet<Subject> {
    let name =
        |name: &email_engine_protocol::mail::DomainName| Subject::Name(name.as_str().to_owned());
    let identities = state.identities.values().map(|identity| &identity.spec);
    match kind {
        Kind::Ip => identities
            .map(|spec| Subject::Address(spec.address))
            .collect(),
        Kind::Host => {
            let own = identities.flat_map(|spec| [&spec.domain, &spec.hostname]);
            let links = state
                .tenants
                .values()
                .flat_map(|tenant| &tenant.link_domains);
            own.chain(links).map(name).collect()
        }
        Kind::Domain => {
            let zones: BTreeSet<_> = identities.map(|spec| &spec.zone).collect();
            let links = state
                .tenants
                .values()
                .flat_map(|tenant| &tenant.link_domains);
            let links = links.map(|link| {
                let above = with_ancestors(link).filter_map(|name| zones.get(&name));
                above.last().map_or(link, |zone| *zone)
            });
            zones.iter().copied().chain(links).map(name).collect()
        }
    }
}

/// Identities that lists keep out or hold back, of which it matters that they are clean.
#[must_use]
pub fn watched(state: &FleetState) -> BTreeSet<Subject> {
    let is_watched = |one: &&Arc<Identity>| {
        one.spec.status == IpStatus::Quarantine || one.restraint != Restraint::default()
    };
    let out = state.identities.values().filter(is_watched);
    out.map(|one| Subject::Address(one.spec.address)).collect()
}

/// The turn in which a node takes a list of a sweep: 0 begins at once, each later one when those before it
/// have had their time. Every list goes round with each sweep, so that a node that is blind on one list is
/// not the one that asks it for ever. None for a node that takes no part.
#[must_use]
pub fn turn_of(sweep: &Sweep, list: &ListId, node: NodeId) -> Option<u64> {
    let members: Vec<NodeId> = sweep.members.iter().copied().collect();
    let at = members.iter().position(|member| *member == node)?;
    let list = sweep.lists.keys().position(|key| key == list)?;
    let count = members.len() as u64;
    let first = (list as u64).wrapping_add(sweep.number) % count;
    Some((at as u64 + count - first) % count)
}

/// Lists of the sweep that a node asks now: its own, and those of others that are late.
#[must_use]
pub fn due(state: &FleetState, node: NodeId, now: Timestamp) -> Vec<ListId> {
    let Some(sweep) = state
        .listings
        .sweep
        .as_ref()
        .filter(|sweep| sweep.closed_at.is_none())
    else {
        return Vec::new();
    };
    let open = sweep.lists.iter().filter(|(_, swept)| swept.run.is_none());
    let due = open.filter(|(list, _)| {
        turn_of(sweep, list, node).is_some_and(|turn| {
            now.since(sweep.began_at) >= turn.saturating_mul(sweep.rules.takeover)
        })
    });
    due.map(|(list, _)| list.clone()).collect()
}

/// Listings that another pair of eyes is to confirm now, by list.
#[must_use]
pub fn to_confirm(
    state: &FleetState,
    observer: &Observer,
    now: Timestamp,
) -> Vec<(ListId, BTreeSet<Subject>)> {
    let is_alone = state.voters().count() <= 1;
    let apart = state
        .listings
        .sweep
        .as_ref()
        .map_or(0, |sweep| sweep.rules.confirm);
    let mut wanted = std::collections::BTreeMap::<ListId, BTreeSet<Subject>>::new();
    for (subject, rows) in &state.listings.rows {
        for (list, row) in rows {
            let is_due = row.is_open()
                && row.confirmed_at.is_none()
                && !row.observers.contains_key(observer)
                && row.observers.iter().any(|(who, since)| {
                    who.is_independent_of(observer, is_alone) && now.since(*since) >= apart
                });
            if is_due {
                wanted
                    .entry(list.clone())
                    .or_default()
                    .insert(subject.clone());
            }
        }
    }
    wanted.into_iter().collect()
}

/// Rows of somebody, by list.
pub fn rows<'a>(
    state: &'a FleetState,
    subject: &Subject,
) -> impl Iterator<Item = (&'a ListId, &'a Arc<Listing>)> + use<'a> {
    state.listings.rows.get(subject).into_iter().flatten()
}

#[cfg(test)]
mod tests;
