//! `/alerts/silences`. A tenant's operator may silence that tenant's alerts, and no others.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use email_engine_protocol::api::{SilenceRequest, SilenceView};

use crate::alerts::rules::AlertSubject;
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{Command, Effect, EndSilence, SilenceAlerts};
use crate::state::FleetState;

/// Silences that last, and that the caller may know of.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<SilenceView>> {
    let now = api.now();
    Json(api.view(|state| {
        let ids = state.alerts.silences.iter();
        let own = ids.filter(|(_, one)| one.until > now && caller.sees(one.tenant.as_ref()));
        own.filter_map(|(id, _)| view(state, *id)).collect()
    }))
}

fn view(state: &FleetState, id: u64) -> Option<SilenceView> {
    let silence = state.alerts.silences.get(&id)?;
    Some(SilenceView {
        id,
        kind: silence.kind,
        subject: silence.subject.as_ref().map(ToString::to_string),
        tenant: silence.tenant.clone(),
        since: silence.since,
        until: silence.until,
        by: silence.by.to_string(),
        reason: silence.reason.to_string(),
    })
}

/// Keeps alerts quiet for a while.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(request): JsonBody<SilenceRequest>,
) -> Result<(StatusCode, Json<SilenceView>), ApiError> {
    let tenant = match (&write.caller.tenant, request.tenant) {
        (Some(own), None) => Some(own.clone()),
        (Some(own), Some(other)) if *own != other => {
            return Err(ApiError::not_found("tenant", other.as_str()));
        }
        (_, asked) => asked,
    };
    // What no alert can be about would silence nothing, and its author would learn of it at night.
    let subject = match &request.subject {
        None => None,
        Some(text) => Some(
            text.parse::<AlertSubject>()
                .map_err(|error| ApiError::invalid("subject", text, &error.to_string()))?,
        ),
    };
    // Of these no alert is a tenant's.
    if let (Some(of), Some(subject), Some(_)) = (&subject, &request.subject, &tenant)
        && of.is_the_fleets()
    {
        let accepted =
            "what is a tenant's: ip, host, tenant or channel and its name; or no tenant beside it";
        return Err(ApiError::invalid("subject", subject, accepted));
    }
    let command = Command::SilenceAlerts(SilenceAlerts {
        kind: request.kind,
        subject: subject.map(|subject| subject.to_string()),
        tenant,
        minutes: request.minutes,
        reason: request.reason,
    });
    let outcome = api.commit_here(&write, command).await?;
    let found = match outcome.effect {
        Effect::Silence(id) => api.view(|state| view(state, id)),
        _ => None,
    };
    let found = found.ok_or_else(|| ApiError::not_found("silence", "of this request"))?;
    Ok((StatusCode::CREATED, Json(found)))
}

/// Ends one before its time.
pub(in crate::api) async fn end(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(id): Named<u64>,
) -> Result<StatusCode, ApiError> {
    let caller = &write.caller;
    let is_seen = api.view(|state| {
        let silence = state.alerts.silences.get(&id);
        silence.is_none_or(|silence| caller.sees(silence.tenant.as_ref()))
    });
    if !is_seen && write.replayed.is_none() {
        return Err(ApiError::not_found("silence", &id.to_string()));
    }
    api.commit(&write, Command::EndSilence(EndSilence { id }))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
