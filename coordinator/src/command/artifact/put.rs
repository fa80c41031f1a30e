//! `put-artifact-piece`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;

use super::{Piece, known};
use crate::command::Rejection;
use crate::command::RejectionCode::Invalid;
use crate::command::content::{hold, store};
use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::state::FleetState;

/// See [`Command::PutArtifactPiece`](crate::command::Command::PutArtifactPiece).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutArtifactPiece {
    /// Of which artifact.
    pub sha256: ContentHash,
    /// Which piece, from 0.
    pub at: u32,
    /// Its bytes.
    pub bytes: Piece,
}

impl Verb for PutArtifactPiece {
    fn name(&self) -> &'static str {
        "put-artifact-piece"
    }

    fn object(&self) -> String {
        super::object(&self.sha256)
    }

    /// The upload as a whole is what changes the fleet; of an entry for each of its pieces nobody has
    /// anything, and a repeated one is harmless.
    fn is_change_of_fleet(&self) -> bool {
        false
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let artifact = known(state, "sha256", &self.sha256)?;
        let at = self.at as usize;
        let Some(piece) = artifact.pieces.get(at).copied() else {
            let accepted = format!("0 to {}", artifact.pieces.len().saturating_sub(1));
            return Err(refuse(Invalid, "at", &self.at, accepted));
        };
        let (got, length) = (self.bytes.0.len() as u64, artifact.piece_length(at));
        if got != length {
            let accepted = format!("{length} bytes, as piece {at} has");
            return Err(refuse(Invalid, "bytes", &got, accepted));
        }
        let real = ContentHash::of(&self.bytes.0);
        if real != piece {
            let accepted = format!("bytes of piece {at}, which have the hash {piece}");
            return Err(refuse(Invalid, "bytes", &real, accepted));
        }
        if !artifact.missing.contains(&piece) {
            return Ok(Change::NONE);
        }
        if !hold(state, &piece) {
            store(state, piece, &self.bytes.0, turn);
        }
        if let Some(artifact) = state.artifacts.get_mut(&self.sha256) {
            let artifact = Arc::make_mut(artifact);
            artifact.missing.remove(&piece);
            artifact.touched_at = turn.now();
        }
        Ok(Change::DONE)
    }
}
