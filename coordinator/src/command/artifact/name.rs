//! `name-artifact`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::ArtifactName;

use super::known;
use crate::command::Rejection;
use crate::command::RejectionCode::WrongState;
use crate::command::content::{is_room_for_settings, release_settings};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, SettingsRevision};

/// Most names.
const NAMES: usize = 200;

/// See [`Command::NameArtifact`](crate::command::Command::NameArtifact). It is a revision of the settings,
/// one above the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameArtifact {
    /// What role files call it.
    pub name: ArtifactName,
    /// Which artifact that is; nothing takes the name away.
    pub artifact: Option<ContentHash>,
    /// Move all hosts to it now; otherwise they wait for a release.
    pub release: bool,
}

impl Verb for NameArtifact {
    fn name(&self) -> &'static str {
        "name-artifact"
    }

    fn object(&self) -> String {
        match &self.artifact {
            Some(artifact) => format!("artifact name {} for {artifact}", self.name),
            None => format!("artifact name {}", self.name),
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if let Some(sha256) = &self.artifact
            && known(state, "sha256", sha256)?.finished_at.is_none()
        {
            let accepted = "an artifact whose upload is finished";
            return Err(refuse(WrongState, "sha256", sha256, accepted));
        }
        let Some((newest, settings)) = state.newest_settings() else {
            let accepted = "settings are put first";
            return Err(refuse(WrongState, "name", &self.name, accepted));
        };
        let settings = settings.clone();
        let before = state
            .artifact_names
            .get(&newest)
            .cloned()
            .unwrap_or_default();
        let mut names = before.as_ref().clone();
        match self.artifact {
            Some(artifact) => names.insert(self.name.clone(), artifact),
            None => names.remove(&self.name),
        };
        at_most("names", names.len(), NAMES)?;
        let is_new = names != *before;
        let revision = if is_new { newest + 1 } else { newest };
        if is_new {
            is_room_for_settings(state)?;
            let row = SettingsRevision {
                settings,
                put_at: turn.now(),
            };
            state.settings.insert(revision, row);
            state.artifact_names.insert(revision, Arc::new(names));
        }
        let moved = self.release && release_settings(state, revision);
        Ok(if is_new || moved {
            Change::DONE
        } else {
            Change::NONE
        })
    }
}
