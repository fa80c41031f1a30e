//! `/failover`, and what operators say about it: who was taken out and replaced, and what keeps the fleet from
//! doing more of it by itself.

mod view;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{FailoverPlan, FailoverView, Why};
use email_engine_protocol::id::{ListId, TenantId};

use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{Command, FreezeFailover, ReleaseBrake, ReleaseBreaker, ThawFailover};
use crate::fleet::failover::preview;

pub(in crate::api) use view::{explained, restraints};

/// Most events of one answer.
const LONGEST: usize = 1_000;

/// How much.
#[derive(Debug, Deserialize)]
pub(in crate::api) struct Page {
    #[serde(default = "limit")]
    limit: usize,
}

const fn limit() -> usize {
    100
}

/// What is frozen, open and braked, and the last events: all, or a tenant's own.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(page): Query<Page>,
) -> Result<Json<FailoverView>, ApiError> {
    if !(1..=LONGEST).contains(&page.limit) {
        let limit = page.limit.to_string();
        return Err(ApiError::invalid("limit", &limit, "1 to 1000"));
    }
    Ok(Json(
        api.view(|state| view::all(state, &caller, page.limit)),
    ))
}

/// Of whom.
#[derive(Debug, Deserialize)]
pub(in crate::api) struct Listed {
    listed: IpAddr,
}

/// What would happen if an identity were listed.
pub(in crate::api) async fn plan(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(Listed { listed }): Query<Listed>,
) -> Result<Json<FailoverPlan>, ApiError> {
    let now = api.now();
    let plan = preview(&api.copy_of_state(), listed, now);
    let plan = plan.filter(|plan| caller.sees(Some(&plan.tenant)));
    let plan = plan.ok_or_else(|| ApiError::not_found("ip", &listed.to_string()))?;
    Ok(Json(plan))
}

/// Promotes nobody for a tenant by itself from now on.
pub(in crate::api) async fn freeze(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(tenant): Named<TenantId>,
    JsonBody(Why { reason }): JsonBody<Why>,
) -> Result<Json<FailoverView>, ApiError> {
    is_own(&api, &write, &tenant)?;
    let command = Command::FreezeFailover(FreezeFailover { tenant, reason });
    done(&api, &write, command).await
}

/// Does so again.
pub(in crate::api) async fn thaw(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(tenant): Named<TenantId>,
    JsonBody(Why { reason }): JsonBody<Why>,
) -> Result<Json<FailoverView>, ApiError> {
    is_own(&api, &write, &tenant)?;
    let command = Command::ThawFailover(ThawFailover { tenant, reason });
    done(&api, &write, command).await
}

/// Lets a tenant go on whose breaker is open.
pub(in crate::api) async fn release(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(tenant): Named<TenantId>,
    JsonBody(Why { reason }): JsonBody<Why>,
) -> Result<Json<FailoverView>, ApiError> {
    is_own(&api, &write, &tenant)?;
    let command = Command::ReleaseBreaker(ReleaseBreaker { tenant, reason });
    done(&api, &write, command).await
}

/// Believes a list that named too many at once.
pub(in crate::api) async fn believe(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(list): Named<ListId>,
    JsonBody(Why { reason }): JsonBody<Why>,
) -> Result<Json<FailoverView>, ApiError> {
    let reason = Some(reason);
    let command = Command::ReleaseBrake(ReleaseBrake { list, reason });
    done(&api, &write, command).await
}

/// Another's tenant is not there.
fn is_own(api: &Api, write: &WriteRequest, tenant: &TenantId) -> Result<(), ApiError> {
    let is_there = api.view(|state| state.tenants.contains_key(tenant));
    if write.caller.sees(Some(tenant)) && (is_there || write.replayed.is_some()) {
        return Ok(());
    }
    Err(ApiError::not_found("tenant", tenant.as_str()))
}

async fn done(
    api: &Arc<Api>,
    write: &WriteRequest,
    command: Command,
) -> Result<Json<FailoverView>, ApiError> {
    api.commit_here(write, command).await?;
    Ok(Json(shown(api, &write.caller)))
}

fn shown(api: &Api, caller: &Caller) -> FailoverView {
    api.view(|state| view::all(state, caller, limit()))
}
