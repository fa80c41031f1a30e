//! `/settings`, `/bundles` and `/releases`: what hosts are rendered from, and which of it they get.

pub(in crate::api) mod artifacts;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    BundleCreated, BundleRequest, BundleView, ReleaseRequest, ReleaseView, ReleasesView, Settings,
};

use email_engine_protocol::bytes::ContentHash;

use super::apply;
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, WriteRequest};
use crate::command::{Command, PutBundle, PutSettings, SetRelease};
use crate::powermta::providers::{Catalogue, Fault};
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

/// How hosts are moved.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(in crate::api) struct Manner {
    /// Only says what would change on the hosts.
    #[serde(default)]
    dry_run: bool,
}

/// Moves hosts to another release, or says what that would change on them.
pub(in crate::api) async fn set(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Query(manner): Query<Manner>,
    JsonBody(request): JsonBody<ReleaseRequest>,
) -> Result<Response, ApiError> {
    let command = Command::SetRelease(SetRelease {
        hosts: request.hosts,
        bundle: request.bundle,
        planner_version: request.planner_version,
        settings: request.settings,
    });
    if manner.dry_run {
        let answer = apply::dry_run_of(&api, &write, command, Vec::new()).await?;
        return Ok(Json(answer).into_response());
    }
    api.commit_here(&write, command).await?;
    Ok(Json(api.view(view)).into_response())
}

/// A role bundle with its files. For those who may store one: lines of an operator's own are among them.
pub(in crate::api) async fn bundle(
    State(api): State<Arc<Api>>,
    Path(bundle): Path<String>,
) -> Result<Json<BundleView>, ApiError> {
    let hash: Option<ContentHash> = bundle.parse().ok();
    let stored = hash.and_then(|hash| {
        api.view(|state| {
            let stored = state.bundles.get(&hash).cloned();
            stored.map(|stored| (hash, stored))
        })
    });
    let (hash, stored) = stored.ok_or_else(|| ApiError::not_found("bundle", &bundle))?;
    Ok(Json(BundleView {
        bundle: hash,
        put_at: stored.put_at,
        files: stored.files.clone(),
    }))
}

/// Stores a role bundle; a release can then name it.
pub(in crate::api) async fn put_bundle(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(request): JsonBody<BundleRequest>,
) -> Result<(StatusCode, Json<BundleCreated>), ApiError> {
    let files = whole(&api, request)?;
    let files = examined(files).await?;
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

/// The files of a bundle that may be another one's with changes.
fn whole(api: &Api, request: BundleRequest) -> Result<BTreeMap<String, String>, ApiError> {
    let Some(from) = request.from else {
        return Ok(request.files);
    };
    let stored = api.view(|state| state.bundles.get(&from).map(|bundle| bundle.files.clone()));
    let mut files = stored.ok_or_else(|| ApiError::not_found("bundle", &from.to_string()))?;
    for (path, text) in request.files {
        // An empty file says nothing, so it stands for none.
        if text.is_empty() {
            files.remove(&path);
        } else {
            files.insert(path, text);
        }
    }
    Ok(files)
}

/// Refuses a bundle whose catalogue of providers does not do what it says. Here and not where the log
/// is applied: what an engine of expressions thinks may change with its version, the log must not.
async fn examined(files: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    let work = tokio::task::spawn_blocking(move || {
        let fault = Catalogue::examined(&files).err();
        (files, fault)
    });
    let (files, fault) = work.await.map_err(|error| {
        tracing::error!(%error, "the examination of a bundle failed");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the bundle could not be examined; the log has the cause",
        )
    })?;
    match fault {
        None => Ok(files),
        Some(fault) => {
            let line = fault.line.map(|line| format!(" line {line}"));
            let place = format!("files {}{}", fault.file, line.unwrap_or_default());
            let (value, accepted) = match &fault.fault {
                Fault::Value {
                    value, accepted, ..
                } => (value.clone(), accepted.clone()),
                other => (String::new(), other.to_string()),
            };
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let error = ApiError::new(status, "invalid", fault.to_string());
            Err(error.about(&place, &value, &accepted))
        }
    }
}
