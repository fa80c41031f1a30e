//! `/dkim`: with which keys identities sign, how far a change of them is, and what has to be published and
//! withdrawn for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, State};
use axum::response::Response;
use axum::{Extension, Json};

use email_engine_protocol::api::{
    DkimView, DomainRecord, RotateRequest, RotationCause, RotationView, TenantRotation,
};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use super::domains::kept;
use super::{found, paged};
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonOrNothing, Named, WriteRequest};
use crate::api::resource::apply::have_keys;
use crate::api::resource::page::Page;
use crate::api::routes::Asker;
use crate::command::{Command, RotateKeys, rotation_facts};
use crate::dns::wanted::{dkim_record, dkim_records};
use crate::fleet::rotation::{Event, deadline, due_at, next, pace_of, stuck, waits_for};
use crate::state::{FleetState, Identity, Rotation};

/// Most rotations of a tenant that begin with one call: each takes a key, which takes a while to make.
const PER_CALL: usize = 100;

/// What an emergency costs, for whoever asks for one.
const PRICE: &str = "as soon as its host signs with the new key, the record of the old one says that it is \
     not good any more: mail that was signed before and is not delivered yet, in queues for up to a day and \
     longer, or that receivers judge once more, cannot be verified from then on";

/// Identities that the caller sees, by address, in pages.
pub(in crate::api) async fn dkims(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(page): Query<Page<IpAddr>>,
) -> Result<Response, ApiError> {
    page.check(&api, &caller)?;
    let (state, now) = (api.copy_of_state(), api.now());
    let mut kept = kept(&state, &caller, now, None);
    let view = |identity: &Arc<Identity>| view(&state, identity, &mut kept, now);
    let views: Vec<_> = paged(&state, &caller, &page).map(view).collect();
    Ok(page.answer("dkim", views, |last| last.address))
}

/// One identity.
pub(in crate::api) async fn dkim(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(address): Named<IpAddr>,
) -> Result<Json<DkimView>, ApiError> {
    shown(&api, &caller, address).map(Json)
}

/// The identities of a tenant.
pub(in crate::api) async fn dkim_of_tenant(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(tenant): Named<TenantId>,
) -> Result<Json<Vec<DkimView>>, ApiError> {
    let (state, now) = (api.copy_of_state(), api.now());
    is_there(&state, &caller, &tenant)?;
    let mut kept = kept(&state, &caller, now, None);
    let own = state.identities_of(&tenant);
    Ok(Json(
        own.map(|identity| view(&state, identity, &mut kept, now))
            .collect(),
    ))
}

/// Begins to change the key of an identity, or makes haste of it.
pub(in crate::api) async fn rotate(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    JsonOrNothing(request): JsonOrNothing<RotateRequest>,
) -> Result<Json<DkimView>, ApiError> {
    if write.replayed.is_none() {
        api.view(|state| found(state, &write.caller, address).map(|_| ()))?;
        have_keys(&api, 1, Instant::now()).await?;
    }
    let command = begin([address].into(), cause(request));
    api.commit_here(&write, command).await?;
    let mut view = shown(&api, &write.caller, address)?;
    if request.emergency {
        view.warnings.push(PRICE.to_owned());
    }
    Ok(Json(view))
}

/// Begins to change the keys of a tenant, as many as one call may.
pub(in crate::api) async fn rotate_tenant(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(tenant): Named<TenantId>,
    JsonOrNothing(request): JsonOrNothing<RotateRequest>,
) -> Result<Json<TenantRotation>, ApiError> {
    let cause = cause(request);
    if write.replayed.is_none() {
        api.view(|state| is_there(state, &write.caller, &tenant))?;
    }
    let (mut ready, under_way) = api.view(|state| parted(state, &tenant, cause, api.now()));
    let remaining = ready.split_off(ready.len().min(PER_CALL)).len();
    let addresses: BTreeSet<IpAddr> = ready.into_iter().collect();
    if !addresses.is_empty() || write.replayed.is_some() {
        if write.replayed.is_none() {
            have_keys(&api, addresses.len(), Instant::now()).await?;
        }
        api.commit_here(&write, begin(addresses.clone(), cause))
            .await?;
    }
    let (state, now) = (api.copy_of_state(), api.now());
    is_there(&state, &write.caller, &tenant)?;
    let mut kept = kept(&state, &write.caller, now, None);
    // Asked again, what began by then is under way.
    let own = state.identities_of(&tenant).filter(|identity| {
        let rotation = identity.signing.rotation.as_ref();
        let began = write.replayed.is_some() && rotation.is_some_and(Rotation::has_two_keys);
        began || addresses.contains(&identity.spec.address)
    });
    let mut identities: Vec<DkimView> = own
        .map(|identity| view(&state, identity, &mut kept, now))
        .collect();
    if let Some(first) = identities.first_mut().filter(|_| request.emergency) {
        first.warnings.push(PRICE.to_owned());
    }
    Ok(Json(TenantRotation {
        begun: identities.len(),
        under_way,
        remaining,
        identities,
    }))
}

