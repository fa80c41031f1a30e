//! What an identity must be, whether it is new or changed: its own values, its place, and that nobody
//! else has what it claims.

use std::net::IpAddr;

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::id::Role;
use email_engine_protocol::mail::DomainName;

use crate::command::Rejection;
use crate::command::RejectionCode::{
    BrandDomain, Duplicate, ForeignTenant, Invalid, PoolMismatch, WrongRole, WrongState,
};
use crate::command::refuse::{at_most, label, not_found, refuse, sending_address, text};
use crate::powermta;
use crate::state::{FleetState, Keys, Leaving, claims};

/// Most identities that drain at once: all of a fleet.
const LEAVING: usize = 250_000;

/// `current` is the declaration that is replaced, when there is one.
pub(super) fn check(
    state: &FleetState,
    spec: &IpSpec,
    current: Option<&IpSpec>,
) -> Result<(), Rejection> {
    values(spec)?;
    place(state, spec)?;
    brand(state, spec)?;
    // What is there already is not kept from changing otherwise.
    if current.is_none_or(|current| current.domain != spec.domain) {
        nobodys_mailbox(state, spec)?;
    }
    unique(state, spec)?;
    drained(state, spec, current)?;
    given_up(state, spec)?;
    pool(state, spec, current)
}

fn values(spec: &IpSpec) -> Result<(), Rejection> {
    sending_address("address", spec.address)?;
    text("display_name", &spec.display_name)?;
    label("selector", &spec.selector)?;
    if powermta::is_reserved(&spec.vmta) {
        let accepted = "a name that begins with neither reject- nor fleet-";
        return Err(refuse(Invalid, "vmta", &spec.vmta, accepted));
    }
    if !spec.domain.is_within(&spec.zone) {
        let accepted = format!("{} or a domain above it", spec.domain);
        return Err(refuse(Invalid, "zone", &spec.zone, accepted));
    }
    let record = format!("{}._domainkey.{}", spec.selector, spec.domain);
    if record.len() > 253 {
        let accepted =
            "a selector and a domain whose DKIM record has a name of at most 253 characters";
        return Err(refuse(Invalid, "selector", &record, accepted));
    }
    Ok(())
}

fn place(state: &FleetState, spec: &IpSpec) -> Result<(), Rejection> {
    if !state.tenants.contains_key(&spec.tenant) {
        return Err(not_found("tenant", &spec.tenant, "tenant"));
    }
    let Some(host) = state.live_host(&spec.host) else {
        return Err(not_found("host", &spec.host, "host"));
    };
    let foreign = host
        .spec
        .tenant
        .as_ref()
        .is_some_and(|owner| *owner != spec.tenant);
    if foreign {
        let accepted = "a shared PowerMTA host, or one of the tenant's own";
        return Err(refuse(ForeignTenant, "host", &spec.host, accepted));
    }
    if host.spec.role != Role::Powermta {
        let accepted = format!("a host of role powermta; this one's is {}", host.spec.role);
        return Err(refuse(WrongRole, "host", &spec.host, accepted));
    }
    if !host.takes_work() {
        let accepted = "a host that is not being retired";
        return Err(refuse(WrongState, "host", &spec.host, accepted));
    }
    Ok(())
}

/// Invariant 3. Whose brand it is is not told.
fn brand(state: &FleetState, spec: &IpSpec) -> Result<(), Rejection> {
    if state.lookup.protected.contains_key(&spec.domain) {
        let accepted =
            "a domain that is no brand domain and above none, such as a subdomain of one";
        return Err(refuse(BrandDomain, "domain", &spec.domain, accepted));
    }
    Ok(())
}

/// Mail to a sending domain comes to the fleet's own hosts, so what is forwarded to a mailbox of that
/// domain would come back to them. Whose mailbox it is is not told.
fn nobodys_mailbox(state: &FleetState, spec: &IpSpec) -> Result<(), Rejection> {
    if has_mailbox(state, spec.domain.as_str()) {
        let accepted = "a domain in which no tenant has its inbound_mailbox: what is forwarded there \
                        would come back to this fleet's hosts";
        return Err(refuse(Invalid, "domain", &spec.domain, accepted));
    }
    Ok(())
}

/// Whether what answers the fleet's senders is forwarded to this domain.
pub(in crate::command) fn has_mailbox(state: &FleetState, domain: &str) -> bool {
    let domain = DomainName::new(domain).ok();
    domain.is_some_and(|domain| state.lookup.mailboxes.contains_key(&domain))
}

