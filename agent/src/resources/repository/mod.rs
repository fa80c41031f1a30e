//! A source of packages: a file that the package tool reads, and a key of its own beside it.
//!
//! Its lists are read, by that key alone, before it counts as right, so that the packages that come after
//! it can be installed. What cannot be read does not stay: one source that is no good would be in the way of
//! everything else that is installed here. Which files were read is written down, so that looking starts
//! no program. In a sandbox the files are real, and reading is only written down.

mod text;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{HostPath, OnRemove, PackageRepositorySpec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;

use self::text::{Written, written};
use super::{ApplyError, Finding};
use crate::host::{EntryKind, FileError, Machine, NewFile, PackageForm, SystemError};
use crate::inventory::Item;

/// What was read of which source, in the agent's own folder.
const READ: &str = "package-sources";
const MODE: u32 = 0o644;
/// A key with its file's own words, or a source with all that it may name.
const LIMIT: u64 = limits::REPOSITORY_KEY_BYTES as u64 * 2;
/// From a try that failed to the next one: who does not answer keeps everything waiting.
const PAUSE: Duration = Duration::from_secs(120);

/// Hash of both files of a source, by its name.
type Read = BTreeMap<String, ContentHash>;

/// A file that shall be.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    path: &'a HostPath,
    text: &'a str,
}

pub(super) fn observe(machine: &mut Machine, spec: &PackageRepositorySpec) -> Finding {
    let wanted = match for_machine(machine, spec) {
        Ok(wanted) => wanted,
        Err(ApplyError::Refused(reason)) => return Finding::Differs(reason),
        Err(error) => return Finding::Unknown(error.to_string()),
    };
    let mut diff = Vec::new();
    for file in files(&wanted) {
        match differs(machine, file) {
            Ok(None) => {}
            Ok(Some(what)) => diff.push(format!("{} {what}", file.path)),
            Err(error) => diff.push(error.to_string()),
        }
    }
    if spec.enabled && !is_read(machine, &spec.name, &wanted) {
        diff.push("its lists are not read yet".to_owned());
    }
    match (diff.is_empty(), machine.system.is_simulated()) {
        (false, _) => Finding::Differs(diff.join("; ")),
        (true, true) => Finding::Simulated,
        (true, false) => Finding::Right,
    }
}

pub(super) fn apply(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &PackageRepositorySpec,
) -> Result<(), ApplyError> {
    let wanted = for_machine(machine, spec)?;
    if !spec.enabled || is_read(machine, &spec.name, &wanted) {
        return Ok(place(machine, &wanted)?);
    }
    let now = Instant::now();
    if let Some((at, hash, error)) = machine.unread.get(&spec.name)
        && *hash == hash_of(&wanted)
        && now.duration_since(*at) < PAUSE
    {
        return Err(error.clone().into());
    }
    let before = proven(machine, &spec.name, &wanted);
    place(machine, &wanted)?;
    match read(machine, id, spec, &wanted) {
        Ok(()) => {
            machine.unread.remove(&spec.name);
            Ok(())
        }
        Err(error) => {
            let tried = (now, hash_of(&wanted), error.clone());
            machine.unread.insert(spec.name.clone(), tried);
            match before {
                Some(before) => place(machine, &before)?,
                None => withdraw(machine, &wanted.source, &wanted.key)?,
            }
            Err(error.into())
        }
    }
}

/// Takes both files away, of whichever tool, or has the tool pass over the source.
pub(super) fn remove(machine: &mut Machine, item: &Item, name: &str) -> Result<(), ApplyError> {
    for form in [PackageForm::Deb, PackageForm::Rpm] {
        let (source, key) = text::places(form, name);
        match item.on_remove {
            OnRemove::Delete => withdraw(machine, &source, &key)?,
            OnRemove::Disable => {
                if let Some(text) = current(machine, &source)? {
                    let text = text::disabled(form, &text);
                    let path = &source;
                    put(machine, Wanted { path, text: &text })?;
                }
            }
            OnRemove::Leave => {}
        }
    }
    if item.on_remove == OnRemove::Delete {
        forget(machine, &item.id, name)?;
    }
    Ok(())
}

/// The files in which drift of it shows.
pub(super) fn watched(spec: &PackageRepositorySpec) -> Vec<HostPath> {
    let apt = spec.apt.as_ref().map(|_| PackageForm::Deb);
    let dnf = spec.dnf.as_ref().map(|_| PackageForm::Rpm);
    let forms = apt.into_iter().chain(dnf);
    let places = forms.map(|form| text::places(form, &spec.name));
    places.flat_map(|(source, key)| [source, key]).collect()
}

