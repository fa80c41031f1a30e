//! `/ips`, and `/domains` as the view over them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    Change, ChangeAction, DomainView, FleetDocument, IpDocument, IpSpec,
};
use email_engine_protocol::mail::DomainName;

use super::apply::{carry_out, dry_run_of};
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBytes, Named, WriteRequest, parse_json};
use crate::api::routes::Asker;
use crate::command::{Command, RetireIdentity};
use crate::state::{FleetState, Identity};

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
}

/// Removes an identity: drained, then taken off its host. Or says what that would change.
pub(in crate::api) async fn retire(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    Query(removal): Query<Removal>,
) -> Result<Response, ApiError> {
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

/// All sending domains that the caller sees, with the records that they need.
pub(in crate::api) async fn domains(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<DomainView>> {
    let state = api.copy_of_state();
    let views = seen(&state, &caller).map(|identity| domain_view(&api, &state, identity));
    Json(views.collect())
}

/// One sending domain.
pub(in crate::api) async fn domain(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(domain): Named<DomainName>,
) -> Result<Json<DomainView>, ApiError> {
    api.view(|state| {
        let found = seen(state, &caller).find(|identity| identity.spec.domain == domain);
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
