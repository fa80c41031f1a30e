//! `/ips`, and `/domains` as the view over them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    Change, ChangeAction, DomainView, FleetDocument, GivenUpView, IpDocument, IpSpec, LeavingView,
};
use email_engine_protocol::mail::DomainName;

use super::apply::{carry_out, dry_run_of};
use super::hosts;
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBytes, Named, WriteRequest, parse_json};
use crate::api::routes::Asker;
use crate::command::{Batch, Command, GiveUpDrain, RetireIdentity, is_on_its_host};
use crate::state::{FleetState, Identity, Leaving, Place};

/// Most identities of one request.
const PER_REQUEST: usize = 1_000;

/// All identities that the caller sees.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<IpSpec>> {
    Json(api.view(|state| {
        seen(state, &caller)
            .map(|identity| identity.spec.clone())
            .collect()
    }))
}

fn seen<'a>(state: &'a FleetState, caller: &'a Caller) -> impl Iterator<Item = &'a Arc<Identity>> {
    let identities = state.identities.values();
    identities.filter(|identity| caller.sees(Some(&identity.spec.tenant)))
}

/// One identity.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(address): Named<IpAddr>,
) -> Result<Json<IpSpec>, ApiError> {
    api.view(|state| found(state, &caller, address).map(|identity| Json(identity.spec.clone())))
}

fn found<'a>(
    state: &'a FleetState,
    caller: &Caller,
    address: IpAddr,
) -> Result<&'a Arc<Identity>, ApiError> {
    let identity = state.identities.get(&address);
    identity
        .filter(|identity| caller.sees(Some(&identity.spec.tenant)))
        .ok_or_else(|| ApiError::not_found("ip", &address.to_string()))
}

/// Adds one identity or up to a thousand, all or none; answers the records to publish.
pub(in crate::api) async fn add(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBytes(body): JsonBytes,
) -> Result<(StatusCode, Json<Vec<DomainView>>), ApiError> {
    let many = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let ips: Vec<IpDocument> = if many {
        parse_json(&body)?
    } else {
        vec![parse_json(&body)?]
    };
    let label = |at: usize, field: &str| match (many, field) {
        (true, "") => format!("[{at}]"),
        (true, field) => format!("[{at}].{field}"),
        (false, field) => field.to_owned(),
    };
    if ips.is_empty() || ips.len() > PER_REQUEST {
        return Err(ApiError::invalid(
            "body",
            &ips.len().to_string(),
            "1 to 1000 identities",
        ));
    }
    let addresses: Vec<IpAddr> = ips.iter().map(|ip| ip.address).collect();
    if write.replayed.is_none() {
        refuse_known(&api, &write.caller, &ips, &label)?;
    }
    let document = FleetDocument {
        ips,
        ..FleetDocument::default()
    };
    let (_, committed) = carry_out(&api, &write, &document, false)
        .await
        .map_err(|error| error.with_field(|field| own_field(field, &label)))?;
    if let Some(committed) = committed {
        committed.read_here()?;
    }
    let views = api.view(|state| {
        let added = addresses
            .iter()
            .filter_map(|address| state.identities.get(address));
        added
            .map(|identity| domain_view(&api, state, identity))
            .collect()
    });
    Ok((StatusCode::CREATED, Json(views)))
}

/// Adding is not changing: an address that is there already is refused, by its place.
fn refuse_known(
    api: &Api,
    caller: &Caller,
    ips: &[IpDocument],
    label: &impl Fn(usize, &str) -> String,
) -> Result<(), ApiError> {
    let mut own = BTreeSet::new();
    api.view(|state| {
        for (at, ip) in ips.iter().enumerate() {
            if !caller.sees(Some(&ip.tenant)) {
                return Err(ApiError::not_found(
                    &label(at, "tenant"),
                    ip.tenant.as_str(),
                ));
            }
            if state.identities.contains_key(&ip.address) || !own.insert(ip.address) {
                let address = ip.address.to_string();
                let free = "an address that no identity has";
                return Err(ApiError::new(
                    StatusCode::CONFLICT,
                    "already-exists",
                    format!("{} {address} is an identity already", label(at, "address")),
                )
                .about(&label(at, "address"), &address, free));
            }
        }
        Ok(())
    })
}

/// `ips[56].domain` or `commands[56].domain` as a path in the body of this request. Commands stand in
/// the order of the documents: each document is one new identity.
fn own_field(field: &str, label: &impl Fn(usize, &str) -> String) -> String {
    let inner = field
        .strip_prefix("ips[")
        .or_else(|| field.strip_prefix("commands["))
        .and_then(|rest| rest.split_once(']'));
    match inner.and_then(|(at, rest)| Some((at.parse().ok()?, rest))) {
        Some((at, rest)) => label(at, rest.trim_start_matches('.')),
        None => field.to_owned(),
    }
}

