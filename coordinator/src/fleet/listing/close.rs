//! The end of a sweep, and what it comes to for those who are out.
//!
//! Who is in quarantine or slowed, and since when, is kept with the identity and nowhere else: sightings set it
//! back when they come, sweeps count when they end.

use std::net::IpAddr;
use std::sync::Arc;

use email_engine_protocol::api::{ListingClass, Verdict};
use email_engine_protocol::time::Timestamp;

use super::{REPLIES_KEPT_MILLIS, forget_replies};
use crate::dnsbl::query::Subject;
use crate::fleet::lifecycle::{count_sweep, state_listing};
use crate::state::{FleetState, Identity, Listing, Sweep};

/// Ends the sweep that is under way, if one is, and counts who was clean in it.
pub(crate) fn close(state: &mut FleetState, now: Timestamp) {
    let sweep = state.listings.sweep.as_mut();
    let Some(sweep) = sweep.filter(|sweep| sweep.closed_at.is_none()) else {
        return;
    };
    sweep.closed_at = Some(now);
    let ended = sweep.clone();
    // What is needed of it is counted.
    for swept in sweep.lists.values_mut() {
        swept.clean.clear();
    }
    for address in out(state) {
        let Some(is_clean) = outcome(state, &ended, address) else {
            continue;
        };
        let at = (ended.began_at, now);
        change(state, address, |identity| {
            if let Some(out) = &mut identity.life.quarantine {
                count_sweep((&mut out.clean_sweeps, &mut out.last_sweep), is_clean, at);
            }
            if let Some(slowed) = &mut identity.restraint.slowed {
                let counted = (&mut slowed.clean_sweeps, &mut slowed.last_sweep);
                count_sweep(counted, is_clean, at);
            }
        });
    }
    let identities = &state.identities;
    forget_replies(&mut state.listings, |address, row| {
        identities.contains_key(address) && now.since(row.last) <= REPLIES_KEPT_MILLIS
    });
}

/// Somebody was seen on a list: whoever is out stays out from then.
pub(crate) fn note_sighting(
    state: &mut FleetState,
    subject: &Subject,
    class: ListingClass,
    now: Timestamp,
) {
    if let Subject::Address(address) = subject
        && counts(class)
    {
        let what = String::new();
        change(state, *address, |identity| {
            if let Some(out) = &mut identity.life.quarantine {
                state_listing(out, &Verdict::Invalid { what }, now);
            }
            if let Some(slowed) = &mut identity.restraint.slowed {
                (slowed.clean_sweeps, slowed.last_sweep) = (0, None);
            }
        });
    }
}

/// Whether a listing of this class keeps an address in quarantine.
const fn counts(class: ListingClass) -> bool {
    matches!(class, ListingClass::A | ListingClass::B)
}

/// Whether sweeps count for an identity: lists keep it out, or slow it.
const fn is_out(identity: &Identity) -> bool {
    identity.life.quarantine.is_some() || identity.restraint.slowed.is_some()
}

/// Addresses of those.
fn out(state: &FleetState) -> Vec<IpAddr> {
    let all = state.identities.iter();
    let out = all.filter(|(_, identity)| is_out(identity));
    out.map(|(address, _)| *address).collect()
}

/// What a sweep found of an address on the lists that count: on one, on none, or neither is known.
fn outcome(state: &FleetState, sweep: &Sweep, address: IpAddr) -> Option<bool> {
    let subject = Subject::Address(address);
    let row = |list| state.listings.rows.get(&subject)?.get(list);
    let holds = |row: &Listing| row.is_open() && counts(row.class);
    let rows = state.listings.rows.get(&subject).into_iter().flatten();
    let is_listed = rows.into_iter().any(|(list, row)| {
        let swept = sweep.lists.get(list);
        holds(row) && swept.is_none_or(|swept| swept.weight.counts())
    });
    if is_listed {
        return Some(false);
    }
    let mut weighty = sweep.lists.iter().filter(|(_, one)| one.weight.counts());
    let any = weighty.clone().next().is_some();
    let is_clean = weighty.all(|(list, swept)| {
        let is_believed = swept.run.as_ref().is_some_and(|run| run.trouble.is_none());
        // That an address is no mail server's keeps it from service, and nobody in quarantine.
        let is_told = |row: &Listing| row.is_open() && row.last_seen >= sweep.began_at;
        let is_harmless = row(list).is_some_and(|row| is_told(row));
        is_believed && (swept.clean.contains(&subject) || is_harmless)
    });
    (any && is_clean).then_some(true)
}

fn change(state: &mut FleetState, address: IpAddr, change: impl FnOnce(&mut Identity)) {
    let is_there = state
        .identities
        .get(&address)
        .is_some_and(|one| is_out(one));
    if !is_there {
        return;
    }
    if let Some(identity) = state.identities.get_mut(&address) {
        change(Arc::make_mut(identity));
    }
}
