//! What the fleet's state says that the rules go by: whom lists take out or slow, which list is braked, what
//! stands in the way of a promotion, and who could be promoted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::{FailoverSettings, IpStatus, ListingClass, Purpose};
use email_engine_protocol::id::{ListId, TenantId};
use email_engine_protocol::time::Timestamp;

use super::breaker::{self, Cause, Parts};
use super::budget::{self, Made};
use super::candidate::{Lost, Runner, Seen, order};
use super::{Brakes, Obstacle};
use crate::alerts::rules::Line;
use crate::dnsbl::query::Subject;

use crate::fleet::listing::{self, Standing, confirmed, replies_naming};
use crate::state::{FleetState, Identity, ListWeight, Listing, ListingEvent, Restraint, Slowed};

/// Sweeps in a row without a listing after which an identity is slowed no more.
const CLEAN_SWEEPS: u8 = 2;
/// How long another is sought for one that was taken out.
pub const SEARCH_MILLIS: u64 = Timestamp::DAY;

/// The figures of the fleet, as new hosts have them.
#[must_use]
pub fn settings_of(state: &FleetState) -> FailoverSettings {
    let release = state.default_release.as_ref();
    let fleet = release.and_then(|release| state.settings_of(release));
    fleet.map_or_else(FailoverSettings::default, |fleet| fleet.failover.clone())
}

/// Lists by which an identity is to be taken out now, and what they say: those that weigh enough by themselves,
/// and those that would only slow it where receivers' replies to its own mail name them.
///
/// A sighting is acted on once the sweep that it is of is through: before that it is not known how many
/// others the same list names.
#[must_use]
pub fn taken_out_by<'a>(
    state: &'a FleetState,
    identity: &Identity,
    brakes: &Brakes,
    now: Timestamp,
) -> BTreeMap<&'a ListId, &'a Listing> {
    use IpStatus::{Active, Standby, Warming};
    if !matches!(identity.spec.status, Active | Standby | Warming) {
        return BTreeMap::new();
    }
    let address = identity.spec.address;
    let weighs = |(list, row): &(&ListId, &Listing)| match row.class {
        ListingClass::A => true,
        ListingClass::B => replies_naming(state, address, list, now).is_some(),
        ListingClass::C | ListingClass::Policy => false,
    };
    counted(state, address, brakes).filter(weighs).collect()
}

/// What holds an identity back now.
#[must_use]
pub fn restraint_of(
    state: &FleetState,
    identity: &Identity,
    brakes: &Brakes,
    now: Timestamp,
) -> Restraint {
    let spec = &identity.spec;
    let slowing = counted(state, spec.address, brakes);
    let slowing = slowing.filter(|(_, row)| row.class == ListingClass::B);
    let lists: BTreeSet<ListId> = slowing.map(|(list, _)| list.clone()).collect();
    let slowed = match &identity.restraint.slowed {
        None if lists.is_empty() => None,
        None => Some(Slowed {
            lists,
            ..Slowed::default()
        }),
        Some(slowed) if lists.is_empty() && slowed.clean_sweeps >= CLEAN_SWEEPS => None,
        // A list that names it again, and is not confirmed yet, keeps what it did before.
        Some(slowed) => Some(Slowed {
            lists: lists.union(&slowed.lists).cloned().collect(),
            ..slowed.clone()
        }),
    };
    let open = listing::rows(state, &Subject::Address(spec.address));
    let held = open.filter(|(list, row)| {
        let is_named = || replies_naming(state, spec.address, list, now).is_some();
        row.is_open() && row.class == ListingClass::A && brakes.holds(list) && is_named()
    });
    Restraint {
        breaker: state.failover.pauses(&spec.tenant, spec.purpose),
        held: held.map(|(list, _)| list.clone()).collect(),
        slowed,
    }
}

/// Confirmed listings of an address in sweeps that are through, on lists that are not braked.
fn counted<'a>(
    state: &'a FleetState,
    address: IpAddr,
    brakes: &Brakes,
) -> impl Iterator<Item = (&'a ListId, &'a Listing)> {
    let sweep = state.listings.sweep.as_ref();
    let begun = sweep.filter(|sweep| sweep.closed_at.is_none());
    let begun = begun.map(|sweep| sweep.began_at);
    let is_counted = move |row: &Listing| begun.is_none_or(|at| row.first_seen < at);
    confirmed(state, &Subject::Address(address))
        .filter(move |(list, row)| is_counted(row) && !brakes.holds(list))
}

/// Whether a braked list took it all back: it was healthy, and names nobody any more.
#[must_use]
pub fn took_it_back(state: &FleetState, list: &ListId) -> bool {
    let health = state.listings.lists.get(list);
    let is_healthy = health.is_some_and(|health| health.unhealthy.is_none());
    let names = |rows: &BTreeMap<ListId, _>| {
        let row: Option<&std::sync::Arc<Listing>> = rows.get(list);
        row.is_some_and(|row| row.is_open())
    };
    is_healthy && !state.listings.rows.values().any(names)
}

/// Complaints, and delivered where complaints are told, of the last 24 hours and by what was sent.
pub type Complaints = BTreeMap<Purpose, (u64, u64)>;

