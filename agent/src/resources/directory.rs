//! A folder: its kind, mode and owner. What is in it is not its business.

use email_engine_protocol::desired::DirectorySpec;

use super::access::Access;
use super::{ApplyError, Finding};
use crate::host::{EntryKind, Machine};

fn access(spec: &DirectorySpec) -> Access<'_> {
    Access {
        mode: spec.mode,
        owner: spec.owner.as_deref(),
        group: spec.group.as_deref(),
    }
}

pub(super) fn observe(machine: &Machine, spec: &DirectorySpec) -> Finding {
    let entry = match machine.files.look(&spec.path) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Finding::Differs("missing".to_owned()),
        Err(error) => return Finding::Differs(error.to_string()),
    };
    if entry.kind != EntryKind::Directory {
        return Finding::Differs(format!("{}, not a directory", entry.kind.as_str()));
    }
    match access(spec).diff(machine, &entry) {
        Ok(diff) if diff.is_empty() => access(spec)
            .unverified(machine)
            .map_or(Finding::Right, Finding::Unverified),
        Ok(diff) => Finding::Differs(diff.join("; ")),
        Err(error) => Finding::Differs(error.to_string()),
    }
}

pub(super) fn apply(machine: &Machine, spec: &DirectorySpec) -> Result<(), ApplyError> {
    let found = machine.files.look(&spec.path)?;
    let is_folder = found.is_some_and(|entry| entry.kind == EntryKind::Directory);
    let (uid, gid) = machine.owners(spec.owner.as_deref(), spec.group.as_deref())?;
    if !is_folder {
        machine.files.clear_way(&spec.path)?;
        machine.files.make_folder(&spec.path)?;
    }
    let kind = EntryKind::Directory;
    Ok(machine
        .files
        .set_access(&spec.path, kind, spec.mode, uid, gid)?)
}
