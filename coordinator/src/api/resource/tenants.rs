//! `/tenants`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use email_engine_protocol::api::TenantSpec;
use email_engine_protocol::id::TenantId;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{ChangeTenant, Command, CreateTenant, RemoveTenant};
use crate::planner::document::scope;

/// All tenants that the caller sees.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<TenantSpec>> {
    Json(api.view(|state| {
        let tenants = state.tenants.values();
        tenants
            .filter(|tenant| caller.sees(Some(&tenant.id)))
            .cloned()
            .collect()
    }))
}

/// One tenant.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(id): Named<TenantId>,
) -> Result<Json<TenantSpec>, ApiError> {
    let found = api.view(|state| state.tenants.get(&id).cloned());
    found
        .filter(|tenant| caller.sees(Some(&tenant.id)))
        .map(Json)
        .ok_or_else(|| ApiError::not_found("tenant", id.as_str()))
}

/// A new tenant.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(tenant): JsonBody<TenantSpec>,
) -> Result<(StatusCode, Json<TenantSpec>), ApiError> {
    let command = Command::CreateTenant(CreateTenant {
        tenant: tenant.clone(),
    });
    api.commit(&write, command).await?;
    Ok((StatusCode::CREATED, Json(tenant)))
}

/// Another declaration of a tenant.
pub(in crate::api) async fn change(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(id): Named<TenantId>,
    JsonBody(tenant): JsonBody<TenantSpec>,
) -> Result<Json<TenantSpec>, ApiError> {
    if !write.caller.sees(Some(&id)) {
        return Err(ApiError::not_found("tenant", id.as_str()));
    }
    if tenant.id != id {
        return Err(ApiError::invalid(
            "id",
            tenant.id.as_str(),
            "the tenant in the path",
        ));
    }
    if write.caller.tenant.is_some() && write.replayed.is_none() {
        api.view(|state| scope::of_the_fleet(state, &tenant, ""))?;
    }
    let command = Command::ChangeTenant(ChangeTenant {
        tenant: tenant.clone(),
    });
    api.commit(&write, command).await?;
    Ok(Json(tenant))
}

/// Removes a tenant that has nothing left.
pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(tenant): Named<TenantId>,
) -> Result<StatusCode, ApiError> {
    api.commit(&write, Command::RemoveTenant(RemoveTenant { tenant }))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
