//! Files of an operator that hosts are given, in pieces that are stored as every body is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ArtifactName, HostId};
use email_engine_protocol::limits::ARTIFACT_PIECE_BYTES;
use email_engine_protocol::time::Timestamp;

use crate::state::{FleetState, Host};

/// An artifact, whole or on its way. It never changes otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// A name for people.
    pub name: String,
    /// Its size in bytes.
    pub length: u64,
    /// SHA-256 of each piece, in order. One may stand there more than once.
    pub pieces: Vec<ContentHash>,
    /// Those of them that have not come.
    pub missing: BTreeSet<ContentHash>,
    /// Its content is sensitive: hosts keep it from everybody, and nobody is shown it.
    pub secret: bool,
    /// When its upload began.
    pub begun_at: Timestamp,
    /// When something of it came last.
    pub touched_at: Timestamp,
    /// When it was whole; absent while it is not.
    pub finished_at: Option<Timestamp>,
}

impl Artifact {
    /// Label of a host that says which artifact a name stands for there: `artifact-NAME`.
    pub const LABEL: &str = "artifact-";
    /// What that label says where the name stands for nothing, whatever the settings say.
    pub const NONE: &str = "none";

    /// Pieces that came, each once: those whose bodies it holds.
    #[must_use]
    pub fn held(&self) -> BTreeSet<ContentHash> {
        let pieces = self.pieces.iter().copied();
        pieces
            .filter(|piece| !self.missing.contains(piece))
            .collect()
    }

    /// Number of pieces that so many bytes are cut into.
    #[must_use]
    pub const fn pieces_of(length: u64) -> u64 {
        length.div_ceil(ARTIFACT_PIECE_BYTES)
    }

    /// Size of the piece at this place.
    #[must_use]
    pub fn piece_length(&self, at: usize) -> u64 {
        let before = ARTIFACT_PIECE_BYTES.saturating_mul(at as u64);
        self.length.saturating_sub(before).min(ARTIFACT_PIECE_BYTES)
    }
}

impl FleetState {
    /// Which artifact a name of role files stands for on a host: its own label says so, or the settings
    /// that its release pins. The label may say that it stands for nothing there.
    #[must_use]
    pub fn artifact_of(&self, host: &Host, name: &ArtifactName) -> Option<ContentHash> {
        let label = host.spec.labels.get(&format!("{}{name}", Artifact::LABEL));
        label.map_or_else(
            || {
                self.artifact_names
                    .get(&host.release.settings)?
                    .get(name)
                    .copied()
            },
            |text| text.parse().ok(),
        )
    }

    /// What artifacts are called by the newest settings.
    #[must_use]
    pub fn newest_artifact_names(&self) -> BTreeMap<ArtifactName, ContentHash> {
        let newest = self.settings.keys().next_back();
        let names = newest.and_then(|revision| self.artifact_names.get(revision));
        names
            .map(|names| names.as_ref().clone())
            .unwrap_or_default()
    }

    /// Hosts whose target has all pieces of an artifact.
    pub fn hosts_with<'a>(&'a self, artifact: &'a Artifact) -> impl Iterator<Item = &'a HostId> {
        let bodies = self.target_bodies.iter();
        let has_all = |held: &BTreeSet<ContentHash>| {
            let mut pieces = artifact.pieces.iter();
            pieces.all(|piece| held.contains(piece))
        };
        bodies.filter_map(move |(host, held)| has_all(held).then_some(host))
    }

    /// Who names an artifact, in words.
    #[must_use]
    pub fn named_by(&self, sha256: &ContentHash) -> Option<String> {
        for (revision, names) in &self.artifact_names {
            if let Some((name, _)) = names.iter().find(|(_, named)| *named == sha256) {
                return Some(format!("settings revision {revision} names it {name}"));
            }
        }
        let text = sha256.to_string();
        for (id, host) in self.live_hosts() {
            let mut labels = host.spec.labels.iter();
            let names = labels.find(|(key, value)| {
                key.starts_with(Artifact::LABEL) && value.eq_ignore_ascii_case(&text)
            });
            if let Some((key, _)) = names {
                return Some(format!("label {key} of host {id} names it"));
            }
        }
        let artifact = self.artifacts.get(sha256)?;
        let host = self.hosts_with(artifact).next()?;
        Some(format!("the target of host {host} has it"))
    }
}