/// What is known of a tenant, by what is sent; without those whose quarantine an operator accepted.
#[must_use]
pub(super) fn parts(state: &FleetState, tenant: &TenantId, complaints: &Complaints) -> Parts {
    let breaker = state.failover.breakers.get(tenant);
    let released = breaker.and_then(|breaker| breaker.released.as_ref());
    let mut parts = Parts::new();
    for identity in state.identities_of(tenant) {
        let spec = &identity.spec;
        let is_accepted =
            released.is_some_and(|word| word.out.get(&spec.address) == Some(&identity.life.since));
        let status = match spec.status {
            IpStatus::Quarantine if is_accepted => IpStatus::Resting,
            status => status,
        };
        parts.entry(spec.purpose).or_default().add(status);
    }
    for (purpose, (complaints, delivered)) in complaints {
        let part = parts.entry(*purpose).or_default();
        (part.complaints, part.delivered) = (*complaints, *delivered);
    }
    parts
}

/// Why a tenant's breaker opens now, and what it pauses; none when it does not, or is open already.
#[must_use]
pub fn opens(
    state: &FleetState,
    tenant: &TenantId,
    complaints: &Complaints,
) -> Option<(Cause, BTreeSet<Purpose>)> {
    if state.failover.open_breaker(tenant).is_some() {
        return None;
    }
    let known = parts(state, tenant, complaints);
    let cause = breaker::opens(&known, &settings_of(state))?;
    Some((cause, pauses_now(state, tenant, complaints)))
}

/// What a breaker pauses that opens now.
#[must_use]
pub fn pauses_now(
    state: &FleetState,
    tenant: &TenantId,
    complaints: &Complaints,
) -> BTreeSet<Purpose> {
    breaker::pauses(&parts(state, tenant, complaints), &settings_of(state))
}

/// What stands in the way of a promotion whoever might be promoted, as it is looked at in order.
#[must_use]
pub fn obstacle(
    state: &FleetState,
    event: &ListingEvent,
    brakes: &Brakes,
    now: Timestamp,
) -> Option<Obstacle> {
    let failover = &state.failover;
    let tenant = &event.tenant;
    if failover.frozen.contains_key(tenant) {
        return Some(Obstacle::Frozen);
    }
    if failover.open_breaker(tenant).is_some() {
        return Some(Obstacle::Breaker);
    }
    if let Some(list) = event.lists.keys().find(|list| brakes.holds(list)) {
        return Some(Obstacle::Braked(list.clone()));
    }
    if let Some((name, list)) = listed_domain(state, tenant) {
        let name = Line::new(name);
        return Some(Obstacle::Domain { name, list });
    }
    let made = failover.promotions.iter().map(|made| Made {
        tenant: &made.tenant,
        at: made.at,
    });
    let made: Vec<_> = made.collect();
    let made = made.iter().copied();
    if let Err(spent) = budget::check(made, tenant, &settings_of(state), now) {
        return Some(Obstacle::Spent(spent));
    }
    runners(state, event, &BTreeMap::new())
        .is_empty()
        .then_some(Obstacle::Nobody)
}

/// A domain that a tenant sends from or links to, and a domain list that names it. One that is seen and not
/// confirmed yet is enough: another address would carry the name on.
fn listed_domain(state: &FleetState, tenant: &TenantId) -> Option<(String, ListId)> {
    names_of(state, tenant).into_iter().find_map(|name| {
        let rows = listing::rows(state, &Subject::Name(name.clone()));
        let mut named = rows.filter(|(_, row)| {
            let weighs = matches!(row.class, ListingClass::A | ListingClass::B);
            row.is_open() && weighs
        });
        named.next().map(|(list, _)| (name, list.clone()))
    })
}

/// Names that receivers see in what a tenant sends.
fn names_of(state: &FleetState, tenant: &TenantId) -> BTreeSet<String> {
    let own = state.identities_of(tenant).map(|identity| &identity.spec);
    let own = own.flat_map(|spec| [&spec.domain, &spec.hostname, &spec.zone]);
    let links = state.tenants.get(tenant);
    let links = links.into_iter().flat_map(|own| &own.link_domains);
    let names = own.chain(links).map(|name| name.as_str().to_owned());
    names.collect()
}

/// Those who are free to take the place, the best first; of those that were asked about just now with what
/// lists said, of the others with what the last sweep said.
#[must_use]
pub fn runners(
    state: &FleetState,
    event: &ListingEvent,
    asked: &BTreeMap<IpAddr, Seen>,
) -> Vec<Runner> {
    let own = state.identities_of(&event.tenant);
    let own = own.filter(|identity| identity.is_unhindered());
    let own = own.map(|identity| {
        let seen = asked.get(&identity.spec.address).cloned();
        let seen = seen.unwrap_or_else(|| swept(state, identity));
        Runner::of(&identity.spec, identity.warmup.reached, seen)
    });
    let lost = Lost {
        address: event.address,
        purpose: event.purpose,
    };
    order(lost, own)
}

/// What the last sweep said of somebody.
fn swept(state: &FleetState, identity: &Identity) -> Seen {
    let mut seen = Seen::default();
    let sweep = state.listings.sweep.as_ref();
    let lists = sweep.into_iter().flat_map(|sweep| &sweep.lists);
    for (list, swept) in lists {
        match listing::standing(state, identity, list) {
            Some(Standing::Listed) => {
                seen.listed.insert(list.clone());
            }
            Some(Standing::Unknown) if swept.weight == ListWeight::TakesOut => {
                seen.unknown.insert(list.clone());
            }
            _ => {}
        }
    }
    let is_asked = sweep.is_some_and(|sweep| identity.life.since <= sweep.began_at);
    seen.since = sweep
        .filter(|_| is_asked)
        .and_then(|sweep| sweep.closed_at.map(|_| sweep.began_at));
    seen
}
