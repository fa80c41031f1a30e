//! `begin-artifact`.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::limits;

use crate::command::RejectionCode::{AlreadyExists, Invalid, Limit, StorageFull};
use crate::command::content::hold;
use crate::command::refuse::{at_most, refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Effect, Rejection};
use crate::state::{Artifact, FleetState};

/// Most artifacts that are stored at once.
const ARTIFACTS: usize = 1_000;

/// See [`Command::BeginArtifact`](crate::command::Command::BeginArtifact).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginArtifact {
    /// A name for people.
    pub name: String,
    /// Its size in bytes.
    pub length: u64,
    /// SHA-256 of the whole.
    pub sha256: ContentHash,
    /// SHA-256 of each piece, in order.
    pub pieces: Vec<ContentHash>,
    /// Its content is sensitive.
    pub secret: bool,
    /// Most bytes that all artifacts together may have, as whoever proposes it was told: a limit of a
    /// machine's disk is none of the state's, and every node must judge alike.
    pub total_limit: u64,
}

impl Verb for BeginArtifact {
    fn name(&self) -> &'static str {
        "begin-artifact"
    }

    fn object(&self) -> String {
        super::object(&self.sha256)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        self.is_well_formed()?;
        if let Some(known) = state.artifacts.get(&self.sha256) {
            return self.again(known).map(Change::Kept);
        }
        at_most("artifacts", state.artifacts.len() + 1, ARTIFACTS)?;
        self.fits(state)?;
        let mut missing: BTreeSet<ContentHash> = self.pieces.iter().copied().collect();
        // What another artifact brought already is not asked for again.
        missing.retain(|piece| !hold(state, piece));
        let artifact = Artifact {
            name: self.name.clone(),
            length: self.length,
            pieces: self.pieces.clone(),
            missing,
            secret: self.secret,
            begun_at: turn.now(),
            touched_at: turn.now(),
            finished_at: None,
        };
        state.artifacts.insert(self.sha256, Arc::new(artifact));
        Ok(Change::DONE)
    }
}

impl BeginArtifact {
    fn is_well_formed(&self) -> Result<(), Rejection> {
        text("name", &self.name)?;
        if !(1..=limits::ARTIFACT_BYTES).contains(&self.length) {
            let accepted = format!("1 to {} bytes", limits::ARTIFACT_BYTES);
            return Err(refuse(Limit, "length", &self.length, accepted));
        }
        let needed = Artifact::pieces_of(self.length);
        if self.pieces.len() as u64 != needed {
            let accepted = format!(
                "{needed} pieces: {} bytes in pieces of {}",
                self.length,
                limits::ARTIFACT_PIECE_BYTES
            );
            return Err(refuse(Invalid, "pieces", &self.pieces.len(), accepted));
        }
        // The last piece has a size of its own, so it is none of the others.
        let (last, others) = self.pieces.split_last().unwrap_or((&self.sha256, &[]));
        let is_short = !self.length.is_multiple_of(limits::ARTIFACT_PIECE_BYTES);
        if is_short && others.contains(last) {
            let accepted = "a last piece that is none of the others, which are longer";
            return Err(refuse(Invalid, "pieces", last, accepted));
        }
        if needed == 1 && *last != self.sha256 {
            let accepted = "the hash of the whole, of which there is one piece";
            return Err(refuse(Invalid, "pieces", last, accepted));
        }
        Ok(())
    }

    /// Whoever begins the same again goes on with it.
    fn again(&self, known: &Artifact) -> Result<Effect, Rejection> {
        if known.length != self.length || known.pieces != self.pieces {
            let accepted =
                "the same length and pieces as when its upload began; or remove it first";
            return Err(refuse(AlreadyExists, "sha256", &self.sha256, accepted));
        }
        if known.secret != self.secret {
            let accepted = format!(
                "{}, as when its upload began; or remove it first",
                known.secret
            );
            return Err(refuse(AlreadyExists, "secret", &self.secret, accepted));
        }
        Ok(Effect::Unchanged)
    }

    fn fits(&self, state: &FleetState) -> Result<(), Rejection> {
        let stored: u64 = state.artifacts.values().map(|one| one.length).sum();
        let room = self.total_limit.saturating_sub(stored);
        if self.length <= room {
            return Ok(());
        }
        let accepted = format!(
            "at most {room} bytes: {stored} of {} are taken; remove artifacts that nothing names, or \
             raise artifacts.total_bytes of the nodes",
            self.total_limit
        );
        Err(refuse(StorageFull, "length", &self.length, accepted))
    }
}
