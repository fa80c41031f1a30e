//! `/audit`: who did what.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;

use email_engine_protocol::api::AuditView;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::state::AuditEntry;

/// Which page.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::api) struct Page {
    /// Only entries with a lower sequence number.
    before: Option<u64>,
    #[serde(default = "limit")]
    limit: usize,
}

const fn limit() -> usize {
    100
}

const LONGEST: usize = 1_000;

/// Changes, newest first.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<AuditView>>, ApiError> {
    if !(1..=LONGEST).contains(&page.limit) {
        return Err(ApiError::invalid(
            "limit",
            &page.limit.to_string(),
            "1 to 1000",
        ));
    }
    let before = page.before.unwrap_or(u64::MAX);
    let entries: Vec<Arc<AuditEntry>> = api.view(|state| {
        let newest_first = state.audit.iter().rev();
        newest_first
            .skip_while(|entry| entry.sequence >= before)
            .take(page.limit)
            .cloned()
            .collect()
    });
    Ok(Json(entries.iter().map(|entry| view(entry)).collect()))
}

fn view(entry: &AuditEntry) -> AuditView {
    AuditView {
        sequence: entry.sequence,
        at: entry.at,
        actor: entry.actor.clone(),
        request: entry.request.clone(),
        command: entry.command.clone(),
        object: entry.object.clone(),
        reason: entry.reason.clone(),
        revision: entry.revision,
    }
}
