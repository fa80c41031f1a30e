//! A symbolic link: that it is one, and where it leads.

use email_engine_protocol::desired::{HostPath, SymlinkSpec};

use super::super::{ApplyError, Finding};
use crate::host::{EntryKind, Machine};

pub(super) fn observe(machine: &Machine, spec: &SymlinkSpec) -> Finding {
    match machine.files.look(&spec.path) {
        Ok(Some(entry)) if entry.kind == EntryKind::Symlink => {}
        Ok(Some(entry)) => {
            return Finding::Differs(format!("{}, not a symbolic link", entry.kind.as_str()));
        }
        Ok(None) => return Finding::Differs("missing".to_owned()),
        Err(error) => return Finding::Differs(error.to_string()),
    }
    match machine.files.read_link(&spec.path) {
        Ok(Some(target)) if target == spec.target.as_str() => Finding::Right,
        Ok(Some(target)) => {
            let target: String = target.chars().take(200).collect();
            Finding::Differs(format!("leads to {target:?}, not to {}", spec.target))
        }
        Ok(None) => Finding::Differs("missing".to_owned()),
        Err(error) => Finding::Differs(error.to_string()),
    }
}

pub(super) fn apply(machine: &Machine, spec: &SymlinkSpec) -> Result<(), ApplyError> {
    Ok(machine.files.make_link(&spec.path, spec.target.as_str())?)
}

pub(super) fn remove(machine: &Machine, path: &HostPath) -> Result<(), ApplyError> {
    match machine.files.look(path)? {
        Some(entry) if entry.kind == EntryKind::Symlink => machine.files.remove_file(path)?,
        Some(_) => {
            // Ours is gone; what stands there now is somebody's.
            tracing::warn!(%path, "something else stands where our link was: left alone");
        }
        None => {}
    }
    Ok(machine.files.sweep(path)?)
}
