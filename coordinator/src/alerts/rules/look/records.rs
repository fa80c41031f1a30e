//! What was seen in DNS and is not right: records of those that send, and lists that say nothing.

use std::net::IpAddr;
use std::sync::Arc;

use email_engine_protocol::api::{DnsVerdict, IpStatus};
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{Event, Line, ListEvent, OfIdentity, OfList};
use crate::dns::due::{lines, subject};
use crate::dns::wanted::wanted;
use crate::fleet::listing::unheard;
use crate::state::{DnsLook, FleetState, Identity};

/// Records of one that sends which the last look saw to be wrong. Of one that does not send yet, preflight says it.
pub(super) fn invalid(state: &FleetState, identity: &Arc<Identity>) -> Vec<OfIdentity> {
    let spec = &identity.spec;
    let wrong = |verdict: &DnsVerdict| matches!(verdict, DnsVerdict::Invalid { .. });
    let is_wrong = |look: &DnsLook| look.found.values().any(wrong);
    let look = state.dns_looks.last.get(&spec.address);
    let Some(look) = look.filter(|look| sends(identity) && is_wrong(look)) else {
        return Vec::new();
    };
    let Some(tenant) = state.tenants.get(&spec.tenant) else {
        return Vec::new();
    };
    if !is_of_now(state, identity, look) {
        return Vec::new();
    }
    let wanted = wanted(identity, tenant, state.hosts.get(&spec.host));
    let found = look.found.iter().filter_map(|(part, verdict)| {
        let DnsVerdict::Invalid { seen, .. } = verdict else {
            return None;
        };
        let publish = lines(&wanted, *part, spec.domain.as_str(), verdict);
        Some(OfIdentity::DnsInvalid {
            record: part.as_str().into(),
            what: seen.as_str().into(),
            publish: publish.first().map(|line| line.as_str().into()),
        })
    });
    found.collect()
}

/// Whether what was told of an address's record is over: a look at what is wanted now saw it right or wanted no such
/// record any more, or nobody sends there any more. That nothing could be seen ends nothing.
pub(super) fn is_right(state: &FleetState, address: IpAddr, record: &str) -> bool {
    let identity = state.identities.get(&address);
    let Some(identity) = identity.filter(|identity| sends(identity)) else {
        return true;
    };
    let look = state.dns_looks.last.get(&address);
    let look = look.filter(|look| is_of_now(state, identity, look));
    look.is_some_and(|look| {
        let mut found = look.found.iter();
        let verdict = found.find(|(part, _)| part.as_str() == record);
        verdict.is_none_or(|(_, verdict)| verdict.is_valid() == Some(true))
    })
}

const fn sends(identity: &Identity) -> bool {
    matches!(identity.spec.status, IpStatus::Active | IpStatus::Warming)
}

/// A look at something else says nothing.
fn is_of_now(state: &FleetState, identity: &Identity, look: &DnsLook) -> bool {
    subject(state, identity).is_some_and(|(_, digest)| digest == look.wanted)
}

/// Lists that are asked and of which nothing is known for longer than a day.
pub(super) fn silent(state: &FleetState, now: Timestamp) -> impl Iterator<Item = Event> {
    let asked = state.listings.sweep.as_ref().map(|sweep| &sweep.lists);
    let unheard = unheard(state, now);
    let unheard = unheard.filter(move |(list, _)| asked.is_some_and(|all| all.contains_key(*list)));
    unheard.map(|(list, since)| {
        let health = state.listings.lists.get(list);
        let why = health.and_then(|health| health.unhealthy.as_ref());
        let why = why.map_or_else(Line::default, |(_, why)| why.as_str().into());
        Event::List(ListEvent {
            list: Line::said(list),
            what: OfList::Unknown { since, why },
        })
    })
}