/// What the tool of this machine shall read.
fn for_machine(machine: &mut Machine, spec: &PackageRepositorySpec) -> Result<Written, ApplyError> {
    let form = match machine.system.package_files() {
        Some(tools) => tools.form()?,
        None if spec.apt.is_some() => PackageForm::Deb,
        None => PackageForm::Rpm,
    };
    written(spec, form).ok_or_else(|| {
        let (has, described) = match form {
            PackageForm::Deb => ("apt", "dnf"),
            PackageForm::Rpm => ("dnf", "apt"),
        };
        ApplyError::Refused(format!(
            "this host installs packages by {has}, and {} is described for {described} alone",
            spec.name
        ))
    })
}

/// The key first: a source without it would be in the way of others.
fn files(wanted: &Written) -> [Wanted<'_>; 2] {
    let of = |path, text| Wanted { path, text };
    [
        of(&wanted.key, &wanted.key_text),
        of(&wanted.source, &wanted.source_text),
    ]
}

fn differs(machine: &Machine, file: Wanted<'_>) -> Result<Option<String>, FileError> {
    let Some(entry) = machine.files.look(file.path)? else {
        return Ok(Some("is missing".to_owned()));
    };
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
    let is_same = machine.files.read(file.path, LIMIT)? == file.text.as_bytes();
    Ok((!is_same).then(|| "has another content".to_owned()))
}

fn place(machine: &Machine, wanted: &Written) -> Result<(), FileError> {
    for file in files(wanted) {
        // What cannot be read there is not right either.
        if !matches!(differs(machine, file), Ok(None)) {
            put(machine, file)?;
        }
    }
    Ok(())
}

fn put(machine: &Machine, file: Wanted<'_>) -> Result<(), FileError> {
    machine.files.make_parents(file.path)?;
    let new = NewFile {
        path: file.path,
        mode: MODE,
        uid: Some(rustix::process::geteuid().as_raw()),
        gid: None,
    };
    machine.files.replace(&new, file.text.as_bytes(), None)
}

/// The source first: without its key it would be in the way of others.
fn withdraw(machine: &Machine, source: &HostPath, key: &HostPath) -> Result<(), FileError> {
    for path in [source, key] {
        machine.files.remove_file(path)?;
        machine.files.sweep(path)?;
    }
    Ok(())
}

/// What stands in a file; nothing where there is no such file.
fn current(machine: &Machine, path: &HostPath) -> Result<Option<String>, FileError> {
    match machine.files.look(path)? {
        Some(entry) if entry.kind == EntryKind::File => {
            let bytes = machine.files.read(path, LIMIT)?;
            Ok(String::from_utf8(bytes).ok())
        }
        _ => Ok(None),
    }
}

/// What is in force here of this source, if it was read once: what somebody else put there comes not back.
fn proven(machine: &Machine, name: &str, wanted: &Written) -> Option<Written> {
    let text = |path| current(machine, path).ok().flatten();
    let before = Written {
        key_text: text(&wanted.key)?,
        source_text: text(&wanted.source)?,
        ..wanted.clone()
    };
    let is_it = known(machine).get(name) == Some(&hash_of(&before));
    is_it.then_some(before)
}

fn hash_of(wanted: &Written) -> ContentHash {
    ContentHash::of(format!("{}\0{}", wanted.source_text, wanted.key_text).as_bytes())
}

fn known(machine: &Machine) -> Read {
    let read = machine.notes.read::<Read>(READ).unwrap_or_else(|error| {
        tracing::warn!(%error, "sources of packages are read again");
        None
    });
    read.unwrap_or_default()
}

/// Under which name a sandbox writes down what would have been read.
fn record(name: &str) -> String {
    format!("lists of package repository {name}")
}

fn is_read(machine: &mut Machine, name: &str, wanted: &Written) -> bool {
    let hash = hash_of(wanted);
    match machine.system.stand_in() {
        Some(stand_in) => stand_in.recorded(&record(name)) == Some(hash.to_string().as_str()),
        None => known(machine).get(name) == Some(&hash),
    }
}

fn read(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &PackageRepositorySpec,
    wanted: &Written,
) -> Result<(), SystemError> {
    let hash = hash_of(wanted);
    if let Some(stand_in) = machine.system.stand_in() {
        return stand_in.record(id, &record(&spec.name), Some(hash.to_string()));
    }
    if let Some(tools) = machine.system.package_files() {
        tools.read_source(wanted.source.as_str(), &text::id(&spec.name))?;
    }
    let mut known = known(machine);
    known.insert(spec.name.clone(), hash);
    if let Err(error) = machine.notes.write(READ, &known) {
        tracing::warn!(%error, "a source of packages will be read again");
    }
    Ok(())
}

fn forget(machine: &mut Machine, id: &ResourceId, name: &str) -> Result<(), ApplyError> {
    machine.unread.remove(name);
    if let Some(stand_in) = machine.system.stand_in() {
        return Ok(stand_in.record(id, &record(name), None)?);
    }
    let mut known = known(machine);
    if known.remove(name).is_some()
        && let Err(error) = machine.notes.write(READ, &known)
    {
        // At worst one that comes back is not read anew.
        tracing::warn!(%error, "a source of packages that is gone counts as read");
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
