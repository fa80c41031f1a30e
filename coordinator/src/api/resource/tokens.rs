//! `/tokens`: join tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use data_encoding::HEXLOWER;

use email_engine_protocol::api::{
    AccessRole, MemberRole, TokenCreated, TokenRequest, TokenUseView, TokenView,
};
use email_engine_protocol::id::TokenId;
use email_engine_protocol::join::{Admission, JoinToken};
use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::command::{Command, IssueToken, RevokeToken};
use crate::state::{FleetState, Token, TokenState, TokenUse};

const SHORTEST_TTL: u64 = 5;
const LONGEST_TTL: u64 = 7 * 24 * 3600;

/// All tokens, without their secrets.
pub(in crate::api) async fn list(State(api): State<Arc<Api>>) -> Json<Vec<TokenView>> {
    let now = api.now();
    Json(api.view(|state| {
        state
            .tokens
            .values()
            .map(|token| view(token, now))
            .collect()
    }))
}

fn view(token: &Token, now: Timestamp) -> TokenView {
    let state = match &token.state {
        TokenState::Open if token.expires_at <= now => "expired",
        TokenState::Open => "open",
        TokenState::Redeemed { .. } => "redeemed",
        TokenState::Revoked => "revoked",
    };
    TokenView {
        id: token.id.clone(),
        admission: token.admission.clone(),
        created_at: token.created_at,
        expires_at: token.expires_at,
        state: state.to_owned(),
        used_by: token.used_by.as_ref().map(use_view),
        refused: token.refused.iter().map(use_view).collect(),
    }
}

fn use_view(used: &TokenUse) -> TokenUseView {
    TokenUseView {
        key: used.spki,
        machine: used.machine.clone(),
        from: used.from.clone(),
    }
}

/// A new token. This answer alone shows it.
pub(in crate::api) async fn issue(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(request): JsonBody<TokenRequest>,
) -> Result<(StatusCode, Json<TokenCreated>), ApiError> {
    refuse_replay(&write, "token")?;
    if request.admission == Admission::Node && write.caller.role < AccessRole::Admin {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "a token that admits a coordinator node needs a key of role admin",
        ));
    }
    if !(SHORTEST_TTL..=LONGEST_TTL).contains(&request.ttl_seconds) {
        return Err(ApiError::invalid(
            "ttl_seconds",
            &request.ttl_seconds.to_string(),
            "5 to 604800 (7 days)",
        ));
    }
    let mut token = draft(&api, &request)?;
    let command = Command::IssueToken(IssueToken {
        id: token.id.clone(),
        secret: token.secret_hash(),
        admission: request.admission,
        ttl_millis: request.ttl_seconds * Timestamp::SECOND,
        replace: request.replace,
    });
    api.commit(&write, command).await?;
    let kept = api.view(|state| state.tokens.get(&token.id).map(|kept| kept.expires_at));
    token.expires_at = kept.unwrap_or(token.expires_at);
    Ok((
        StatusCode::CREATED,
        Json(TokenCreated {
            id: token.id.clone(),
            token: token.to_text().to_string(),
            expires_at: token.expires_at,
        }),
    ))
}

fn draft(api: &Api, request: &TokenRequest) -> Result<JoinToken, ApiError> {
    let entropy = api.entropy();
    let id = format!("t-{}", HEXLOWER.encode(&entropy.bytes::<8>()));
    let (cluster, endpoints) = api.view(|state| {
        let cluster = state
            .cluster
            .as_ref()
            .map(|cluster| (cluster.id, cluster.ca_pin, cluster.trust_pin()));
        (cluster, endpoints(state))
    });
    let (cluster, ca_pin, trust) = cluster.ok_or_else(|| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-ready",
            "this node does not hold the cluster's state yet; ask another node",
        )
    })?;
    Ok(JoinToken {
        id: TokenId::new(id).expect("'t-' and hex digits are a slug"),
        cluster,
        ca_pin,
        trust,
        endpoints,
        admission: request.admission.clone(),
        expires_at: api.now().plus(request.ttl_seconds * Timestamp::SECOND),
        secret: entropy.bytes(),
    })
}

/// Where new machines call: the agents' end points of all nodes that are in.
fn endpoints(state: &FleetState) -> Vec<String> {
    let nodes = state
        .nodes
        .values()
        .filter(|node| node.role != MemberRole::Removed);
    nodes
        .map(|node| node.agent_endpoint.clone())
        .take(limits::ENDPOINTS)
        .collect()
}

/// A secret that was shown once cannot be shown again: only its hash was kept.
pub(super) fn refuse_replay(write: &WriteRequest, what: &str) -> Result<(), ApiError> {
    match &write.replayed {
        Some(Ok(_)) => Err(ApiError::new(
            StatusCode::CONFLICT,
            "shown-once",
            format!(
                "this request made a {what} before, which was shown in that answer only; when that \
                 was lost, revoke it and ask for another under a new Idempotency-Key"
            ),
        )),
        Some(Err(rejection)) => Err(rejection.clone().into()),
        None => Ok(()),
    }
}

/// Takes a token back.
pub(in crate::api) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(id): Named<TokenId>,
) -> Result<StatusCode, ApiError> {
    api.commit(&write, Command::RevokeToken(RevokeToken { id }))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
