//! `/alerts`: what people are told. A key that is bound to a tenant sees that tenant's alerts and channels
//! and nothing of the fleet's own.

pub(in crate::api) mod channels;
pub(in crate::api) mod routes;
pub(in crate::api) mod silences;

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    AlertKind, AlertView, DeliveryView, Severity, TestRequest, TestView,
};

use crate::alerts::rules::AlertKey;
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonOrNothing, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{Command, Effect, TestAlerts};
use crate::state::{Alert, FleetState};

/// Which of them.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::api) struct Page {
    /// Only alerts with a lower number.
    before: Option<u64>,
    #[serde(default = "limit")]
    limit: usize,
    /// Only this kind.
    kind: Option<AlertKind>,
    /// Only these and graver ones.
    severity: Option<Severity>,
    /// Only what goes on.
    #[serde(default)]
    open: bool,
}

const fn limit() -> usize {
    100
}

const LONGEST: usize = 1_000;

/// Whether a caller may know of it. What is the fleet's own is nobody's of a tenant.
fn sees(caller: &Caller, row: &Alert) -> bool {
    caller.sees(row.tenant.as_ref())
}

/// Alerts, newest first.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(page): Query<Page>,
) -> Result<Json<Vec<AlertView>>, ApiError> {
    if !(1..=LONGEST).contains(&page.limit) {
        let limit = page.limit.to_string();
        return Err(ApiError::invalid("limit", &limit, "1 to 1000"));
    }
    let before = page.before.unwrap_or(u64::MAX);
    let fits = |row: &Alert| {
        let kind = row.event.kind();
        sees(&caller, row)
            && page.kind.is_none_or(|wanted| wanted == kind)
            && page.severity.is_none_or(|least| kind.severity() >= least)
            && (!page.open || row.is_open())
    };
    Ok(Json(api.view(|state| {
        let rows = state.alerts.rows.range(..before).rev();
        let rows = rows.filter(|(_, row)| fits(row)).take(page.limit);
        rows.map(|(id, row)| view(state, *id, row)).collect()
    })))
}

/// One alert.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(id): Named<u64>,
) -> Result<Json<AlertView>, ApiError> {
    let found = api.view(|state| {
        let row = state.alerts.rows.get(&id);
        let row = row.filter(|row| sees(&caller, row))?;
        Some(view(state, id, row))
    });
    let absent = || ApiError::not_found("alert", &id.to_string());
    found.map(Json).ok_or_else(absent)
}

fn view(state: &FleetState, id: u64, row: &Alert) -> AlertView {
    let AlertKey { kind, subject, .. } = row.event.key();
    let words = row.event.words();
    let deliveries = row.deliveries.iter();
    let deliveries = deliveries.map(|((channel, occasion), delivery)| DeliveryView {
        channel: channel.clone(),
        occasion: *occasion,
        state: delivery.state,
        attempts: delivery.attempts,
        at: delivery.at,
        error: delivery.error.as_ref().map(ToString::to_string),
    });
    AlertView {
        id,
        key: state.alert_key(id, row),
        kind,
        severity: kind.severity(),
        subject: subject.to_string(),
        tenant: row.tenant.clone(),
        title: words.title,
        text: words.lines,
        raised_at: row.raised_at,
        last_at: row.last_at,
        count: row.count,
        resolved_at: row.resolved_at,
        silenced_by: row.silenced_by,
        deliveries: deliveries.collect(),
    }
}

/// Sends an alert to see whether alerts arrive.
pub(in crate::api) async fn test(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonOrNothing(request): JsonOrNothing<TestRequest>,
) -> Result<(StatusCode, Json<TestView>), ApiError> {
    // What is another's does not exist for this one, and is no entry in the log either.
    let asked = request.channel.as_ref();
    let is_seen = asked.is_none_or(|name| {
        api.view(|state| {
            let channel = state.alerts.channels.get(name);
            channel.is_some_and(|channel| write.caller.sees(channel.tenant.as_ref()))
        })
    });
    if let Some(name) = asked.filter(|_| !is_seen && write.replayed.is_none()) {
        return Err(ApiError::not_found("channel", name.as_str()));
    }
    let command = Command::TestAlerts(TestAlerts {
        channel: request.channel,
        tenant: write.caller.tenant.clone(),
    });
    let outcome = api.commit_here(&write, command).await?;
    let Effect::Alert(id) = outcome.effect else {
        return Err(ApiError::not_found("alert", "of this test"));
    };
    let channels = api.view(|state| {
        let row = state.alerts.rows.get(&id);
        let keys = row.into_iter().flat_map(|row| row.deliveries.keys());
        keys.map(|(channel, _)| channel.clone()).collect()
    });
    Ok((StatusCode::CREATED, Json(TestView { id, channels })))
}
