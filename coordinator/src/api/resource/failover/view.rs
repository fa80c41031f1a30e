//! The tables of failover as answered.

use std::collections::BTreeSet;
use std::net::IpAddr;

use email_engine_protocol::api::{
    BrakeView, BreakerView, ExplainedFact, FailoverView, FrozenView, HeldCampaignView, ListedBy,
    ListingEventView, SearchView,
};

use email_engine_protocol::id::{HostId, ListId, TenantId};

use crate::api::auth::Caller;
use crate::fleet::failover::SEARCH_MILLIS;
use crate::state::{Ending, FleetState, HeldCampaigns, Identity, ListingEvent, Search};

/// What a caller may see of it.
pub(super) fn all(state: &FleetState, caller: &Caller, limit: usize) -> FailoverView {
    let failover = &state.failover;
    let frozen = failover.frozen.iter();
    let frozen = frozen.filter(|(tenant, _)| caller.sees(Some(tenant)));
    let breakers = failover.breakers.iter();
    let breakers = breakers.filter(|(tenant, _)| caller.sees(Some(tenant)));
    let events = failover.events.iter().rev();
    let events = events.filter(|(_, event)| caller.sees(Some(&event.tenant)));
    let held = held(state, caller);
    FailoverView {
        frozen: frozen
            .map(|(tenant, frozen)| FrozenView {
                tenant: tenant.clone(),
                since: frozen.at,
                by: frozen.by.to_string(),
                reason: frozen.reason.to_string(),
            })
            .collect(),
        breakers: breakers
            .map(|(tenant, breaker)| {
                let (open, released) = (breaker.open.as_ref(), breaker.released.as_ref());
                let paused = open.map(|open| open.paused.iter().copied().collect());
                BreakerView {
                    tenant: tenant.clone(),
                    open_since: open.map(|open| open.at),
                    cause: open.map(|open| open.cause.to_string()),
                    paused: paused.unwrap_or_default(),
                    released_at: released.map(|word| word.at),
                    released_by: released.map(|word| word.by.to_string()),
                    released_reason: released.map(|word| word.reason.to_string()),
                }
            })
            .collect(),
        brakes: failover
            .brakes
            .iter()
            .map(|(list, brake)| {
                let believed = brake.released.as_ref();
                BrakeView {
                    list: list.clone(),
                    since: brake.at,
                    addresses: brake.addresses,
                    believed_at: believed.map(|word| word.at),
                    believed_by: believed.map(|word| word.by.to_string()),
                    believed_reason: believed.map(|word| word.reason.to_string()),
                }
            })
            .collect(),
        events: events
            .take(limit)
            .map(|(id, event)| listed(*id, event))
            .collect(),
        held_campaigns: held
            .iter()
            .flat_map(|(tenant, host, held)| {
                let campaigns = held.campaigns.iter();
                campaigns.map(|one| HeldCampaignView {
                    tenant: (*tenant).clone(),
                    host: (*host).clone(),
                    uid: one.uid.to_string(),
                    name: one.name.to_string(),
                    servers: one.vmtas().map(str::to_owned).collect(),
                    since: one.since,
                })
            })
            .collect(),
        held_campaigns_more: held.iter().map(|(_, _, held)| held.more).sum(),
    }
}

/// What stands still on hosts of tenants that a caller sees.
fn held<'a>(
    state: &'a FleetState,
    caller: &Caller,
) -> Vec<(&'a TenantId, &'a HostId, &'a HeldCampaigns)> {
    let all = state.held_campaigns.iter().filter_map(|(host, held)| {
        let tenant = state.hosts.get(host)?.spec.tenant.as_ref()?;
        caller.sees(Some(tenant)).then_some((tenant, host, held))
    });
    all.collect()
}

fn listed(id: u64, event: &ListingEvent) -> ListingEventView {
    let lists = event.lists.iter().map(|(list, hit)| ListedBy {
        list: list.clone(),
        codes: hit.codes.iter().map(ToString::to_string).collect(),
        class: hit.class,
        meaning: hit.meaning.clone(),
    });
    ListingEventView {
        id,
        address: event.address,
        domain: event.domain.clone(),
        tenant: event.tenant.clone(),
        purpose: event.purpose,
        lists: lists.collect(),
        at: event.at,
        revision: event.revision,
        lost: event.lost,
        search: search(event),
    }
}

