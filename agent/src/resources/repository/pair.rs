//! The two files of a source on the machine: a source and its key, which come and go together.

use email_engine_protocol::desired::HostPath;
use email_engine_protocol::limits;

use super::text::Written;
use crate::host::{EntryKind, FileError, Machine, NewFile};

const MODE: u32 = 0o644;
/// A key with its file's own words, or a source with all that it may name.
const LIMIT: u64 = limits::REPOSITORY_KEY_BYTES as u64 * 2;

/// A file that shall be.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) path: &'a HostPath,
    pub(super) text: &'a str,
}

/// The key first: a source without it would be in the way of others.
pub(super) fn files(wanted: &Written) -> [Wanted<'_>; 2] {
    let of = |path, text| Wanted { path, text };
    [
        of(&wanted.key, &wanted.key_text),
        of(&wanted.source, &wanted.source_text),
    ]
}

pub(super) fn differs(machine: &Machine, file: Wanted<'_>) -> Result<Option<String>, FileError> {
    let Some(looked) = machine.files.look_closely(file.path)? else {
        return Ok(Some("is missing".to_owned()));
    };
    let entry = &looked.entry;
    if entry.kind != EntryKind::File {
        let what = entry.kind.as_str();
        return Ok(Some(format!("is {what}, not a regular file")));
    }
    if entry.mode != MODE {
        let mode = entry.mode;
        return Ok(Some(format!("has mode {mode:04o}, not {MODE:04o}")));
    }
    if entry.uid != rustix::process::geteuid().as_raw() {
        return Ok(Some(format!("belongs to user {}", entry.uid)));
    }
    let is_same = looked.read(file.path, LIMIT)? == file.text.as_bytes();
    Ok((!is_same).then(|| "has another content".to_owned()))
}

/// Both are written beside their places before one of them is changed: a disk that is full leaves the pair
/// that was there.
pub(super) fn place(machine: &Machine, wanted: &Written) -> Result<(), FileError> {
    let mut due = Vec::new();
    for file in files(wanted) {
        // One that a life before has staged may be due no longer.
        machine.files.sweep(file.path)?;
        // What cannot be read there is not right either.
        if !matches!(differs(machine, file), Ok(None)) {
            due.push(file);
        }
    }
    let mut staged = due.iter().map(|file| stage(machine, *file));
    if let Err(error) = staged.try_for_each(|done| done) {
        for file in &due {
            if let Err(error) = machine.files.sweep(file.path) {
                tracing::warn!(%error, "a copy beside {} stays", file.path);
            }
        }
        return Err(error);
    }
    due.iter()
        .try_for_each(|file| machine.files.swap_in(file.path))
}

pub(super) fn replace(machine: &Machine, path: &HostPath, text: &str) -> Result<(), FileError> {
    let file = new_file(path);
    machine.files.replace(&file, text.as_bytes(), None)
}

fn stage(machine: &Machine, file: Wanted<'_>) -> Result<(), FileError> {
    let bytes = file.text.as_bytes();
    machine.files.stage_beside(&new_file(file.path), bytes)
}

fn new_file(path: &HostPath) -> NewFile<'_> {
    NewFile {
        path,
        mode: MODE,
        uid: Some(rustix::process::geteuid().as_raw()),
        gid: None,
    }
}

/// The source first: without its key it would be in the way of others.
pub(super) fn withdraw(
    machine: &Machine,
    source: &HostPath,
    key: &HostPath,
) -> Result<(), FileError> {
    for path in [source, key] {
        machine.files.remove_file(path)?;
        machine.files.sweep(path)?;
    }
    Ok(())
}

/// What stands in a file; nothing where there is no such file.
pub(super) fn current(machine: &Machine, path: &HostPath) -> Result<Option<String>, FileError> {
    match machine.files.look_closely(path)? {
        Some(looked) if looked.entry.kind == EntryKind::File => {
            let bytes = looked.read(path, LIMIT)?;
            Ok(String::from_utf8(bytes).ok())
        }
        _ => Ok(None),
    }
}

/// Whether a source stands there that is not this one with its key. One that is mended stays until the rest
/// of it, its mode for one, can be.
pub(super) fn is_in_the_way(machine: &Machine, before: &Written) -> bool {
    let stands = |file: Wanted<'_>| {
        let text = current(machine, file.path).ok().flatten();
        text.map(|text| text == file.text)
    };
    let [key, source] = files(before).map(stands);
    source.is_some_and(|is_same| !is_same || key != Some(true))
}
