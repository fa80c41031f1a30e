//! Figures of what was done about listings, and of what keeps the fleet from doing more.

use std::collections::BTreeMap;

use metrics::gauge;

use super::figure;
use super::list::{BREAKER_OPEN, FAILOVER_EVENTS, LIST_BRAKED};
use crate::state::{FleetState, Search};

/// Events by what came of them, breakers of tenants, and lists that are braked.
pub(super) fn observe(state: &FleetState) {
    let words = ["sought", "unreplaced", "replaced", "ended", "nothing-lost"];
    let mut counts: BTreeMap<_, u64> = words.into_iter().map(|word| (word, 0)).collect();
    for event in state.failover.events.values() {
        *counts.entry(word(&event.search)).or_default() += 1;
    }
    for (word, count) in counts {
        gauge!(FAILOVER_EVENTS, "search" => word).set(figure(count));
    }
    for tenant in state.tenants.keys() {
        let is_open = state.failover.open_breaker(tenant).is_some();
        gauge!(BREAKER_OPEN, "tenant" => tenant.to_string()).set(figure(u64::from(is_open)));
    }
    for list in state.listings.lists.keys() {
        let is_braked = state.failover.is_braked(list);
        gauge!(LIST_BRAKED, "dnsbl" => list.to_string()).set(figure(u64::from(is_braked)));
    }
}

const fn word(search: &Search) -> &'static str {
    match search {
        Search::NothingLost => "nothing-lost",
        Search::Open { obstacle: None } => "sought",
        Search::Open { obstacle: Some(_) } => "unreplaced",
        Search::Replaced { .. } => "replaced",
        Search::Ended { .. } => "ended",
    }
}
