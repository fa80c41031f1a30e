//! `/domains`: the records that sending domains need, and those that stay of identities that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use email_engine_protocol::api::{
    DomainCheck, DomainRecord, DomainView, IpSpec, IpStatus, Phase, PlannedPhase,
};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use super::seen;
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::Named;
use crate::api::resource::dns::checked;
use crate::api::routes::Asker;
use crate::dns::wanted::{self, Wanted, gone};
use crate::fleet::warmup;
use crate::state::{FleetState, Identity};

/// Identities whose records must be published: those that drain as well, for what they send is judged
/// by them. Of one that lives on, what it is now counts.
fn living_and_draining<'a>(
    state: &'a FleetState,
    caller: &'a Caller,
) -> impl Iterator<Item = &'a Identity> {
    let gone = state.leaving.values().map(|leaving| &leaving.identity);
    let gone = gone.filter(|identity| {
        let living = state.lookup.domains.contains_key(&identity.spec.domain);
        caller.sees(Some(&identity.spec.tenant)) && !living
    });
    seen(state, caller).map(|identity| &**identity).chain(gone)
}

/// All sending domains that the caller sees, with the records that they need.
pub(in crate::api) async fn domains(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<DomainView>> {
    let (state, now) = (api.copy_of_state(), api.now());
    let mut kept = kept(&state, &caller, now, None);
    let view = |identity| {
        let mut view = domain_view(&api, &state, identity);
        view.records
            .extend(kept.remove(&view.domain).into_iter().flatten());
        view
    };
    let mut views: Vec<DomainView> = living_and_draining(&state, &caller).map(view).collect();
    let sees = |tenant: &TenantId| caller.sees(Some(tenant));
    let gone = gone(&state, &sees, now, None);
    let gone = gone.filter(|(_, departed)| kept.contains_key(&departed.spec.domain));
    // Of several that had the domain one after the other the last is who it was.
    let last: BTreeMap<_, _> = gone
        .map(|(_, departed)| (&departed.spec.domain, &departed.spec))
        .collect();
    views.extend(
        last.into_iter()
            .map(|(domain, spec)| only_kept(spec, &kept[domain])),
    );
    Json(views)
}

/// One sending domain.
pub(in crate::api) async fn domain(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(domain): Named<DomainName>,
) -> Result<Json<DomainView>, ApiError> {
    let now = api.now();
    api.view(|state| {
        let found =
            living_and_draining(state, &caller).find(|identity| identity.spec.domain == domain);
        let kept = kept(state, &caller, now, Some(&domain)).remove(&domain);
        let kept = kept.unwrap_or_default();
        if let Some(identity) = found {
            let mut view = domain_view(&api, state, identity);
            view.records.extend(kept);
            return Ok(Json(view));
        }
        let sees = |tenant: &TenantId| caller.sees(Some(tenant));
        let was = gone(state, &sees, now, Some(&domain)).last();
        was.map(|(_, departed)| Json(only_kept(&departed.spec, &kept)))
            .ok_or_else(|| ApiError::not_found("domain", domain.as_str()))
    })
}

pub(super) fn domain_view(api: &Api, state: &FleetState, identity: &Identity) -> DomainView {
    DomainView {
        ip: identity.spec.clone(),
        domain: identity.spec.domain.clone(),
        records: api.planning.records(state, identity),
        checked: checked(state, identity),
        warmup: Vec::new(),
    }
}

fn only_kept(spec: &IpSpec, kept: &[DomainRecord]) -> DomainView {
    DomainView {
        ip: spec.clone(),
        domain: spec.domain.clone(),
        records: kept.to_vec(),
        checked: DomainCheck::default(),
        warmup: Vec::new(),
    }
}

/// The same with what lies before it until it sends at its full quota.
pub(super) fn with_warmup(state: &FleetState, view: DomainView) -> DomainView {
    let settings = warmup::settings_of(state, &view.ip.tenant);
    let phases = Phase::ALL
        .into_iter()
        .filter(|phase| *phase >= view.ip.phase);
    let step = |phase: Phase| PlannedPhase {
        phase,
        daily_quota: match phase {
            Phase::Active => settings.target,
            phase => settings.quota(phase),
        },
        least_days: (phase != Phase::Active).then_some(settings.least_days),
    };
    let warmup = match view.ip.status {
        IpStatus::Standby | IpStatus::Warming => phases.map(step).collect(),
        _ => Vec::new(),
    };
    DomainView { warmup, ..view }
}

/// Records that stay of what is gone, by domain, as they are shown.
pub(super) fn kept(
    state: &FleetState,
    caller: &Caller,
    now: Timestamp,
    domain: Option<&DomainName>,
) -> BTreeMap<DomainName, Vec<DomainRecord>> {
    let kept = wanted::kept(state, &|tenant| caller.sees(Some(tenant)), now, domain);
    let shown = |records: Vec<Wanted>| records.iter().map(Wanted::record).collect();
    kept.into_iter()
        .map(|(domain, records)| (domain, shown(records)))
        .collect()
}
