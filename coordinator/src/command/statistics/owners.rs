//! Whose an address is, and was when a record was written.

use std::net::IpAddr;
use std::sync::Arc;

use email_engine_protocol::id::{HostId, TenantId};
use email_engine_protocol::observed::OWNED_FOR;
use email_engine_protocol::time::Timestamp;

use crate::state::{FleetState, HostAccounting, Owner, Span, Table};

/// That an identity is there is noted so often.
const STALE: u64 = Timestamp::DAY;
/// Owners of one address that are remembered, the newest ones.
const OWNERS: usize = 8;

/// Notes whose an address is now, if it is on the host or drains there.
pub(super) fn note(
    state: &FleetState,
    id: &HostId,
    host: &mut HostAccounting,
    address: IpAddr,
    now: Timestamp,
) {
    let Some((tenant, since)) = current(state, id, address) else {
        return;
    };
    let owners = host.owners.entry(address).or_default();
    match owners.last_mut() {
        Some(last) if last.tenant == *tenant => {
            if now.since(last.seen_at) >= STALE {
                last.seen_at = now;
            }
        }
        _ => owners.push(Owner {
            tenant: tenant.clone(),
            since,
            seen_at: now,
        }),
    }
    let surplus = owners.len().saturating_sub(OWNERS);
    owners.drain(..surplus);
}

/// Who had an address in an hour. The hour in which it changes hands is the former owner's: whoever comes
/// has sent nothing yet, and what comes of the former one is not to be held against it. What is from before
/// the first owner that is known is nobody's.
pub(super) fn at(host: &HostAccounting, address: IpAddr, hour: u32) -> Option<TenantId> {
    let owners = host.owners.get(&address)?;
    let had_it = |owner: &&Owner| {
        let until = owner.seen_at.plus(STALE).plus(OWNED_FOR);
        Span::hour_of(owner.since) < hour && hour <= Span::hour_of(until)
    };
    let begins = |owner: &&Owner| Span::hour_of(owner.since) == hour;
    let mut newest = owners.iter().rev();
    let owner = newest.find(had_it).or_else(|| owners.iter().find(begins));
    owner.map(|owner| owner.tenant.clone())
}

/// Once a day: notes whose all addresses are, and lets go of owners whose records come no more.
pub(super) fn review(
    state: &FleetState,
    hosts: &mut Table<HostId, Arc<HostAccounting>>,
    now: Timestamp,
) {
    let here = state.identities.values().map(|identity| &identity.spec);
    let leaving = state.leaving.values().map(|leaving| leaving.spec());
    for spec in here.chain(leaving) {
        if let Some(host) = hosts.get_mut(&spec.host) {
            note(state, &spec.host, Arc::make_mut(host), spec.address, now);
        }
    }
    hosts.change_each(|_, host| {
        Arc::make_mut(host).owners.retain(|_, owners| {
            owners.retain(|owner| now.since(owner.seen_at) <= STALE + OWNED_FOR);
            !owners.is_empty()
        });
    });
}

fn current<'a>(
    state: &'a FleetState,
    host: &HostId,
    address: IpAddr,
) -> Option<(&'a TenantId, Timestamp)> {
    let identity = state.identities.get(&address);
    let here = identity.filter(|identity| identity.spec.host == *host);
    if let Some(identity) = here {
        return Some((&identity.spec.tenant, identity.added_at));
    }
    let mut leaving = state.leaving_from(address);
    let left = leaving.find(|leaving| leaving.spec().host == *host)?;
    Some((&left.spec().tenant, left.identity.added_at))
}
