//! Verbs about files of an operator that hosts are given. An upload begins with a list of its pieces,
//! so that each can be judged by itself when it comes, in any order and as often as need be.

mod begin;
mod finish;
mod name;
mod piece;
mod put;
mod remove;

pub use begin::BeginArtifact;
pub use finish::FinishArtifact;
pub use name::NameArtifact;
pub use piece::Piece;
pub use put::PutArtifactPiece;
pub(crate) use remove::IDLE_MILLIS;
pub use remove::RemoveArtifact;

use email_engine_protocol::bytes::ContentHash;

use super::Rejection;
use super::refuse::not_found;
use crate::state::{Artifact, FleetState};

fn known<'a>(
    state: &'a FleetState,
    field: &str,
    sha256: &ContentHash,
) -> Result<&'a Artifact, Rejection> {
    let found = state.artifacts.get(sha256);
    found
        .map(AsRef::as_ref)
        .ok_or_else(|| not_found(field, sha256, "artifact"))
}

fn object(sha256: &ContentHash) -> String {
    format!("artifact {sha256}")
}

#[cfg(test)]
mod tests;
