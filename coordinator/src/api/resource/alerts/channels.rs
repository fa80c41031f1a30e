//! `/alerts/channels`. Where alerts go is the operators' of the whole fleet to say, also for a tenant's
//! channel: the nodes call whatever is named here.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use email_engine_protocol::api::{ChannelRequest, ChannelSecret, ChannelSpec, ChannelView};
use email_engine_protocol::id::ChannelName;
use email_engine_protocol::secret::SecretBytes;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{Command, RemoveChannel, SetChannel};
use crate::state::FleetState;

/// All channels that the caller may know of.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<ChannelView>> {
    Json(api.view(|state| {
        let channels = state.alerts.channels.iter();
        let own = channels.filter(|(_, channel)| caller.sees(channel.tenant.as_ref()));
        own.filter_map(|(name, _)| view(state, name)).collect()
    }))
}

fn view(state: &FleetState, name: &ChannelName) -> Option<ChannelView> {
    let channel = state.alerts.channels.get(name)?;
    Some(ChannelView {
        name: name.clone(),
        spec: channel.spec.clone(),
        tenant: channel.tenant.clone(),
        has_secret: channel.secret.is_some(),
        waiting: state.alerts.waiting_for(name),
        delivered_at: channel.delivered_at,
        failing_since: channel.failing_since,
        error: channel.error.as_ref().map(ToString::to_string),
    })
}

/// Makes a channel, or changes it. Its secret is sealed before anything of it leaves this node.
pub(in crate::api) async fn set(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(name): Named<ChannelName>,
    JsonBody(request): JsonBody<ChannelRequest>,
) -> Result<Json<ChannelView>, ApiError> {
    let secret = request.secret.as_ref();
    if secret.is_some_and(|secret| !secret.is_good() || !fits(&request.spec, secret)) {
        let rule = match request.spec {
            ChannelSpec::Telegram(_) => {
                "the token of a bot, such as 110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
            }
            _ => ChannelSecret::RULE,
        };
        // What was sent may be the secret with a blank too much: it is not said again.
        return Err(ApiError::invalid("secret", "(not shown)", rule));
    }
    let sealed = secret.map(|secret| {
        let secret = SecretBytes {
            salt: api.entropy().bytes(),
            bytes: secret.0.as_bytes().to_vec(),
        };
        api.planning.seal(&secret)
    });
    let command = Command::SetChannel(Box::new(SetChannel {
        name: name.clone(),
        spec: request.spec,
        tenant: request.tenant,
        secret: sealed,
    }));
    api.commit_here(&write, command).await?;
    let found = api.view(|state| view(state, &name));
    let absent = || ApiError::not_found("channel", name.as_str());
    found.map(Json).ok_or_else(absent)
}

/// A bot's token becomes a part of an address.
fn fits(spec: &ChannelSpec, secret: &ChannelSecret) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b":-_".contains(&b);
    match spec {
        ChannelSpec::Telegram(_) => secret.0.contains(':') && secret.0.bytes().all(is_token),
        _ => true,
    }
}

/// Removes a channel. What waits for it is given up.
pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(name): Named<ChannelName>,
) -> Result<StatusCode, ApiError> {
    api.commit(&write, Command::RemoveChannel(RemoveChannel { name }))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
