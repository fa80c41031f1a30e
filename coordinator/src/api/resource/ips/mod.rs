//! `/ips`, and `/domains` as the view over them.

mod dkim;
mod domains;
mod explain;
mod life;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    ApplyAnswer, Change, ChangeAction, DomainView, FleetDocument, GivenUpView, IpDocument,
    IpEntries, IpEntry, IpSpec, IpView, LeavingView,
};

use super::apply::{self, carry_out, cautions, dry_run_of};
use super::hosts;
use super::page::Page;
use crate::api::app::Committed;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{ATTEMPTS, JsonBytes, Named, WriteRequest, is_passing, parse_json};
use crate::api::routes::Asker;
use crate::api::{Api, Draft};
use crate::command::{Batch, Command, GiveUpDrain, RetireIdentity, is_on_its_host};
use crate::fleet::takes_mail;
use crate::planner::document::is_last_of_purpose;
use crate::planner::word;
use crate::state::{FleetState, Identity, Leaving, Place};

pub(in crate::api) use dkim::{dkim, dkim_of_tenant, dkims, rotate, rotate_tenant};
pub(in crate::api) use domains::{domain, domains};
use domains::{domain_view, with_warmup};
pub(in crate::api) use explain::explain;
pub(in crate::api) use life::{
    activate, quarantine, release, relocate, reserve, rest, state_checks,
};

/// Most identities of one request.
const PER_REQUEST: usize = 1_000;
/// Identities that the caller sees, by address. Where there are more, the header `link` names the next
/// page (RFC 8288).
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(page): Query<Page<IpAddr>>,
) -> Result<Response, ApiError> {
    page.check(&api, &caller)?;
    let now = api.now();
    let views: Vec<IpView> = api.view(|state| {
        let wanted = paged(state, &caller, &page);
        wanted
            .map(|identity| life::view(state, identity, now))
            .collect()
    });
    Ok(page.answer("ips", views, |last| last.spec.address))
}

/// Identities of one page, and one more if there is one.
pub(super) fn paged<'a>(
    state: &'a FleetState,
    caller: &'a Caller,
    page: &'a Page<IpAddr>,
) -> impl Iterator<Item = &'a Arc<Identity>> {
    let behind = state.identities.range::<IpAddr>(page.behind());
    let wanted = behind.map(|(_, identity)| identity);
    let wanted = wanted.filter(|identity| page.has(caller, &identity.spec.tenant));
    wanted.take(page.looked_at())
}

/// One identity.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(address): Named<IpAddr>,
) -> Result<Json<IpView>, ApiError> {
    let now = api.now();
    api.view(|state| {
        let one = found(state, &caller, address)?;
        Ok(Json(life::view(state, one, now)))
    })
}

