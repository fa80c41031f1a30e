//! What would happen if an identity were listed now, said without doing it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::api::{CandidateView, FailoverPlan, IpStatus, Phase};
use email_engine_protocol::time::Timestamp;

use super::candidate::{Unfit, restores};
use super::facts::{self, Complaints};
use super::{Brakes, breaker, settings_of};
use crate::fleet::lifecycle::{Event, Standing, next};
use crate::fleet::listing::preflight;
use crate::state::{FleetState, Identity, ListingEvent, Search};

/// What would happen; none when there is no such identity.
#[must_use]
pub fn preview(state: &FleetState, address: IpAddr, now: Timestamp) -> Option<FailoverPlan> {
    let identity = state.identities.get(&address)?;
    let spec = &identity.spec;
    let sends = matches!(spec.status, IpStatus::Active | IpStatus::Warming);
    let event = ListingEvent {
        address,
        domain: spec.domain.clone(),
        tenant: spec.tenant.clone(),
        purpose: spec.purpose,
        lists: BTreeMap::new(),
        at: now,
        revision: state.revision,
        lost: if sends { identity.warmup.reached } else { 0 },
        search: Search::Open { obstacle: None },
    };
    let is_taken_out = sends || spec.status == IpStatus::Standby;
    let trips = is_taken_out.then(|| trips(state, identity)).flatten();
    let obstacle = facts::obstacle(state, &event, &Brakes::of(state, now), now)
        .map(|obstacle| obstacle.to_string());
    let obstacle = obstacle.or_else(|| trips.clone());
    let runners = facts::runners(state, &event, &BTreeMap::new());
    let candidates = runners.into_iter().map(|runner| {
        let identity = &state.identities[&runner.address];
        let why = match (unready(state, identity, now), runner.fits(now)) {
            (Some(why), _) => Some(why),
            // It is asked about before anything is done.
            (None, Ok(()) | Err(Unfit::Stale)) => None,
            (None, Err(unfit)) => Some(unfit.to_string()),
        };
        let gained = match (runner.status, runner.phase) {
            // Rest may have cost it phases.
            (IpStatus::Standby, Phase::Active) | (IpStatus::Active, _) => runner.reached,
            (_, phase) => phase.daily_quota().min(runner.reached.max(1)),
        };
        CandidateView {
            address: runner.address,
            domain: identity.spec.domain.clone(),
            host: identity.spec.host.clone(),
            status: runner.status,
            reserve: runner.reserve,
            phase: runner.phase,
            purpose: runner.purpose,
            restores_percent: restores(event.lost, gained),
            fits: why.is_none(),
            why,
        }
    });
    Some(FailoverPlan {
        address,
        tenant: spec.tenant.clone(),
        status: spec.status,
        taken_out: is_taken_out,
        lost: event.lost,
        opens_breaker: trips,
        obstacle: if sends { obstacle } else { None },
        candidates: if sends {
            candidates.collect()
        } else {
            Vec::new()
        },
    })
}

/// Why the breaker would open with one more in quarantine.
fn trips(state: &FleetState, identity: &Identity) -> Option<String> {
    let spec = &identity.spec;
    if state.failover.open_breaker(&spec.tenant).is_some() {
        return None;
    }
    let mut parts = facts::parts(state, &spec.tenant, &Complaints::new());
    parts.entry(spec.purpose).or_default().out += 1;
    let cause = breaker::opens(&parts, &settings_of(state))?;
    Some(format!("the tenant's breaker would open: {cause}"))
}

/// What one on the bench lacks for service.
fn unready(state: &FleetState, identity: &Identity, now: Timestamp) -> Option<String> {
    if identity.spec.status != IpStatus::Standby {
        return None;
    }
    let preflight = preflight(state, identity, &identity.life.checks, now);
    let turned = next(&Standing::of(identity), &Event::Activate, now, &preflight);
    turned.err().map(|refusal| refusal.to_string())
}
