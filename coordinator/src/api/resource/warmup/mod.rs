//! `/warmup`: where identities stand, and an operator's word about it; how a pool will grow; and which
//! identity sends next.

pub(in crate::api) mod select;
pub(in crate::api) mod simulate;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};

use email_engine_protocol::api::{PauseRequest, ResumeRequest, WarmupView};
use email_engine_protocol::observed::DayCounts;

use super::failover::restraints;
use super::ips::{found, paged};
use super::page::Page;
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{Command, PauseWarmup, ResumeWarmup};
use crate::fleet::warmup::day_of;
use crate::powermta;
use crate::state::{FleetState, Identity};

pub(in crate::api) use select::Rotations;

/// Identities that the caller sees, by address, in pages.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(page): Query<Page<IpAddr>>,
) -> Result<Response, ApiError> {
    page.check(&api, &caller)?;
    let views: Vec<WarmupView> = api.view(|state| {
        paged(state, &caller, &page)
            .map(|identity| view_of(state, identity))
            .collect()
    });
    Ok(page.answer("warmup", views, |last| last.address))
}

/// One identity.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(address): Named<IpAddr>,
) -> Result<Json<WarmupView>, ApiError> {
    shown(&api, &caller, address)
}

fn shown(api: &Api, caller: &Caller, address: IpAddr) -> Result<Json<WarmupView>, ApiError> {
    api.view(|state| found(state, caller, address).map(|identity| Json(view_of(state, identity))))
}

fn view_of(state: &FleetState, identity: &Identity) -> WarmupView {
    let (spec, plan) = (&identity.spec, &identity.warmup);
    let daily_quota = identity.daily_quota();
    let told = match &plan.stopped {
        Some(stopped) => stopped.reasons.as_slice(),
        None => plan.verdict.as_ref().map_or(&[][..], |it| &it.reasons),
    };
    let mut reasons: Vec<_> = told.iter().map(ToString::to_string).collect();
    // It holds from now on, and not only since the last day that was judged.
    let obstacle = state.warmup_obstacle(identity);
    let obstacle = obstacle.map(|(_, why)| why.to_string());
    if let Some(obstacle) = obstacle.filter(|obstacle| !reasons.contains(obstacle)) {
        reasons.insert(0, obstacle);
    }
    // What the state is called by stands first.
    let restraint = &identity.restraint;
    if plan.stopped.is_none() && (restraint.breaker || !restraint.held.is_empty()) {
        reasons.splice(0..0, restraints(state, identity));
    } else if restraint.slowed.is_some() {
        reasons.extend(restraints(state, identity));
    }
    WarmupView {
        address: spec.address,
        tenant: spec.tenant.clone(),
        purpose: spec.purpose,
        status: spec.status,
        daily_quota,
        attempts_cap: match daily_quota {
            0 => 0,
            quota => powermta::hourly_cap(quota).saturating_mul(24),
        },
        weight: identity.weight(),
        reasons,
        plan: plan.clone(),
    }
}

/// Half the quota for some days.
pub(in crate::api) async fn pause(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    JsonBody(request): JsonBody<PauseRequest>,
) -> Result<Json<WarmupView>, ApiError> {
    is_own(&api, &write, address)?;
    let days = request.days;
    let command = Command::PauseWarmup(PauseWarmup { address, days });
    api.commit_here(&write, command).await?;
    shown(&api, &write.caller, address)
}

/// Goes on after a stop or a pause.
pub(in crate::api) async fn resume(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(address): Named<IpAddr>,
    JsonBody(request): JsonBody<ResumeRequest>,
) -> Result<Json<WarmupView>, ApiError> {
    is_own(&api, &write, address)?;
    let today = day_of(api.now());
    // What is counted may lie on a disk.
    let evidence = Arc::clone(&api.evidence);
    let counted =
        tokio::task::spawn_blocking(move || evidence.day_counts(address, today, today)).await;
    let mut of_today = DayCounts {
        day: today,
        ..DayCounts::default()
    };
    for day in counted
        .map_err(|error| unread(&error))?
        .map_err(|error| unread(&error))?
    {
        for (group, counts) in day.groups {
            of_today.groups.entry(group).or_default().add(&counts);
        }
    }
    let command = Command::ResumeWarmup(Box::new(ResumeWarmup {
        address,
        reason: request.reason,
        counted: of_today,
    }));
    api.commit_here(&write, command).await?;
    shown(&api, &write.caller, address)
}

/// Counts that are not known for now, and never taken for none.
fn unread(why: &dyn std::fmt::Display) -> ApiError {
    let detail = format!("{why}: ask again, or another node");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unread", detail)
}

fn is_own(api: &Api, write: &WriteRequest, address: IpAddr) -> Result<(), ApiError> {
    if write.replayed.is_some() {
        return Ok(());
    }
    api.view(|state| found(state, &write.caller, address).map(|_| ()))
}
