//! Turns of an identity's life, and what is seen of it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    AccessRole, Check, ChecksRequest, ExpiredMailView, FleetDocument, IpDocument, IpView,
    MoveRequest, QuarantineRequest, QuarantineView, TurnView,
};
use email_engine_protocol::time::Timestamp;

use super::{apply, found, hosts};
use crate::api::gate::forbidden;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, JsonOrNothing, Named, WriteRequest};
use crate::api::{Api, Draft};
use crate::command::{Batch, Command, StateChecks, StateNextKey, SteerIdentity};
use crate::fleet::lifecycle::{Event, Standing, earliest_release, mail_expires_at, resumes_at};
use crate::fleet::listing::checks;
use crate::state::{ExpiredQueue, FleetState, Identity};

/// An identity as answered.
pub(super) fn view(state: &FleetState, identity: &Identity, now: Timestamp) -> IpView {
    let (spec, life) = (&identity.spec, &identity.life);
    let out = life.quarantine.as_ref();
    IpView {
        spec: spec.clone(),
        weight: identity.weight(),
        daily_quota: identity.daily_quota(),
        since: life.since,
        last_sent: life.last_sent,
        resumes_at: resumes_at(&Standing::of(identity), now),
        quarantine: out.map(|out| QuarantineView {
            lists: out.lists.clone(),
            last_sighting: out.last_sighting,
            until: earliest_release(out),
            clean_sweeps: out.clean_sweeps,
            mail_expires_at: mail_expires_at(identity)
                .or_else(|| out.expired.as_ref().map(|expired| expired.at))
                .unwrap_or(life.since),
            expired_mail: out.expired.as_ref().and_then(listed),
        }),
        checks: checks(state, identity, &life.checks).into_owned(),
    }
}

/// What was deleted, and where its recipients are.
fn listed(expired: &ExpiredQueue) -> Option<ExpiredMailView> {
    expired.listed.as_ref().map(|listed| ExpiredMailView {
        recipients: listed.recipients,
        host: listed.host.clone(),
        file: listed.file.clone(),
    })
}

/// How it is taken up.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::api) struct Activation {
    /// An admin overrules what preflight misses, or a quarantine that no list is behind.
    #[serde(default)]
    force: bool,
}

/// Takes an identity up: into warm-up, into production when it was there lately, out of the reserve.
pub(in crate::api) async fn activate(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    Query(Activation { force }): Query<Activation>,
) -> Result<Json<TurnView>, ApiError> {
    if force && write.caller.role < AccessRole::Admin {
        return Err(forbidden(AccessRole::Admin, &write.caller));
    }
    let seen = match &write.replayed {
        Some(_) => None,
        None => Some(hosts::seen(&api).await),
    };
    let on_host = api.view(|state| {
        let identity = found(state, &write.caller, address).ok()?;
        seen?.has_address(&identity.spec.host, address)
    });
    let command = Command::SteerIdentity(SteerIdentity {
        address,
        event: Event::Activate,
        force,
        on_host,
    });
    turn(&api, &write, address, command).await
}

/// Takes an identity out.
pub(in crate::api) async fn quarantine(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    JsonOrNothing(QuarantineRequest { lists }): JsonOrNothing<QuarantineRequest>,
) -> Result<Json<TurnView>, ApiError> {
    let event = Event::Quarantine { lists };
    steer(&api, &write, address, event).await
}

/// Lets an identity go one step towards service.
pub(in crate::api) async fn release(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    Query(Activation { force }): Query<Activation>,
) -> Result<Json<TurnView>, ApiError> {
    if force && write.caller.role < AccessRole::Admin {
        return Err(forbidden(AccessRole::Admin, &write.caller));
    }
    let command = Command::SteerIdentity(SteerIdentity {
        address,
        event: Event::Release,
        force,
        on_host: None,
    });
    turn(&api, &write, address, command).await
}

/// Lays an identity to rest.
pub(in crate::api) async fn rest(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
) -> Result<Json<TurnView>, ApiError> {
    steer(&api, &write, address, Event::Rest).await
}

/// Whether it is kept.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::api) struct Keeping {
    #[serde(default = "kept")]
    kept: bool,
}

const fn kept() -> bool {
    true
}

/// Keeps an active identity warm at little weight, or ends that.
pub(in crate::api) async fn reserve(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    Query(Keeping { kept }): Query<Keeping>,
) -> Result<Json<TurnView>, ApiError> {
    steer(&api, &write, address, Event::Reserve { kept }).await
}

async fn steer(
    api: &Api,
    write: &WriteRequest,
    address: IpAddr,
    event: Event,
) -> Result<Json<TurnView>, ApiError> {
    let command = Command::SteerIdentity(SteerIdentity {
        address,
        event,
        force: false,
        on_host: None,
    });
    turn(api, write, address, command).await
}

