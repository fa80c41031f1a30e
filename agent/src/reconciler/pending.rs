//! Notifications that are owed: written down before the change that causes them, struck out after
//! they were given, so that a crash between the two delays a reload and never loses it.

use std::collections::BTreeSet;

use email_engine_protocol::id::ResourceId;

use crate::host::{Cabinet, RecordError};

const RECORD: &str = "pending";

/// Who is owed a notification.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    owed: BTreeSet<ResourceId>,
}

impl Pending {
    /// Reads what an earlier life left.
    ///
    /// # Errors
    /// When it is damaged or unreadable.
    pub fn read(cabinet: &Cabinet) -> Result<Self, RecordError> {
        Ok(Self {
            owed: cabinet.read(RECORD)?.unwrap_or_default(),
        })
    }

    /// Whether somebody is owed a notification.
    #[must_use]
    pub fn owes(&self, id: &ResourceId) -> bool {
        self.owed.contains(id)
    }

    /// Who is owed one.
    #[must_use]
    pub const fn owed(&self) -> &BTreeSet<ResourceId> {
        &self.owed
    }

    /// Makes this set durable when it is another than before.
    ///
    /// # Errors
    /// When the disk refuses: then nothing may be changed that would have to be told.
    pub fn set(
        &mut self,
        cabinet: &Cabinet,
        owed: BTreeSet<ResourceId>,
    ) -> Result<(), RecordError> {
        if owed != self.owed {
            cabinet.write(RECORD, &owed)?;
            self.owed = owed;
        }
        Ok(())
    }
}
