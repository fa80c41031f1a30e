//! `/settings`, `/bundles` and `/releases`: what hosts are rendered from, and which of it they get.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    BundleCreated, BundleRequest, ReleaseRequest, ReleaseView, ReleasesView, Settings,
};

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, WriteRequest};
use crate::command::{Command, PutBundle, PutSettings, SetRelease};
use crate::state::{FleetState, Release};

/// The newest settings.
pub(in crate::api) async fn settings(State(api): State<Arc<Api>>) -> Json<Settings> {
    Json(api.view(|state| {
        let newest = state.settings.values().next_back();
        newest
            .map(|revision| revision.settings.clone())
            .unwrap_or_default()
    }))
}

/// Whether new settings take effect.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::api) struct Effect {
    /// Moves all hosts to them; otherwise they wait for a release.
    #[serde(default = "at_once")]
    release: bool,
}

const fn at_once() -> bool {
    true
}

/// Stores new settings.
pub(in crate::api) async fn put_settings(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Query(effect): Query<Effect>,
    JsonBody(settings): JsonBody<Settings>,
) -> Result<Json<Settings>, ApiError> {
    let command = Command::PutSettings(PutSettings {
        settings: settings.clone(),
        release: effect.release,
    });
    api.commit(&write, command).await?;
    Ok(Json(settings))
}

/// What new hosts and each host are pinned to.
pub(in crate::api) async fn list(State(api): State<Arc<Api>>) -> Json<ReleasesView> {
    Json(api.view(view))
}

fn view(state: &FleetState) -> ReleasesView {
    let release = |release: &Release| ReleaseView {
        bundle: release.bundle,
        planner_version: release.planner_version,
        settings: release.settings,
    };
    let hosts = state.hosts.iter();
    ReleasesView {
        default: state.default_release.as_ref().map(release),
        hosts: hosts
            .map(|(id, host)| (id.clone(), release(&host.release)))
            .collect(),
        bundles: state.bundles.keys().copied().collect(),
        newest_settings: state.settings.keys().next_back().copied(),
    }
}

/// Moves hosts to another release.
pub(in crate::api) async fn set(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(request): JsonBody<ReleaseRequest>,
) -> Result<Json<ReleasesView>, ApiError> {
    let command = Command::SetRelease(SetRelease {
        hosts: request.hosts,
        bundle: request.bundle,
        planner_version: request.planner_version,
        settings: request.settings,
    });
    api.commit_here(&write, command).await?;
    Ok(Json(api.view(view)))
}

/// Stores a role bundle; a release can then name it.
pub(in crate::api) async fn put_bundle(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(request): JsonBody<BundleRequest>,
) -> Result<(StatusCode, Json<BundleCreated>), ApiError> {
    let files = request.files;
    let command = Command::PutBundle(PutBundle {
        files: files.clone(),
    });
    api.commit_here(&write, command).await?;
    let stored = api.view(|state| {
        let mut bundles = state.bundles.iter();
        bundles
            .find(|(_, bundle)| bundle.files == files)
            .map(|(hash, _)| *hash)
    });
    // A bundle that no release names may have been dropped again between the two steps.
    let bundle = stored.ok_or_else(|| ApiError::not_found("bundle", "just stored"))?;
    Ok((StatusCode::CREATED, Json(BundleCreated { bundle })))
}
