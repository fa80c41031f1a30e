//! `/artifacts` and `/artifact-names`: files of an operator that hosts are given. They come in pieces,
//! each of which may be sent again; their content is never answered.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use bytes::Bytes;

use email_engine_protocol::api::{ArtifactNameRequest, ArtifactRequest, ArtifactView};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::ArtifactName;
use ring::digest;

use super::Effect;
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::command::{
    BeginArtifact, Command, FinishArtifact, NameArtifact, Piece, PutArtifactPiece, Rejection,
    RejectionCode, RemoveArtifact,
};
use crate::raft::StoreError;
use crate::state::{Artifact, FleetState};

/// All artifacts, without their content.
pub(in crate::api) async fn list(State(api): State<Arc<Api>>) -> Json<Vec<ArtifactView>> {
    Json(api.view(|state| {
        let artifacts = state.artifacts.iter();
        artifacts
            .map(|(sha256, one)| view(state, sha256, one))
            .collect()
    }))
}

/// One of them.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Named(sha256): Named<ContentHash>,
) -> Result<Json<ArtifactView>, ApiError> {
    answer(&api, &sha256).map(Json)
}

fn answer(api: &Api, sha256: &ContentHash) -> Result<ArtifactView, ApiError> {
    let found = api.view(|state| {
        let artifact = state.artifacts.get(sha256)?;
        Some(view(state, sha256, artifact))
    });
    found.ok_or_else(|| ApiError::not_found("artifact", &sha256.to_string()))
}

fn view(state: &FleetState, sha256: &ContentHash, artifact: &Artifact) -> ArtifactView {
    let pieces = artifact.pieces.iter().zip(0..);
    let names = state.newest_artifact_names();
    let named = names.into_iter().filter(|(_, named)| named == sha256);
    ArtifactView {
        sha256: *sha256,
        name: artifact.name.clone(),
        length: artifact.length,
        secret: artifact.secret,
        pieces: u32::try_from(artifact.pieces.len()).unwrap_or(u32::MAX),
        missing: pieces
            .filter(|(piece, _)| artifact.missing.contains(*piece))
            .map(|(_, at)| at)
            .collect(),
        begun_at: artifact.begun_at,
        finished_at: artifact.finished_at,
        named: named.map(|(name, _)| name).collect(),
        hosts: state.hosts_with(artifact).cloned().collect(),
    }
}

/// Begins an upload, or says what an earlier one still lacks.
pub(in crate::api) async fn begin(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(request): JsonBody<ArtifactRequest>,
) -> Result<(StatusCode, Json<ArtifactView>), ApiError> {
    let bounds = api.artifacts;
    if request.length > bounds.largest_bytes {
        let accepted = format!(
            "at most {} bytes, as artifacts.largest_bytes of this node says",
            bounds.largest_bytes
        );
        let length = request.length.to_string();
        return Err(ApiError::invalid("length", &length, &accepted));
    }
    let sha256 = request.sha256;
    let command = Command::BeginArtifact(BeginArtifact {
        name: request.name,
        length: request.length,
        sha256,
        pieces: request.pieces,
        secret: request.secret,
        total_limit: bounds.total_bytes,
    });
    api.commit_here(&write, command).await?;
    Ok((StatusCode::CREATED, Json(answer(&api, &sha256)?)))
}

/// Takes one piece. The same again changes nothing.
pub(in crate::api) async fn put_piece(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Path((sha256, at)): Path<(String, String)>,
    bytes: Bytes,
) -> Result<StatusCode, ApiError> {
    let sha256 = sha256
        .parse()
        .map_err(|_| ApiError::not_found("artifact", &sha256))?;
    let at = at.parse().map_err(|_| ApiError::not_found("piece", &at))?;
    let bytes = Piece(bytes.into());
    let command = Command::PutArtifactPiece(PutArtifactPiece { sha256, at, bytes });
    api.commit(&write, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads all pieces and, when together they are what was announced, makes the artifact one that hosts
/// may be given. One that is not is dropped: none of its pieces can be what is wrong with it.
pub(in crate::api) async fn finish(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(sha256): Named<ContentHash>,
) -> Result<Json<ArtifactView>, ApiError> {
    let before = answer(&api, &sha256)?;
    // What comes in between would not be part of what was hashed.
    let missing = before.missing.len();
    if missing > 0 {
        return Err(ApiError::from(Rejection {
            code: RejectionCode::WrongState,
            field: "sha256".to_owned(),
            value: sha256.to_string(),
            accepted: format!("an artifact whose pieces are all there; {missing} are missing"),
        }));
    }
    if before.finished_at.is_none() {
        let real = hash_of_whole(&api, sha256).await?;
        if real != sha256 {
            let expired = false;
            let command = Command::RemoveArtifact(RemoveArtifact { sha256, expired });
            api.commit(&write, command).await?;
            let accepted = format!("the hash of its pieces in their order, {real}");
            return Err(ApiError::invalid("sha256", &sha256.to_string(), &accepted));
        }
    }
    let command = Command::FinishArtifact(FinishArtifact { sha256 });
    api.commit_here(&write, command).await?;
    answer(&api, &sha256).map(Json)
}

/// Reads piece by piece: the whole would not fit the memory of a node that many ask at once.
async fn hash_of_whole(api: &Arc<Api>, sha256: ContentHash) -> Result<ContentHash, ApiError> {
    let pieces = api.view(|state| {
        let found = state.artifacts.get(&sha256);
        found.map(|artifact| artifact.pieces.clone())
    });
    let pieces = pieces.ok_or_else(|| ApiError::not_found("artifact", &sha256.to_string()))?;
    let api = Arc::clone(api);
    let read = tokio::task::spawn_blocking(move || {
        let mut whole = digest::Context::new(&digest::SHA256);
        for piece in &pieces {
            let Some(bytes) = api.fleet.body(piece)? else {
                return Ok(None);
            };
            whole.update(&bytes);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(whole.finish().as_ref());
        Ok::<_, StoreError>(Some(ContentHash(hash)))
    });
    let read = read.await.map_err(|error| {
        tracing::error!(%error, "the pieces of an artifact could not be read");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ApiError::new(
            status,
            "internal",
            "the pieces could not be read; the log has the cause",
        )
    })?;
    read?.ok_or_else(|| {
        let detail = "a piece is not on this node any more: the artifact was just removed";
        ApiError::new(StatusCode::CONFLICT, "wrong-state", detail)
    })
}

/// Removes one that nothing names.
pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(sha256): Named<ContentHash>,
) -> Result<StatusCode, ApiError> {
    let expired = false;
    let command = Command::RemoveArtifact(RemoveArtifact { sha256, expired });
    api.commit(&write, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says which artifact a name of role files stands for.
pub(in crate::api) async fn name(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Query(effect): Query<Effect>,
    Named(name): Named<ArtifactName>,
    JsonBody(request): JsonBody<ArtifactNameRequest>,
) -> Result<Json<ArtifactView>, ApiError> {
    let command = Command::NameArtifact(NameArtifact {
        name,
        artifact: Some(request.sha256),
        release: effect.release,
    });
    api.commit_here(&write, command).await?;
    answer(&api, &request.sha256).map(Json)
}

/// Takes a name away.
pub(in crate::api) async fn unname(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Query(effect): Query<Effect>,
    Named(name): Named<ArtifactName>,
) -> Result<StatusCode, ApiError> {
    let command = Command::NameArtifact(NameArtifact {
        name,
        artifact: None,
        release: effect.release,
    });
    api.commit(&write, command).await?;
    Ok(StatusCode::NO_CONTENT)
}