pub(super) fn found<'a>(
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
    let ips: Vec<IpDocument> = match many {
        true => parse_json::<IpEntries>(&body)?.0,
        false => parse_json::<IpEntry>(&body)?.0,
    };
    let places = ips.iter().map(|ip| ip.written.as_ref());
    let places: Vec<Option<usize>> = places.map(|one| one.map(|one| one.entry)).collect();
    let label = |entry: usize, field: &str| match (many, field) {
        (true, "") => format!("[{entry}]"),
        (true, field) => format!("[{entry}].{field}"),
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
        let label =
            |at: usize, field: &str| label(places.get(at).copied().flatten().unwrap_or(at), field);
        refuse_known(&api, &write.caller, &ips, &label)?;
    }
    let document = FleetDocument {
        ips,
        ..FleetDocument::default()
    };
    let (_, committed) = carry_out(&api, &write, &document, apply::Manner::default())
        .await
        .map_err(|error| error.with_field(|field| own_field(field, &label)))?;
    if let Some(committed) = committed {
        committed.read_here()?;
    }
    let views = api.view(|state| {
        let added = addresses
            .iter()
            .filter_map(|address| state.identities.get(address));
        // Asked again, another tenant may have the address by now.
        added
            .filter(|identity| write.caller.sees(Some(&identity.spec.tenant)))
            .map(|identity| with_warmup(state, domain_view(&api, state, identity)))
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
    /// Although nobody else serves its tenant for its purpose.
    #[serde(default)]
    last: bool,
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
    if removal.dry_run {
        if write.replayed.is_none() {
            api.view(|state| found(state, &write.caller, address).map(|_| ()))?;
        }
        let command = Command::RetireIdentity(RetireIdentity { address });
        let answer = dry_run_of(&api, &write, command, vec![going(address)]).await?;
        return Ok(Json(answer).into_response());
    }
    let (leave, warnings, revision) = remove(&api, &write, address, removal).await?;
    if removal.now {
        let messages = leave.messages;
        return Ok(Json(GivenUpView { messages, warnings }).into_response());
    }
    if !removal.last {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let answer = ApplyAnswer {
        applied: true,
        revision,
        changes: vec![going(address)],
        warnings,
        ..ApplyAnswer::default()
    };
    Ok(Json(answer).into_response())
}

fn going(address: IpAddr) -> Change {
    Change {
        action: ChangeAction::Remove,
        kind: "ip".to_owned(),
        name: address.to_string(),
        details: Vec::new(),
    }
}

/// What the removal of an identity takes.
#[derive(Debug, Default)]
struct Leave {
    commands: Vec<Command>,
    /// What is left in its queues, as far as that is known.
    messages: Option<u64>,
    /// What it is, when its purpose has nobody after it.
    last: Option<IpSpec>,
}

/// Removes an identity. Whether somebody else serves its purpose is judged by the state that the removal
/// is made on: of the last two, one stays.
async fn remove(
    api: &Api,
    write: &WriteRequest,
    address: IpAddr,
    removal: Removal,
) -> Result<(Leave, Vec<String>, u64), ApiError> {
    let seen = match removal.now {
        true => Some(hosts::seen(api).await),
        false => None,
    };
    let mut attempt = 0;
    loop {
        let looked = |state: &FleetState| {
            let leave = match &seen {
                Some(seen) => given_up(state, write, address, seen)?,
                None => retired(state, write, address)?,
            };
            Ok::<_, ApiError>((leave, state.revision))
        };
        let (leave, revision) = api.view(looked)?;
        let mut warnings = Vec::new();
        if let Some(ip) = leave.last.as_ref().filter(|_| write.replayed.is_none()) {
            if !removal.last {
                return Err(last_of_purpose(ip));
            }
            let draft = Draft {
                commands: leave.commands.clone(),
                ..Draft::default()
            };
            warnings = cautions(api, write, &draft).await?;
            if !takes_mail(ip) {
                // Nobody served it before either, which is no news to whoever compares two fleets.
                warnings.push(format!(
                    "tenant {}: purpose {} has nobody left that could be taken up again",
                    ip.tenant,
                    word(&ip.purpose)
                ));
            }
        }
        let command = Command::Batch(Batch {
            base_revision: (!removal.last).then_some(revision),
            commands: leave.commands.clone(),
        });
        let committed = match &write.replayed {
            Some(first) => Ok(first.clone()?),
            None => api
                .commit_attempt(write, attempt, command)
                .await
                .map(Committed::outcome),
        };
        match committed {
            Ok(outcome) => return Ok((leave, warnings, outcome.revision)),
            Err(error) if attempt + 1 < ATTEMPTS && error.rejection().is_some_and(is_passing) => {
                attempt += 1;
            }
            Err(error) => {
                let last = |field: &str| field.rsplit('.').next().unwrap_or(field).to_owned();
                return Err(error.with_field(last));
            }
        }
    }
}

fn last_of_purpose(ip: &IpSpec) -> ApiError {
    let (address, tenant, purpose) = (ip.address, &ip.tenant, word(&ip.purpose));
    let detail = format!(
        "address {address}: nobody else serves tenant {tenant} for purpose {purpose}, and its key and what \
         it reached in the warm-up go with it. Add another identity first, or keep this one paused \
         (status = \"resting\"); last=true removes it all the same (`email-engine ips remove {address} \
         --last`)"
    );
    let accepted = "an identity whose purpose somebody else serves, or last=true";
    ApiError::new(StatusCode::CONFLICT, "last-of-purpose", detail).about(
        "address",
        &address.to_string(),
        accepted,
    )
}

/// An identity that drains before it goes.
fn retired(state: &FleetState, write: &WriteRequest, address: IpAddr) -> Result<Leave, ApiError> {
    let living = match found(state, &write.caller, address) {
        Err(error) if write.replayed.is_none() => return Err(error),
        found => found.ok(),
    };
    Ok(Leave {
        commands: vec![Command::RetireIdentity(RetireIdentity { address })],
        messages: None,
        last: living.and_then(|living| last(state, living)),
    })
}

fn last(state: &FleetState, living: &Identity) -> Option<IpSpec> {
    is_last_of_purpose(state, &living.spec).then(|| living.spec.clone())
}

/// An identity that goes with what is left in its queue; one that drains, here or where it was before, is
/// given up there alone, and lives on where it does.
fn given_up(
    state: &FleetState,
    write: &WriteRequest,
    address: IpAddr,
    seen: &hosts::Seen,
) -> Result<Leave, ApiError> {
    let own = leaving_views(state, &write.caller, seen);
    let own: Vec<_> = own
        .into_iter()
        .filter(|one| one.ip.address == address)
        .collect();
    let counts = own
        .iter()
        .map(|one| one.messages.as_ref()?.known().copied());
    let mut leave = Leave {
        // With one that is not known the sum is not known either.
        messages: counts.sum::<Option<u64>>().filter(|_| !own.is_empty()),
        ..Leave::default()
    };
    let living = found(state, &write.caller, address).ok();
    let drains = !own.is_empty() || living.is_some_and(|own| is_on_its_host(state, own));
    if living.is_none() && own.is_empty() && write.replayed.is_none() {
        return Err(ApiError::not_found("ip", &address.to_string()));
    }
    if let Some(living) = living.filter(|_| own.is_empty()) {
        let retire = Command::RetireIdentity(RetireIdentity { address });
        leave.commands.push(retire);
        leave.last = last(state, living);
    }
    if drains {
        let messages = leave.messages;
        let give_up = Command::GiveUpDrain(GiveUpDrain { address, messages });
        leave.commands.push(give_up);
    }
    Ok(leave)
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
