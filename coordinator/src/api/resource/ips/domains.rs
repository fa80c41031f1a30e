//! `/domains`: the records that sending domains need, and those that stay of identities that are gone.

use std::collections::BTreeMap;
use std::ops::RangeBounds as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use axum::{Extension, Json};

use email_engine_protocol::api::{
    DomainCheck, DomainRecord, DomainView, IpSpec, IpStatus, Phase, PlannedPhase,
};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::Named;
use crate::api::resource::dns::checked;
use crate::api::resource::page::Page;
use crate::api::routes::Asker;
use crate::dns::wanted::{self, Wanted, gone};
use crate::fleet::warmup;
use crate::state::{FleetState, Identity};

/// Records that stay of what is gone, by domain.
pub(super) type Kept = BTreeMap<DomainName, Vec<DomainRecord>>;

/// Who publishes records for a domain: who lives there, or drains and is still judged by them, or only was there
/// and left records that stay.
enum Owner<'a> {
    Is(&'a Identity),
    Was(&'a IpSpec),
}

/// All that have or had a domain and are not in the tables of those who live. Of several that had it one after the
/// other the last is who it was.
fn others<'a>(
    state: &'a FleetState,
    sees: &'a dyn Fn(&TenantId) -> bool,
    kept: &Kept,
    now: Timestamp,
    domain: Option<&'a DomainName>,
) -> BTreeMap<&'a DomainName, Owner<'a>> {
    let gone =
        gone(state, sees, now, domain).filter(|(_, one)| kept.contains_key(&one.spec.domain));
    let gone = gone.map(|(_, departed)| (&departed.spec.domain, Owner::Was(&departed.spec)));
    let drained = state.leaving.values().map(|leaving| &leaving.identity);
    let drained = drained.filter(|identity| sees(&identity.spec.tenant));
    let drained = drained.map(|identity| (&identity.spec.domain, Owner::Is(identity)));
    gone.chain(drained)
        .filter(|(name, _)| domain.is_none_or(|domain| domain == *name))
        // Of one that lives on, what it is now counts, for whoever may see it.
        .filter(|(name, _)| living(state, name).is_none_or(|now| !sees(&now.spec.tenant)))
        .collect()
}

/// Who lives at a domain.
fn living<'a>(state: &'a FleetState, domain: &DomainName) -> Option<&'a Identity> {
    let address = state.lookup.domains.get(domain)?;
    state.identities.get(address).map(|identity| &**identity)
}

/// Sending domains that the caller sees, with the records that they need, by name, in pages.
pub(in crate::api) async fn domains(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(page): Query<Page<DomainName>>,
) -> Result<Response, ApiError> {
    page.check(&api, &caller)?;
    let (state, now) = (api.copy_of_state(), api.now());
    let mut kept = kept(&state, &caller, now, None);
    let sees = |tenant: &TenantId| page.has(&caller, tenant);
    let here = state.lookup.domains.range::<DomainName>(page.behind());
    let here = here.filter_map(|(domain, _)| Some((domain, Owner::Is(living(&state, domain)?))));
    let here = here.filter(|(_, owner)| sees(&owner.spec().tenant));
    let mut owners = others(&state, &sees, &kept, now, None);
    owners.retain(|domain, _| page.behind().contains(*domain));
    owners.extend(here.take(page.looked_at()));
    let owners = owners.into_iter().take(page.looked_at());
    let views = owners.map(|(domain, owner)| {
        let kept = kept.remove(domain).unwrap_or_default();
        owner.view(&api, &state, kept)
    });
    let views: Vec<DomainView> = views.collect();
    Ok(page.answer("domains", views, |last| last.domain.clone()))
}

/// One sending domain.
pub(in crate::api) async fn domain(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(domain): Named<DomainName>,
) -> Result<Json<DomainView>, ApiError> {
    let now = api.now();
    api.view(|state| {
        let sees = |tenant: &TenantId| caller.sees(Some(tenant));
        let mut kept = kept(state, &caller, now, Some(&domain));
        let here = living(state, &domain).filter(|identity| sees(&identity.spec.tenant));
        let owner = here.map(Owner::Is);
        let owner =
            owner.or_else(|| others(state, &sees, &kept, now, Some(&domain)).remove(&domain));
        let kept = kept.remove(&domain).unwrap_or_default();
        owner
            .map(|owner| Json(owner.view(&api, state, kept)))
            .ok_or_else(|| ApiError::not_found("domain", domain.as_str()))
    })
}

impl Owner<'_> {
    const fn spec(&self) -> &IpSpec {
        match self {
            Self::Is(identity) => &identity.spec,
            Self::Was(spec) => spec,
        }
    }

    fn view(&self, api: &Api, state: &FleetState, kept: Vec<DomainRecord>) -> DomainView {
        match self {
            Self::Is(identity) => {
                let mut view = domain_view(api, state, identity);
                view.records.extend(kept);
                view
            }
            Self::Was(spec) => only_kept(spec, kept),
        }
    }
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

fn only_kept(spec: &IpSpec, kept: Vec<DomainRecord>) -> DomainView {
    DomainView {
        ip: spec.clone(),
        domain: spec.domain.clone(),
        records: kept,
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
) -> Kept {
    let kept = wanted::kept(state, &|tenant| caller.sees(Some(tenant)), now, domain);
    let shown = |records: Vec<Wanted>| records.iter().map(Wanted::record).collect();
    kept.into_iter()
        .map(|(domain, records)| (domain, shown(records)))
        .collect()
}
