//! `finish-artifact`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;

use super::known;
use crate::command::Rejection;
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::state::FleetState;

/// See [`Command::FinishArtifact`](crate::command::Command::FinishArtifact). Whoever proposes it has read
/// all pieces and found that together they have the hash of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishArtifact {
    /// Which.
    pub sha256: ContentHash,
}

impl Verb for FinishArtifact {
    fn name(&self) -> &'static str {
        "finish-artifact"
    }

    fn object(&self) -> String {
        super::object(&self.sha256)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let artifact = known(state, "sha256", &self.sha256)?;
        if artifact.finished_at.is_some() {
            return Ok(Change::NONE);
        }
        let missing = artifact.missing.len();
        if missing > 0 {
            let accepted = format!("an artifact whose pieces are all there; {missing} are missing");
            return Err(refuse(WrongState, "sha256", &self.sha256, accepted));
        }
        if let Some(artifact) = state.artifacts.get_mut(&self.sha256) {
            Arc::make_mut(artifact).finished_at = Some(turn.now());
        }
        Ok(Change::DONE)
    }
}
