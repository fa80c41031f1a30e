//! The action that the agent left to itself when it was ended, until the next life has said so.

use email_engine_protocol::id::ResourceId;

use crate::host::{Cabinet, RecordError};

pub(super) const RECORD: &str = "interrupted";

/// Notes it.
///
/// # Errors
/// When the disk refuses.
pub fn note(cabinet: &Cabinet, id: &ResourceId) -> Result<(), RecordError> {
    cabinet.write(RECORD, id)
}

/// What was noted, once.
///
/// # Errors
/// When it cannot be read or removed.
pub fn take(cabinet: &Cabinet) -> Result<Option<ResourceId>, RecordError> {
    let noted = cabinet.read(RECORD);
    cabinet.remove(RECORD)?;
    noted
}
