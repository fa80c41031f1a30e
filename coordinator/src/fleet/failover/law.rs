//! What must hold of failover, whatever was done.

use crate::fleet::Violation;
use crate::state::{Failover, FleetState, Search};

/// Each search is of an event, numbers are given once, somebody who took a place is an event's, and what a
/// breaker pauses is paused.
///
/// # Errors
/// Names what does not hold.
pub fn failover_follows(state: &FleetState) -> Result<(), Violation> {
    let broken = |what: String| {
        Err(Violation {
            invariant: "failover_follows",
            what,
        })
    };
    let Failover {
        next,
        events,
        searching,
        frozen,
        breakers,
        ..
    } = &state.failover;
    if events.keys().any(|id| id >= next) {
        return broken("an event has a number that was not given".to_owned());
    }
    let open = events.iter().filter(|(_, event)| event.search.is_open());
    if !open.map(|(id, _)| id).eq(searching.iter()) {
        return broken("what is searched for does not follow from the events".to_owned());
    }
    let mut replaced = std::collections::BTreeSet::new();
    for (id, event) in events {
        let Search::Replaced { by, at, .. } = &event.search else {
            continue;
        };
        if *by == event.address || !replaced.insert((*by, *at)) {
            return broken(format!("{by} takes two places, or its own (event {id})"));
        }
    }
    for tenant in frozen.keys().chain(breakers.keys()) {
        if !state.tenants.contains_key(tenant) {
            return broken(format!("tenant {tenant} is not there"));
        }
    }
    for (address, identity) in &state.identities {
        let spec = &identity.spec;
        if identity.restraint.breaker != state.failover.pauses(&spec.tenant, spec.purpose) {
            return broken(format!("{address} does not do what its breaker says"));
        }
    }
    Ok(())
}
