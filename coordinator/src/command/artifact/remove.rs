//! `remove-artifact`.

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

use super::known;
use crate::command::Rejection;
use crate::command::RejectionCode::{InUse, WrongState};
use crate::command::content::let_go;
use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::state::FleetState;

/// How long an upload may stand still before it is given up.
pub(crate) const IDLE_MILLIS: u64 = Timestamp::DAY;

/// See [`Command::RemoveArtifact`](crate::command::Command::RemoveArtifact).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveArtifact {
    /// Which.
    pub sha256: ContentHash,
    /// Only when its upload is not finished and has stood still for a day.
    pub expired: bool,
}

impl Verb for RemoveArtifact {
    fn name(&self) -> &'static str {
        "remove-artifact"
    }

    fn object(&self) -> String {
        super::object(&self.sha256)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let artifact = known(state, "sha256", &self.sha256)?;
        let idle = turn.now().since(artifact.touched_at);
        if self.expired && (artifact.finished_at.is_some() || idle < IDLE_MILLIS) {
            let accepted = "an upload that is not finished and has stood still for a day";
            return Err(refuse(WrongState, "sha256", &self.sha256, accepted));
        }
        if artifact.finished_at.is_some()
            && let Some(by) = state.named_by(&self.sha256)
        {
            let accepted = format!("an artifact that nothing names; {by}");
            return Err(refuse(InUse, "sha256", &self.sha256, accepted));
        }
        let held: Vec<ContentHash> = artifact.held().into_iter().collect();
        state.artifacts.remove(&self.sha256);
        let_go(state, &held, turn);
        Ok(Change::DONE)
    }
}
