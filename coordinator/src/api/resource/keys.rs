//! `/keys`: API keys.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use zeroize::Zeroizing;

use email_engine_protocol::api::{AccessRole, ApiKeyCreated, ApiKeyRequest, ApiKeyView};
use email_engine_protocol::id::ApiKeyId;

use super::tokens::refuse_replay;
use crate::api::Api;
use crate::api::auth::ApiKeyText;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::command::{Command, CreateApiKey, RevokeApiKey};
use crate::state::{ApiKey, FleetState};

/// All keys, without their secrets.
pub(in crate::api) async fn list(State(api): State<Arc<Api>>) -> Json<Vec<ApiKeyView>> {
    let view = |key: &ApiKey| ApiKeyView {
        id: key.id.clone(),
        role: key.role,
        tenant: key.tenant.clone(),
        created_at: key.created_at,
        revoked_at: key.revoked_at,
    };
    Json(api.view(|state| state.api_keys.values().map(view).collect()))
}

/// A new key. This answer alone shows it.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(request): JsonBody<ApiKeyRequest>,
) -> Result<(StatusCode, Json<ApiKeyCreated>), ApiError> {
    refuse_replay(&write, "key")?;
    let key = ApiKeyText {
        id: request.id.clone(),
        secret: Zeroizing::new(api.entropy().bytes()),
    };
    let command = Command::CreateApiKey(CreateApiKey {
        id: request.id.clone(),
        secret: key.secret_hash(),
        role: request.role,
        tenant: request.tenant,
    });
    api.commit(&write, command).await?;
    Ok((
        StatusCode::CREATED,
        Json(ApiKeyCreated {
            id: request.id,
            key: key.to_text().to_string(),
        }),
    ))
}

/// Revokes a key; it is refused from the next request on.
pub(in crate::api) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(id): Named<ApiKeyId>,
) -> Result<StatusCode, ApiError> {
    if write.replayed.is_none() && api.view(|state| is_last_admin(state, &id)) {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "in-use",
            format!("key {id} is the last one of role admin; create another before revoking it"),
        ));
    }
    api.commit(&write, Command::RevokeApiKey(RevokeApiKey { id }))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn is_last_admin(state: &FleetState, id: &ApiKeyId) -> bool {
    let mut admins = state.api_keys.values().filter(|key| {
        key.role == AccessRole::Admin && key.tenant.is_none() && key.revoked_at.is_none()
    });
    admins.next().is_some_and(|only| only.id == *id) && admins.next().is_none()
}
