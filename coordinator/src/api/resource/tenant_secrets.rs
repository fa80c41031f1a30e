//! `/tenants/{tenant}/secrets`: what hosts of a tenant are given and nobody is ever answered.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use email_engine_protocol::api::{TenantSecret, TenantSecretRequest, TenantSecretView};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::secret::SecretBytes;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{Command, SetSecret};
use crate::state::{FleetState, SecretOf};

/// Which secrets a tenant has.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(tenant): Named<TenantId>,
) -> Result<Json<Vec<TenantSecretView>>, ApiError> {
    let found = api.view(|state| {
        let is_there = caller.sees(Some(&tenant)) && state.tenants.contains_key(&tenant);
        let view = |name| view(state, &tenant, name);
        is_there.then(|| TenantSecret::ALL.map(view).into())
    });
    found
        .map(Json)
        .ok_or_else(|| ApiError::not_found("tenant", tenant.as_str()))
}

fn view(state: &FleetState, tenant: &TenantId, name: TenantSecret) -> TenantSecretView {
    let id = SecretOf::Tenant(tenant.clone(), name).id();
    let version = state.secrets.get(&id).map(|secret| secret.version);
    TenantSecretView { name, version }
}

/// Gives a tenant a secret. It is sealed before anything of it leaves this node.
pub(in crate::api) async fn set(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Path((tenant, name)): Path<(String, String)>,
    JsonBody(request): JsonBody<TenantSecretRequest>,
) -> Result<Json<TenantSecretView>, ApiError> {
    let not_found = || ApiError::not_found("tenant", &tenant);
    let id = TenantId::new(tenant.as_str()).map_err(|_| not_found())?;
    if !write.caller.sees(Some(&id)) {
        return Err(not_found());
    }
    let name: TenantSecret = name
        .parse()
        .map_err(|_| ApiError::invalid("name", &name, "api-key or mailwizz-api-key"))?;
    if !TenantSecret::accepts(&request.value) {
        // What was sent may be the secret with a blank too much: it is not said again.
        return Err(ApiError::invalid(
            "value",
            "(not shown)",
            TenantSecret::VALUE,
        ));
    }
    let secret = SecretBytes {
        salt: api.entropy().bytes(),
        bytes: request.value.as_bytes().to_vec(),
    };
    let command = Command::SetSecret(Box::new(SetSecret {
        of: SecretOf::Tenant(id.clone(), name),
        made: false,
        commitment: secret.commitment(),
        sealed: api.planning.seal(&secret),
        key: None,
    }));
    api.commit(&write, command).await?;
    Ok(Json(api.view(|state| view(state, &id, name))))
}
