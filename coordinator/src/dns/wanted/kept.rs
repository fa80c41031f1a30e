//! Records that stay although whose they were is gone: what it sent last is still judged by them.

use std::collections::BTreeMap;

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use super::Wanted;
use super::key::key;
use crate::fleet::rotation::{Published, WITHDRAWN_MILLIS, published};
use crate::state::{Departed, FleetState};

/// What is gone and has a record that stays or says that its key is not good any more, in order of the
/// time until which it stays.
pub fn gone<'a>(
    state: &'a FleetState,
    sees: &'a dyn Fn(&TenantId) -> bool,
    now: Timestamp,
    domain: Option<&'a DomainName>,
) -> impl Iterator<Item = (Timestamp, &'a Departed)> {
    let all = state.departed.iter();
    let valid = all.filter(move |((until, _), departed)| {
        let meant = domain.is_none_or(|domain| *domain == departed.spec.domain);
        until.plus(WITHDRAWN_MILLIS) > now && meant && sees(&departed.spec.tenant)
    });
    valid.map(|((until, _), departed)| (*until, &**departed))
}

/// Records that stay of what is gone, by domain. One whose name signs again has another key by now.
#[must_use]
pub fn kept(
    state: &FleetState,
    sees: &dyn Fn(&TenantId) -> bool,
    now: Timestamp,
    domain: Option<&DomainName>,
) -> BTreeMap<DomainName, Vec<Wanted>> {
    let signs = |spec: &IpSpec| {
        let living = state.lookup.domains.get(&spec.domain);
        let living = living.and_then(|address| state.identities.get(address));
        living.is_some_and(|identity| {
            let has_it = |one: &Published<'_>| one.selector == spec.selector;
            published(identity).iter().any(has_it)
        })
    };
    let mut last = BTreeMap::new();
    for (until, departed) in gone(state, sees, now, domain) {
        let spec = &departed.spec;
        if !signs(spec) {
            let (public, until) = match until > now {
                true => (Some(departed.dkim_public.as_str()), until),
                false => (None, until.plus(WITHDRAWN_MILLIS)),
            };
            let record = Wanted {
                until: Some(until),
                ..key(&spec.domain, &spec.selector, public)
            };
            last.insert((&spec.domain, &spec.selector), record);
        }
    }
    let mut kept: BTreeMap<DomainName, Vec<Wanted>> = BTreeMap::new();
    for ((domain, _), record) in last {
        kept.entry(domain.clone()).or_default().push(record);
    }
    kept
}