/// What was seen of an identity, by the word of an operator.
pub(in crate::api) async fn state_checks(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    JsonBody(request): JsonBody<ChecksRequest>,
) -> Result<Json<TurnView>, ApiError> {
    let ChecksRequest {
        mut checks,
        selector,
    } = request;
    // Whoever is listed does not say of itself that it is not.
    if write.caller.tenant.is_some() && checks.contains_key(&Check::Listing) {
        let accepted =
            "checks without listing: what lists say of a tenant, the fleet's operators state";
        let detail = "a key that is bound to a tenant does not say whether a list has its identity";
        let refused = ApiError::new(StatusCode::FORBIDDEN, "forbidden", detail);
        return Err(refused.about("checks", "listing", accepted));
    }
    let next = checks.remove(&Check::NextDkim);
    let next = match (next, selector) {
        (Some(verdict), Some(selector)) => Some((verdict, selector)),
        (Some(verdict), None) => Some((verdict, next_selector(&api, &write, address)?)),
        (None, Some(selector)) => {
            let accepted = "nothing: it says of which key checks.next_dkim is";
            return Err(ApiError::invalid("selector", &selector, accepted));
        }
        (None, None) => None,
    };
    let mut commands: Vec<Command> = next
        .map(|(verdict, selector)| {
            Command::StateNextKey(StateNextKey {
                address,
                selector,
                verdict,
            })
        })
        .into_iter()
        .collect();
    if !checks.is_empty() || commands.is_empty() {
        commands.push(Command::StateChecks(StateChecks {
            address,
            verdicts: checks,
            sweeps: write.caller.role >= AccessRole::Admin,
        }));
    }
    let command = match commands.len() {
        1 => commands.remove(0),
        _ => Command::Batch(Batch {
            base_revision: None,
            commands,
        }),
    };
    turn(&api, &write, address, command).await
}

/// The selector to which the present rotation leads.
fn next_selector(api: &Api, write: &WriteRequest, address: IpAddr) -> Result<String, ApiError> {
    api.view(|state| {
        let found = state.identities.get(&address);
        let own = found.filter(|one| write.caller.sees(Some(&one.spec.tenant)));
        let rotation = own.and_then(|own| Some((own, own.signing.rotation.as_ref()?)));
        match rotation {
            Some((own, rotation)) if rotation.is_over() => Ok(own.spec.selector.clone()),
            Some((_, rotation)) => Ok(rotation.other.selector.clone()),
            // What is refused then is said by the rules.
            None if own.is_some() || write.replayed.is_some() => Ok(String::new()),
            None => Err(ApiError::not_found("ip", &address.to_string())),
        }
    })
}

async fn turn(
    api: &Api,
    write: &WriteRequest,
    address: IpAddr,
    command: Command,
) -> Result<Json<TurnView>, ApiError> {
    let mut warnings = Vec::new();
    if write.replayed.is_none() {
        api.view(|state| found(state, &write.caller, address).map(|_| ()))?;
        let draft = Draft {
            commands: vec![command.clone()],
            ..Draft::default()
        };
        warnings = apply::cautions(api, write, &draft).await?;
    }
    api.commit_here(write, command).await?;
    answer(api, write, address, warnings)
}

fn answer(
    api: &Api,
    write: &WriteRequest,
    address: IpAddr,
    warnings: Vec<String>,
) -> Result<Json<TurnView>, ApiError> {
    let now = api.now();
    api.view(|state| {
        let ip = found(state, &write.caller, address).map(|one| view(state, one, now))?;
        Ok(Json(TurnView { ip, warnings }))
    })
}

/// Takes an identity to another host, pool or virtual MTA. Where it was it drains first.
pub(in crate::api) async fn relocate(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    JsonBody(asked): JsonBody<MoveRequest>,
) -> Result<Json<TurnView>, ApiError> {
    if asked == MoveRequest::default() {
        let accepted = "at least one of host, pool, vmta";
        return Err(ApiError::invalid("body", "{}", accepted));
    }
    let mut warnings = Vec::new();
    if write.replayed.is_none() {
        let ip = api.view(|state| {
            let living = found(state, &write.caller, address)?;
            let (domain, tenant) = (living.spec.domain.clone(), living.spec.tenant.clone());
            let mut ip = IpDocument::new(address, domain, tenant);
            (ip.host, ip.pool, ip.vmta) = (asked.host, asked.pool, asked.vmta);
            Ok::<_, ApiError>(ip)
        })?;
        let document = FleetDocument {
            ips: vec![ip],
            ..FleetDocument::default()
        };
        let own = |field: &str| field.rsplit('.').next().unwrap_or(field).to_owned();
        let (draft, committed) =
            apply::carry_out(&api, &write, &document, apply::Manner::default())
                .await
                .map_err(|error| error.with_field(own))?;
        warnings = draft.warnings;
        if let Some(committed) = committed {
            committed.read_here()?;
        }
    }
    answer(&api, &write, address, warnings)
}
