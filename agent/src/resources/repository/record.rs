//! What was read of a source, word by word, in the agent's own folder: the files on the machine are written
//! before anybody can say whether the new ones are any good, and the agent may end in between. One record for
//! each source, so that looking at one reads no other's key; it is as long as the two files that it is about.

use super::text::Written;
use super::{ApplyError, text};
use crate::host::Cabinet;

fn place(name: &str) -> String {
    format!("sources-read/{name}")
}

/// Both files as they were read last; one that is damaged is as one that was never written.
pub(super) fn last_read(notes: &Cabinet, name: &str) -> Option<Written> {
    notes.read(&place(name)).unwrap_or_else(|error| {
        tracing::warn!(%error, "a source of packages is read again");
        None
    })
}

/// The same, where it is for the places of another one: a machine that has changed its tool has no use for it.
pub(super) fn last_read_there(notes: &Cabinet, name: &str, wanted: &Written) -> Option<Written> {
    last_read(notes, name).filter(|last| (&last.source, &last.key) == (&wanted.source, &wanted.key))
}

pub(super) fn keep(notes: &Cabinet, name: &str, read: &Written) {
    if let Err(error) = notes.write(&place(name), read) {
        tracing::warn!(%error, "source {} will be read again", text::id(name));
    }
}

/// From here on nothing of it comes back.
pub(super) fn forget(notes: &Cabinet, name: &str) -> Result<(), ApplyError> {
    let gone = notes.remove(&place(name));
    gone.map_err(|error| ApplyError::Refused(error.to_string()))
}
