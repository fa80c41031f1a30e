//! What we set, with what unsets it: no state names that any more when it is needed.

use email_engine_protocol::desired::{CommandLine, HaltSpec};
use email_engine_protocol::id::ResourceId;
use serde::{Deserialize, Serialize};

use crate::host::{Cabinet, RecordError};

/// Its name in the executor's folder.
pub(crate) const RECORD: &str = "suspensions";

/// One halt that is set, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halted {
    /// The resource that it was last.
    pub id: ResourceId,
    /// What it is. Its `unset` names it.
    pub halt: HaltSpec,
    /// Somebody else had set it before.
    pub theirs: bool,
}

/// Everything that is set.
#[derive(Debug)]
pub struct Record {
    cabinet: Cabinet,
    halted: Vec<Halted>,
    /// Whether it says something else than what is on disk.
    unwritten: bool,
}

impl Record {
    /// Reads it. A damaged one is said and counts as lost: what was set stays so until it is unset by
    /// hand, or is set and let go anew.
    #[must_use]
    pub fn open(cabinet: Cabinet) -> Self {
        let halted = cabinet.read(RECORD).unwrap_or_else(|error| {
            tracing::error!(%error, "what was halted is lost: it has to be let go by hand");
            None
        });
        Self {
            cabinet,
            halted: halted.unwrap_or_default(),
            unwritten: false,
        }
    }

    /// Whether nothing is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.halted.is_empty()
    }

    /// Everything that is set.
    pub fn iter(&self) -> impl Iterator<Item = &Halted> {
        self.halted.iter()
    }

    /// Whether a halt is ours, by the command that unsets it.
    #[must_use]
    pub fn knows(&self, unset: &CommandLine) -> bool {
        let mut all = self.halted.iter();
        all.any(|known| known.halt.unset.command == *unset)
    }

    /// Notes one that is about to be set.
    ///
    /// # Errors
    /// When the disk refuses; it is known in this life, and written with the next change.
    pub fn add(&mut self, halted: Halted) -> Result<(), RecordError> {
        self.halted.push(halted);
        self.write()
    }

    /// Notes what is said of a known one now.
    pub fn renew(&mut self, id: &ResourceId, halt: &HaltSpec) {
        let mut all = self.halted.iter_mut();
        let known = all.find(|one| one.halt.unset.command == halt.unset.command);
        let Some(known) = known else { return };
        let changed = known.id != *id || known.halt != *halt;
        if changed {
            known.id = id.clone();
            known.halt = halt.clone();
        }
        if changed || self.unwritten {
            self.try_write();
        }
    }

    /// Forgets some. After a crash they are let go once more, which is fine.
    pub fn forget(&mut self, gone: impl Fn(&Halted) -> bool) {
        let before = self.halted.len();
        self.halted.retain(|one| !gone(one));
        if self.halted.len() != before || self.unwritten {
            self.try_write();
        }
    }

    fn try_write(&mut self) {
        if let Err(error) = self.write() {
            tracing::error!(%error, "what is halted cannot be noted");
        }
    }

    fn write(&mut self) -> Result<(), RecordError> {
        self.unwritten = true;
        self.cabinet.write(RECORD, &self.halted)?;
        self.unwritten = false;
        Ok(())
    }
}
