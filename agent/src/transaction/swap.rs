//! The files and links of a change: kept as they were, swapped, put back.

use email_engine_protocol::desired::{FileSpec, HostPath, Resource, Spec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::Mode;
use zeroize::Zeroizing;

use super::content::Content;
use super::shelf::Shelf;
use super::standing::{Kept, Previous};
use crate::host::{EntryKind, FileError, Machine, NewFile, RecordError};
use crate::resources::{self, ApplyError, ContentError, Contents};

/// Why files could not be kept, swapped or put back.
#[derive(Debug, thiserror::Error)]
pub(super) enum SwapError {
    /// New content could not be had or its owner is unknown.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A content or a copy is not at hand.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A copy that was kept is gone, and nothing stands in for it.
    #[error("the copy of {0} that was kept is gone")]
    Gone(HostPath),
    /// The agent's own folder refused.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Where a member stands, and whether it is a secret.
fn place_of(member: &Resource) -> Option<(&HostPath, bool)> {
    match &member.spec {
        Spec::File(spec) => Some((&spec.path, spec.content.secret().is_some())),
        Spec::Symlink(spec) => Some((&spec.path, false)),
        _ => None,
    }
}

fn spec_of(member: &Resource) -> Option<&FileSpec> {
    match &member.spec {
        Spec::File(spec) => Some(spec),
        _ => None,
    }
}

/// Keeps sealed copies of what stands where these members shall stand.
pub(super) fn keep(
    machine: &Machine,
    contents: &dyn Contents,
    shelf: &Shelf,
    id: &ResourceId,
    members: &[&Resource],
) -> Result<Vec<Previous>, SwapError> {
    let mut previous = Vec::with_capacity(members.len());
    for (path, secret) in members.iter().filter_map(|member| place_of(member)) {
        let entry = machine.files.look(path)?;
        let kept = match entry {
            Some(entry) if entry.kind == EntryKind::File => {
                let bytes = machine.files.read(path, limits::BODY_BYTES)?;
                let sealed = contents.seal(&Zeroizing::new(bytes))?;
                shelf.keep_copy(id, previous.len(), &sealed)?;
                Kept::Copy {
                    mode: entry.mode,
                    uid: entry.uid,
                    gid: entry.gid,
                }
            }
            Some(entry) if entry.kind == EntryKind::Symlink => {
                let target = machine.files.read_link(path)?;
                target.map_or(Kept::Absent, Kept::Link)
            }
            _ => Kept::Absent,
        };
        previous.push(Previous {
            path: path.clone(),
            secret,
            kept,
        });
    }
    Ok(previous)
}

/// Lays every new file beside the live one, and only then renames them in their order.
pub(super) fn swap(
    machine: &Machine,
    contents: &dyn Contents,
    members: &[&Resource],
) -> Result<(), SwapError> {
    for spec in members.iter().filter_map(|member| spec_of(member)) {
        let bytes = resources::file_bytes(contents, spec)?;
        let (uid, gid) = machine
            .owners(spec.owner.as_deref(), spec.group.as_deref())
            .map_err(ApplyError::Account)?;
        let file = NewFile {
            path: &spec.path,
            mode: spec.mode,
            uid,
            gid,
        };
        machine.files.stage_beside(&file, &bytes)?;
    }
    for member in members {
        match &member.spec {
            Spec::File(spec) => machine.files.swap_in(&spec.path)?,
            Spec::Symlink(spec) => machine.files.make_link(&spec.path, spec.target.as_str())?,
            _ => {}
        }
    }
    Ok(())
}

/// Puts back what a journal says, in the order of the swap; what was not there goes after that, so
/// that the file that names the others never names one that is gone. Repeated as often as it takes.
pub(super) fn put_back(
    machine: &Machine,
    contents: &dyn Contents,
    shelf: &Shelf,
    id: &ResourceId,
    previous: &[Previous],
    good: Option<&Content>,
) -> Result<(), SwapError> {
    for (number, one) in previous.iter().enumerate() {
        let (mode, uid, gid) = match &one.kept {
            Kept::Absent => continue,
            Kept::Copy { mode, uid, gid } => (*mode, *uid, *gid),
            Kept::Link(target) => {
                lead_back(machine, one, target)?;
                continue;
            }
        };
        let real = machine.mode() == Mode::Real;
        let bytes = match shelf.copy(id, number)? {
            Some(sealed) => contents.unseal(&sealed).map_err(SwapError::from),
            None => Err(SwapError::Gone(one.path.clone())),
        };
        // The good content has the same file, unless somebody had touched it.
        let bytes = bytes.or_else(|error| {
            let spec = good.and_then(|good| member_at(good, &one.path));
            let stand_in = spec.map(|spec| resources::file_bytes(contents, spec));
            stand_in.ok_or(error)?.map_err(SwapError::from)
        })?;
        let file = NewFile {
            path: &one.path,
            mode,
            uid: real.then_some(uid),
            gid: real.then_some(gid),
        };
        machine.files.replace(&file, &bytes, None)?;
    }
    for one in previous.iter().rev().filter(|one| one.kept == Kept::Absent) {
        take_away(machine, one)?;
    }
    for one in previous {
        machine.files.sweep(&one.path)?;
    }
    Ok(())
}

/// Takes away what the swap put there; anything but a file or a link is not of it.
fn take_away(machine: &Machine, one: &Previous) -> Result<(), SwapError> {
    let entry = machine.files.look(&one.path)?;
    match entry.map(|entry| entry.kind) {
        Some(EntryKind::File) if one.secret => machine.files.wipe(&one.path)?,
        Some(EntryKind::File | EntryKind::Symlink) => machine.files.remove_file(&one.path)?,
        _ => {}
    }
    Ok(())
}

/// Leads a link where it led before. A file of the swap in its place is nobody's work that would have to be
/// moved aside.
fn lead_back(machine: &Machine, one: &Previous, target: &str) -> Result<(), SwapError> {
    if machine.files.read_link(&one.path)?.as_deref() == Some(target) {
        return Ok(());
    }
    let entry = machine.files.look(&one.path)?;
    if entry.is_some_and(|entry| entry.kind == EntryKind::File) {
        take_away(machine, one)?;
    }
    Ok(machine.files.make_link(&one.path, target)?)
}

fn member_at<'a>(content: &'a Content, path: &HostPath) -> Option<&'a FileSpec> {
    let mut specs = content.members.iter().filter_map(spec_of);
    specs.find(|spec| spec.path == *path)
}
