//! `/hosts/{id}/config`: what a host is, or would be, given. Secrets are named, never shown. And
//! `/hosts/{id}/allow-restart`: what of it only a restart brings into force.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    HostView, RenderedConfig, RenderedFile, RestartRequest, RestartView,
};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{FileContent, HostConfig, Spec};
use email_engine_protocol::id::HostId;

use super::apply::beside;
use super::hosts;
use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{AllowRestart, Command, Rejection};
use crate::planner;
use crate::raft::StoreError;
use crate::state::TargetRecord;

const BODY_MISSING: &str = "body-missing";
/// How often a target is read that moves while its contents are.
const LOOKS: usize = 5;

/// Which configuration is asked for.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::api) struct Which {
    /// Planned from the state now, instead of the target that is stored.
    #[serde(default)]
    proposed: bool,
}

/// What a host is, or would be, given.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(host): Named<HostId>,
    Query(which): Query<Which>,
) -> Result<Json<RenderedConfig>, ApiError> {
    if which.proposed {
        target(&api, &caller, &host)?;
        let planned = api.planning.config(&api.copy_of_state(), &host)?;
        let files = files(&planned.config, |hash| {
            Ok(planned.bodies.get(hash).cloned())
        })?;
        return Ok(Json(RenderedConfig {
            notes: planned.flags,
            ..rendered(planned.config, None, files)
        }));
    }
    let mut wanted = wanted(&api, &caller, &host)?;
    for _ in 1..LOOKS {
        match stored(&api, &host, &wanted) {
            Err(error) if error.code() == BODY_MISSING => {}
            answer => return answer,
        }
        // What nobody targets any more is dropped: the next target has its contents.
        let next = self::wanted(&api, &caller, &host)?;
        if next.digest == wanted.digest {
            break;
        }
        wanted = next;
    }
    stored(&api, &host, &wanted)
}

/// The target of a host that the caller may see, if it has one.
fn target(api: &Api, caller: &Caller, host: &HostId) -> Result<Option<TargetRecord>, ApiError> {
    let target = api.view(|state| {
        let known = state.hosts.get(host)?;
        let seen = caller.sees(known.spec.tenant.as_ref());
        seen.then(|| state.targets.get(host).cloned())
    });
    target.ok_or_else(|| ApiError::not_found("host", host.as_str()))
}

fn wanted(api: &Api, caller: &Caller, host: &HostId) -> Result<TargetRecord, ApiError> {
    target(api, caller, host)?.ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not-planned",
            format!("host {host} has no target yet; ask with proposed=true for what it would get"),
        )
    })
}

fn stored(
    api: &Api,
    host: &HostId,
    target: &TargetRecord,
) -> Result<Json<RenderedConfig>, ApiError> {
    let body = |hash: &ContentHash| Ok(api.fleet.body(hash)?.map(|bytes| bytes.to_vec()));
    let manifest = body(&target.digest)?.ok_or_else(|| missing(&target.digest))?;
    let config = HostConfig::from_bytes(&manifest).map_err(|error| {
        tracing::error!(%error, host = %host, "a stored manifest is not one");
        missing(&target.digest)
    })?;
    let files = files(&config, body)?;
    Ok(Json(rendered(config, Some(target.generation), files)))
}

fn rendered(
    config: HostConfig,
    generation: Option<email_engine_protocol::generation::Generation>,
    files: Vec<RenderedFile>,
) -> RenderedConfig {
    RenderedConfig {
        host: config.host.clone(),
        generation,
        digest: config.digest(),
        resources: config.resources,
        files,
        notes: Vec::new(),
    }
}

fn files(
    config: &HostConfig,
    body: impl Fn(&ContentHash) -> Result<Option<Vec<u8>>, StoreError>,
) -> Result<Vec<RenderedFile>, ApiError> {
    let mut read: BTreeMap<ContentHash, String> = BTreeMap::new();
    let mut files = Vec::new();
    for resource in &config.resources {
        let Spec::File(file) = &resource.spec else {
            continue;
        };
        let text = match &file.content {
            FileContent::Artifact(artifact) => {
                format!("(artifact {}, {} bytes)", artifact.sha256, artifact.length)
            }
            FileContent::Secret(secret) => {
                format!("(secret {} version {})", secret.id, secret.version)
            }
            FileContent::Variable { name, secret } => {
                format!("{name}=(secret {} version {})", secret.id, secret.version)
            }
            FileContent::Body { hash, .. } => {
                if !read.contains_key(hash) {
                    let bytes = body(hash)?.ok_or_else(|| missing(hash))?;
                    read.insert(*hash, String::from_utf8_lossy(&bytes).into_owned());
                }
                read.get(hash).cloned().unwrap_or_default()
            }
        };
        files.push(RenderedFile {
            path: file.path.to_string(),
            text,
        });
    }
    Ok(files)
}

fn missing(hash: &ContentHash) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        BODY_MISSING,
        format!("content {hash} is not on this node any more: the target just moved; ask again"),
    )
}

/// What a restart of a host's product would be allowed for now.
pub(in crate::api) async fn show_restart(
    State(api): State<Arc<Api>>,
    Named(host): Named<HostId>,
) -> Result<Json<RestartView>, ApiError> {
    restart_of(&api, host).await.map(Json)
}

/// Allows a restart of a host's product for the lines that the operator looked at, and for no others.
pub(in crate::api) async fn allow_restart(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(host): Named<HostId>,
    JsonBody(looked_at): JsonBody<RestartRequest>,
) -> Result<(StatusCode, Json<HostView>), ApiError> {
    if write.replayed.is_none() {
        let now = restart_of(&api, host.clone()).await?;
        if now.lines.is_empty() {
            let detail = format!("nothing on host {host} ever needs a restart");
            return Err(ApiError::new(StatusCode::CONFLICT, "wrong-state", detail));
        }
        if now.digest != looked_at.digest {
            return Err(others_by_now(&now, &looked_at));
        }
    }
    let command = Command::AllowRestart(AllowRestart {
        host: host.clone(),
        lines: looked_at.digest,
    });
    api.commit_here(&write, command).await?;
    let view = hosts::answer(&api, &write.caller, &host).await?;
    Ok((StatusCode::OK, Json(view)))
}

fn others_by_now(now: &RestartView, looked_at: &RestartRequest) -> ApiError {
    let lines = now.lines.join("; ");
    let detail = format!(
        "the lines of host {} that need a restart are others by now: {lines}; look at them and allow \
         digest {}",
        now.host, now.digest
    );
    let (value, accepted) = (looked_at.digest.to_string(), now.digest.to_string());
    ApiError::new(StatusCode::CONFLICT, "other-restart", detail).about("digest", &value, &accepted)
}

/// Plans a host on a copy, beside the threads that serve.
async fn restart_of(api: &Api, host: HostId) -> Result<RestartView, ApiError> {
    if !api.view(|state| state.live_host(&host).is_some()) {
        return Err(ApiError::not_found("host", host.as_str()));
    }
    let planning = Arc::clone(&api.planning);
    let planned = beside(api, move |state| {
        let planned = planning.config(state, &host)?;
        let lines = planner::restart_wanted(&planned.config);
        let digest = planner::restart_digest(&lines);
        let allowed = state.restart_allowed.get(&host);
        Ok::<_, Rejection>(RestartView {
            allowed: allowed.is_some_and(|allowed| allowed.lines == digest),
            host,
            lines,
            digest,
        })
    });
    Ok(planned.await??)
}
