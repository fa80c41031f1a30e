//! `/hosts/{id}/config`: what a host is, or would be, given. Secrets are named, never shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{RenderedConfig, RenderedFile};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{FileContent, HostConfig, Spec};
use email_engine_protocol::id::HostId;

use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::Named;
use crate::api::routes::Asker;
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
        let (config, bodies) = api.planning.config(&api.copy_of_state(), &host)?;
        let files = files(&config, |hash| Ok(bodies.get(hash).cloned()))?;
        return Ok(Json(rendered(config, None, files)));
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
            FileContent::Secret(secret) => {
                format!("(secret {} version {})", secret.id, secret.version)
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
