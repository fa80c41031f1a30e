//! `GET /warmup/simulate`: how a pool will grow when nothing goes wrong.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{Phase, Simulation, WarmupSettings};
use email_engine_protocol::id::TenantId;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::routes::Asker;
use crate::fleet::warmup::{
    Event, LARGEST_POOL, LONGEST, Scenario, at_phase, day_begins, day_of, fleet_settings,
    looked_at, settings_of, simulate,
};

/// Parameters of the question.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::api) struct Question {
    /// Identities that begin today; beside those of the tenant, if one is named.
    #[serde(default)]
    identities: Option<u32>,
    /// How many days are told.
    #[serde(default)]
    days: Option<u32>,
    /// Whose identities, as they stand, by whose schedule.
    #[serde(default)]
    tenant: Option<TenantId>,
    /// Mails a day that are wanted.
    #[serde(default)]
    target: Option<u64>,
    /// Mails a day that an identity grows to.
    #[serde(default)]
    each: Option<u32>,
    /// `K@DAY`: so many go on that day.
    #[serde(default)]
    lose: Option<String>,
    /// `K@DAY`: so many come on that day.
    #[serde(default)]
    add: Option<String>,
}

/// Day by day.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(question): Query<Question>,
) -> Result<Json<Simulation>, ApiError> {
    let days = bounded("days", question.days.unwrap_or(42), LONGEST)?;
    let identities = question
        .identities
        .map(|count| bounded("identities", count, LARGEST_POOL));
    let mut events = Vec::new();
    for (name, text) in [("lose", &question.lose), ("add", &question.add)] {
        if let Some(text) = text {
            let event = Event::read(text, name == "add", looked_at(days, question.target));
            events.push(event.ok_or_else(|| ApiError::invalid(name, text, Event::FORM))?);
        }
    }
    let first = day_of(api.now());
    let scenario = api.view(|state| {
        let (mut settings, mut pool) = (fleet_settings(state), Vec::new());
        if let Some(tenant) = &question.tenant {
            if !caller.sees(Some(tenant)) || !state.tenants.contains_key(tenant) {
                return Err(ApiError::not_found("tenant", tenant.as_str()));
            }
            settings = settings_of(state, tenant);
            let own = state.identities.values();
            let own = own.filter(|one| one.spec.tenant == *tenant && one.takes_mail());
            pool.extend(own.map(|one| one.warmup.clone()));
        }
        Ok((settings, pool))
    })?;
    let (settings, mut pool) = scenario;
    let settings = with_target(&settings, question.each)?;
    let new = match identities {
        Some(count) => count?,
        None if question.tenant.is_none() => 1,
        None => 0,
    };
    let one = at_phase(Phase::Week1, &settings, day_begins(first));
    pool.extend((0..new).map(|_| one.clone()));
    let scenario = Scenario {
        pool,
        first,
        days,
        settings,
        events,
        target: question.target,
    };
    // Years of many cohorts take their time.
    let told = tokio::task::spawn_blocking(move || simulate(&scenario)).await;
    told.map(Json).map_err(|_| {
        let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        ApiError::new(status, "internal", "the simulation did not end")
    })
}

fn with_target(settings: &WarmupSettings, each: Option<u32>) -> Result<WarmupSettings, ApiError> {
    let settings = WarmupSettings {
        target: each.unwrap_or(settings.target),
        ..settings.clone()
    };
    settings
        .check()
        .map_err(|bound| ApiError::invalid("each", &bound.value.to_string(), &bound.accepted))?;
    Ok(settings)
}

fn bounded(name: &str, value: u32, most: u32) -> Result<u32, ApiError> {
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(ApiError::invalid(
        name,
        &value.to_string(),
        &format!("1 to {most}"),
    ))
}