const fn cause(request: RotateRequest) -> RotationCause {
    match request.emergency {
        true => RotationCause::Emergency,
        false => RotationCause::Asked,
    }
}

const fn begin(addresses: BTreeSet<IpAddr>, cause: RotationCause) -> Command {
    Command::RotateKeys(RotateKeys {
        addresses,
        cause,
        busy: BTreeSet::new(),
    })
}

fn is_there(state: &FleetState, caller: &Caller, tenant: &TenantId) -> Result<(), ApiError> {
    if caller.sees(Some(tenant)) && state.tenants.contains_key(tenant) {
        return Ok(());
    }
    Err(ApiError::not_found("tenant", tenant.as_str()))
}

/// The identities of a tenant whose rotation may begin or be made haste of, and how many others it has.
fn parted(
    state: &FleetState,
    tenant: &TenantId,
    cause: RotationCause,
    now: Timestamp,
) -> (Vec<IpAddr>, usize) {
    let (mut ready, mut others) = (Vec::new(), 0);
    for identity in state.identities_of(tenant) {
        let rotation = identity.signing.rotation.as_ref();
        let facts = rotation_facts(state, identity, now);
        let same = rotation.is_some_and(|one| one.has_two_keys() && one.cause == cause);
        match next(rotation, &Event::Begin(cause), &facts) {
            Ok(_) if !same => ready.push(identity.spec.address),
            _ => others += 1,
        }
    }
    (ready, others)
}

fn shown(api: &Api, caller: &Caller, address: IpAddr) -> Result<DkimView, ApiError> {
    let now = api.now();
    api.view(|state| {
        let identity = found(state, caller, address)?;
        let mut kept = kept(state, caller, now, Some(&identity.spec.domain));
        Ok(view(state, identity, &mut kept, now))
    })
}

/// An identity as answered. `kept` are the records of keys that nobody remembers, by domain.
fn view(
    state: &FleetState,
    identity: &Identity,
    kept: &mut BTreeMap<DomainName, Vec<DomainRecord>>,
    now: Timestamp,
) -> DkimView {
    let spec = &identity.spec;
    let mut all = dkim_records(identity);
    all.extend(kept.remove(&spec.domain).into_iter().flatten());
    let empty = dkim_record(&spec.domain, &spec.selector, None).value;
    let (withdraw, publish) = all.into_iter().partition(|record| record.value == empty);
    let rotation = identity.signing.rotation.as_ref();
    DkimView {
        address: spec.address,
        tenant: spec.tenant.clone(),
        domain: spec.domain.clone(),
        selector: spec.selector.clone(),
        since: identity.signing.since,
        due: due_at(identity, pace_of(state, identity, false)),
        rotation: rotation.map(|rotation| rotation_view(identity, rotation, now)),
        publish,
        withdraw,
        warnings: Vec::new(),
    }
}

fn rotation_view(identity: &Identity, rotation: &Rotation, now: Timestamp) -> RotationView {
    let (own, other) = (&identity.spec.selector, &rotation.other.selector);
    let (new, old) = match rotation.is_over() {
        true => (own, other),
        false => (other, own),
    };
    RotationView {
        stage: rotation.stage,
        since: rotation.since,
        begun_at: rotation.begun_at,
        cause: rotation.cause,
        new_selector: new.clone(),
        old_selector: old.clone(),
        seen: rotation.seen.clone(),
        deadline: deadline(rotation),
        stuck: stuck(identity, now),
        waits_for: waits_for(identity, now),
    }
}