/// How an identity is removed.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::api) struct Removal {
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
    /// Its queue is not waited for: what is left in it may be lost.
    #[serde(default)]
    now: bool,
}

/// Removes an identity: its virtual MTA drains, then it is taken off its host; or at once. One that
/// drains already can be given up as well. Or says what its removal would change.
pub(in crate::api) async fn retire(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    Query(removal): Query<Removal>,
) -> Result<Response, ApiError> {
    if removal.now && !removal.dry_run {
        return give_up(&api, &write, address).await;
    }
    if write.replayed.is_none() {
        api.view(|state| found(state, &write.caller, address).map(|_| ()))?;
    }
    let command = Command::RetireIdentity(RetireIdentity { address });
    if removal.dry_run {
        let change = Change {
            action: ChangeAction::Remove,
            kind: "ip".to_owned(),
            name: address.to_string(),
            details: Vec::new(),
        };
        let answer = dry_run_of(&api, &write, command, vec![change]).await?;
        return Ok(Json(answer).into_response());
    }
    api.commit(&write, command).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Removes an identity with what is left in its queue; one that drains, here or where it was before, is
/// given up there alone, and lives on where it does.
async fn give_up(api: &Api, write: &WriteRequest, address: IpAddr) -> Result<Response, ApiError> {
    let seen = hosts::seen(api).await;
    let given_up = |state: &FleetState| {
        let own = leaving_views(state, &write.caller, &seen);
        let own: Vec<_> = own
            .into_iter()
            .filter(|one| one.ip.address == address)
            .collect();
        let counts = own
            .iter()
            .map(|one| one.messages.as_ref()?.known().copied());
        // With one that is not known the sum is not known either.
        let messages = counts.sum::<Option<u64>>().filter(|_| !own.is_empty());
        let living = found(state, &write.caller, address).ok();
        let drains = !own.is_empty() || living.is_some_and(|own| is_on_its_host(state, own));
        if living.is_none() && own.is_empty() && write.replayed.is_none() {
            return Err(ApiError::not_found("ip", &address.to_string()));
        }
        let mut commands = Vec::new();
        if living.is_some() && own.is_empty() {
            commands.push(Command::RetireIdentity(RetireIdentity { address }));
        }
        if drains {
            commands.push(Command::GiveUpDrain(GiveUpDrain { address, messages }));
        }
        Ok((messages, commands))
    };
    let (messages, commands) = api.view(given_up)?;
    let batch = Batch {
        base_revision: None,
        commands,
    };
    api.commit(write, Command::Batch(batch)).await?;
    Ok(Json(GivenUpView { messages }).into_response())
}

/// Identities that are gone and drain on some host, as far as the caller sees them.
pub(in crate::api) async fn leaving(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<LeavingView>> {
    let seen = hosts::seen(&api).await;
    Json(api.view(|state| leaving_views(state, &caller, &seen)))
}

pub(super) fn leaving_views(
    state: &FleetState,
    caller: &Caller,
    seen: &hosts::Seen,
) -> Vec<LeavingView> {
    let all = state.leaving.iter();
    let own = all.filter(|(_, leaving)| caller.sees(Some(&leaving.spec().tenant)));
    let view = |((host, vmta), leaving): (&Place, &Arc<Leaving>)| LeavingView {
        ip: leaving.spec().clone(),
        since: leaving.since,
        moved: state.identities.contains_key(&leaving.spec().address),
        messages: seen.left(host, vmta),
    };
    own.map(view).collect()
}

/// Identities whose records must be published: those that drain as well, for what they send is judged
/// by them. Of one that lives on, what it is now counts.
fn published<'a>(state: &'a FleetState, caller: &'a Caller) -> impl Iterator<Item = &'a Identity> {
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
    let state = api.copy_of_state();
    let views = published(&state, &caller).map(|identity| domain_view(&api, &state, identity));
    Json(views.collect())
}

/// One sending domain.
pub(in crate::api) async fn domain(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(domain): Named<DomainName>,
) -> Result<Json<DomainView>, ApiError> {
    api.view(|state| {
        let found = published(state, &caller).find(|identity| identity.spec.domain == domain);
        found
            .map(|identity| Json(domain_view(&api, state, identity)))
            .ok_or_else(|| ApiError::not_found("domain", domain.as_str()))
    })
}

fn domain_view(api: &Api, state: &FleetState, identity: &Identity) -> DomainView {
    DomainView {
        ip: identity.spec.clone(),
        domain: identity.spec.domain.clone(),
        records: api.planning.records(state, identity),
    }
}