fn search(event: &ListingEvent) -> SearchView {
    match &event.search {
        Search::NothingLost => SearchView::NothingLost,
        Search::Open { obstacle } => SearchView::Open {
            obstacle: obstacle.as_ref().map(ToString::to_string),
            until: event.at.plus(SEARCH_MILLIS),
        },
        Search::Replaced {
            by,
            domain,
            restores_percent,
            at,
            revision,
        } => SearchView::Replaced {
            by: *by,
            domain: domain.clone(),
            restores_percent: *restores_percent,
            at: *at,
            revision: *revision,
        },
        Search::Ended { at, why, obstacle } => {
            let why = match why {
                Ending::TooLate => "nobody could take its place within a day",
                Ending::Over => "it is not in quarantine any more",
            };
            let last = obstacle.as_ref().map(|obstacle| format!(": {obstacle}"));
            SearchView::Ended {
                at: *at,
                why: format!("{why}{}", last.unwrap_or_default()),
            }
        }
    }
}

/// What was done about listings of an address, and what holds it back now: facts, and rules.
pub(in crate::api) fn explained(
    state: &FleetState,
    address: IpAddr,
) -> (Vec<ExplainedFact>, Vec<String>) {
    let events = state.failover.events.iter();
    let facts = events.flat_map(|(id, event)| facts_of(*id, event, address));
    let mut rules = Vec::new();
    let Some(identity) = state.identities.get(&address) else {
        return (facts.collect(), rules);
    };
    let tenant = &identity.spec.tenant;
    rules.extend(restraints(state, identity));
    let open = state.failover.open_breaker(tenant);
    if let Some(open) = open.filter(|_| !identity.restraint.breaker) {
        rules.push(format!(
            "the breaker of {tenant} is open since {}: {}; what it sends goes on",
            open.at, open.cause
        ));
    }
    if let Some(frozen) = state.failover.frozen.get(tenant) {
        rules.push(format!(
            "nobody is promoted for {tenant} since {}: {} ({})",
            frozen.at, frozen.reason, frozen.by
        ));
    }
    for (host, held) in state.held_with(identity).take(10) {
        rules.push(format!(
            "campaign {} on {host} stands still since {}: none of its servers takes mail",
            held.label(),
            held.since
        ));
    }
    (facts.collect(), rules)
}

/// What holds an identity back beside its warm-up, in words.
pub(in crate::api) fn restraints(state: &FleetState, identity: &Identity) -> Vec<String> {
    let (tenant, mut told) = (&identity.spec.tenant, Vec::new());
    let joined = |lists: &BTreeSet<ListId>| {
        let lists: Vec<_> = lists.iter().map(ToString::to_string).collect();
        lists.join(", ")
    };
    let open = state.failover.open_breaker(tenant);
    if let Some(open) = open.filter(|_| identity.restraint.breaker) {
        told.push(format!(
            "the breaker of {tenant} is open since {}: {}; it takes no new mail",
            open.at, open.cause
        ));
    }
    if !identity.restraint.held.is_empty() {
        told.push(format!(
            "it takes no new mail: receivers refuse its mail because of {}, which names too many at once",
            joined(&identity.restraint.held)
        ));
    }
    if let Some(slowed) = &identity.restraint.slowed {
        told.push(format!(
            "it sends half of its quota because of {}, until it was on none in two sweeps",
            joined(&slowed.lists)
        ));
    }
    told
}

fn facts_of(id: u64, event: &ListingEvent, address: IpAddr) -> Vec<ExplainedFact> {
    let mut facts = Vec::new();
    let fact = |at, revision, what: String| ExplainedFact {
        at,
        revision,
        actor: "failover".to_owned(),
        kind: "fact".to_owned(),
        what,
        reason: format!("event {id}"),
    };
    if event.address == address {
        for (list, hit) in &event.lists {
            let codes: Vec<_> = hit.codes.iter().map(ToString::to_string).collect();
            let what = format!(
                "{list} had it, confirmed: {} ({})",
                hit.meaning,
                codes.join(", ")
            );
            facts.push(fact(event.at, None, what));
        }
    }
    match &event.search {
        Search::Replaced {
            by,
            at,
            restores_percent,
            revision,
            ..
        } if event.address == address => {
            let what = format!(
                "{by} took its place, which restores {restores_percent} % of what was lost"
            );
            facts.push(fact(*at, Some(*revision), what));
        }
        Search::Replaced { by, at, .. } if *by == address => {
            let what = format!("it took the place of {}, which lists had", event.address);
            facts.push(fact(*at, None, what));
        }
        Search::Open {
            obstacle: Some(obstacle),
        } if event.address == address => {
            facts.push(fact(
                event.at,
                None,
                format!("nobody took its place yet: {obstacle}"),
            ));
        }
        Search::Ended { at, .. } if event.address == address => {
            if let SearchView::Ended { why, .. } = search(event) {
                facts.push(fact(*at, None, format!("nobody took its place: {why}")));
            }
        }
        _ => {}
    }
    facts
}