/// Invariant 1. A sender is unique because it lies in the identity's own domain. Names are folded to
/// lower case by their types.
fn unique(state: &FleetState, spec: &IpSpec) -> Result<(), Rejection> {
    let lookup = &state.lookup;
    let claims = [
        (
            "domain",
            spec.domain.as_str(),
            lookup.domains.get(&spec.domain),
        ),
        (
            "hostname",
            spec.hostname.as_str(),
            lookup.hostnames.get(&spec.hostname),
        ),
        ("vmta", spec.vmta.as_str(), lookup.vmtas.get(&spec.vmta)),
    ];
    for (field, value, holder) in claims {
        match holder {
            Some(holder) if *holder != spec.address => {
                let accepted = format!("a {field} that {}", nobody_has(state, spec, *holder));
                return Err(refuse(Duplicate, field, &value, accepted));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What an identity had stays its own until its queue is empty: whoever had the name meanwhile would
/// send what waits there from another address, or be taken for it.
fn drained(state: &FleetState, spec: &IpSpec, current: Option<&IpSpec>) -> Result<(), Rejection> {
    let place = (spec.host.clone(), spec.vmta.clone());
    let comes_back = |leaving: &Leaving| {
        let was = leaving.spec();
        let names = (&was.domain, &was.hostname, &was.selector, &was.tenant);
        leaving.place() == place
            && names == (&spec.domain, &spec.hostname, &spec.selector, &spec.tenant)
    };
    for claim in claims(spec) {
        let places = state.lookup.leaving.get(&claim);
        let places = places.into_iter().flat_map(Keys::iter);
        for leaving in places.filter_map(|place| state.leaving.get(place)) {
            let same = leaving.spec().address == spec.address;
            let mut own = state.leaving_from(spec.address);
            if same && (current.is_some() || own.any(|leaving| comes_back(leaving))) {
                continue;
            }
            let (kind, value) = &claim;
            let field = kind.field();
            let accepted = format!(
                "{} {field} that {}",
                article(field),
                still_has(spec, leaving)
            );
            return Err(refuse(Duplicate, field, value, accepted));
        }
    }
    Ok(())
}

/// A host that was told to drop a virtual MTA with its queue, and has not yet, would go on with that
/// queue under whoever had the name meanwhile.
fn given_up(state: &FleetState, spec: &IpSpec) -> Result<(), Rejection> {
    let names = state.given_up_on(&spec.host);
    match names.and_then(|names| names.get(&spec.vmta)) {
        Some(given_up) if given_up.address != spec.address => {
            let accepted = format!(
                "a vmta that is free; host {} has not yet dropped the one of this name that was given \
                 up: it is free once that host has converged",
                spec.host
            );
            Err(refuse(Duplicate, "vmta", &spec.vmta, accepted))
        }
        _ => Ok(()),
    }
}

const fn article(field: &str) -> &'static str {
    match field.as_bytes() {
        [b'a', ..] => "an",
        _ => "a",
    }
}

/// Names what drains to its own tenant only.
fn still_has(spec: &IpSpec, leaving: &Leaving) -> String {
    let was = leaving.spec();
    if was.tenant != spec.tenant {
        return "is free; this one is taken".to_owned();
    }
    let (address, host, since) = (was.address, &was.host, leaving.since);
    format!(
        "is free; {address} has this one and is still draining on {host}, since {since}: it is free \
         when its queue is empty (`email-engine ips list` shows what is left), or with \
         `email-engine ips remove {address} --now`"
    )
}

/// Whether one more may drain.
pub(super) fn has_room(state: &FleetState) -> Result<(), Rejection> {
    at_most("leaving", state.leaving.len() + 1, LEAVING)
}

/// Names the holder to its own tenant only.
pub(super) fn nobody_has(state: &FleetState, spec: &IpSpec, holder: IpAddr) -> String {
    let own = state
        .identities
        .get(&holder)
        .is_some_and(|i| i.spec.tenant == spec.tenant);
    if own {
        format!("is free; identity {holder} has this one")
    } else {
        "is free; this one is taken".to_owned()
    }
}

/// Invariant 4. The sole member of a pool takes it along.
fn pool(state: &FleetState, spec: &IpSpec, current: Option<&IpSpec>) -> Result<(), Rejection> {
    let Some(pool) = state.pools.get(&spec.pool) else {
        return Ok(());
    };
    let is_sole_member = current.is_some_and(|current| {
        current.pool == spec.pool && state.lookup.members.get(&spec.pool) == Some(&1)
    });
    if is_sole_member || (pool.tenant == spec.tenant && pool.host == spec.host) {
        return Ok(());
    }
    let accepted = if pool.tenant == spec.tenant {
        format!(
            "a pool on host {}; this one is on host {}",
            spec.host, pool.host
        )
    } else {
        "a pool of the tenant; this name is taken".to_owned()
    };
    Err(refuse(PoolMismatch, "pool", &spec.pool, accepted))
}
