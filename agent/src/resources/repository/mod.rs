//! A source of packages: a file that the package tool reads, and a key of its own beside it.
//!
//! Its lists are read, by that key alone, before it counts as right, so that the packages that come after
//! it can be installed. What cannot be read does not stay: one source that is no good would be in the way of
//! everything else that is installed here: what was read before comes back, also in the agent's next life.
//! What was read is written down, so that looking starts no program. In a sandbox the files are real, and
//! reading is only written down.

mod pair;
mod record;
mod text;

use std::time::{Duration, Instant};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{HostPath, OnRemove, PackageRepositorySpec};
use email_engine_protocol::id::ResourceId;

use self::pair::{current, differs, files, is_in_the_way, place, replace, withdraw};
use self::text::{Written, written};
use super::{ApplyError, Finding};
use crate::host::{Machine, PackageForm, SystemError};
use crate::inventory::Item;

/// From a try that failed to the next one: who does not answer keeps everything waiting.
const PAUSE: Duration = Duration::from_secs(120);

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
    if !spec.enabled {
        // Who had it turned off shall not find it turned on again when another form of it fails.
        forget(machine, id, &spec.name)?;
        return Ok(place(machine, &wanted)?);
    }
    if is_read(machine, &spec.name, &wanted) {
        return Ok(place(machine, &wanted)?);
    }
    let now = Instant::now();
    if let Some((at, hash, error)) = machine.unread.get(&spec.name)
        && *hash == hash_of(&wanted)
        && now.duration_since(*at) < PAUSE
    {
        let error = error.clone();
        // It may not have been possible when it failed.
        take_back(machine, &spec.name, &wanted);
        return Err(error.into());
    }
    let done = place(machine, &wanted)
        .map_err(ApplyError::from)
        .and_then(|()| {
            read(machine, id, spec, &wanted).map_err(|error| {
                let tried = (now, hash_of(&wanted), error.clone());
                machine.unread.insert(spec.name.clone(), tried);
                error.into()
            })
        });
    match &done {
        Ok(()) => _ = machine.unread.remove(&spec.name),
        Err(_) => take_back(machine, &spec.name, &wanted),
    }
    done
}

/// Takes both files away, of whichever tool, or has the tool pass over the source.
pub(super) fn remove(machine: &mut Machine, item: &Item, name: &str) -> Result<(), ApplyError> {
    if item.on_remove == OnRemove::Disable {
        forget(machine, &item.id, name)?;
    }
    for form in [PackageForm::Deb, PackageForm::Rpm] {
        let (source, key) = text::places(form, name);
        match item.on_remove {
            OnRemove::Delete => withdraw(machine, &source, &key)?,
            OnRemove::Disable => {
                if let Some(text) = current(machine, &source)? {
                    let text = text::disabled(form, &text);
                    replace(machine, &source, &text)?;
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

/// Brings back what was read before, from the agent's own record: the files may have been written anew in a
/// life that was cut off, or by somebody else.
fn take_back(machine: &Machine, name: &str, wanted: &Written) {
    let before = record::last_read_there(&machine.notes, name, wanted);
    let done = match &before {
        Some(before) => place(machine, before),
        None => withdraw(machine, &wanted.source, &wanted.key),
    };
    let Err(error) = done else { return };
    tracing::warn!(%error, "source {name} of packages is not as it was before");
    if let Some(before) = before
        && is_in_the_way(machine, &before)
        && let Err(error) = withdraw(machine, &wanted.source, &wanted.key)
    {
        tracing::warn!(%error, "source {name} of packages could not be read, and stays");
    }
}

fn hash_of(wanted: &Written) -> ContentHash {
    ContentHash::of(format!("{}\0{}", wanted.source_text, wanted.key_text).as_bytes())
}

/// Under which name a sandbox writes down what would have been read.
fn simulated(name: &str) -> String {
    format!("lists of package repository {name}")
}

fn is_read(machine: &mut Machine, name: &str, wanted: &Written) -> bool {
    match machine.system.stand_in() {
        Some(stand_in) => {
            let hash = hash_of(wanted).to_string();
            stand_in.recorded(&simulated(name)) == Some(hash.as_str())
        }
        None => record::last_read(&machine.notes, name).as_ref() == Some(wanted),
    }
}

fn read(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &PackageRepositorySpec,
    wanted: &Written,
) -> Result<(), SystemError> {
    if let Some(stand_in) = machine.system.stand_in() {
        let hash = hash_of(wanted).to_string();
        stand_in.record(id, &simulated(&spec.name), Some(hash))?;
    } else if let Some(tools) = machine.system.package_files() {
        tools.read_source(wanted.source.as_str(), &text::id(&spec.name))?;
    }
    record::keep(&machine.notes, &spec.name, wanted);
    Ok(())
}

fn forget(machine: &mut Machine, id: &ResourceId, name: &str) -> Result<(), ApplyError> {
    machine.unread.remove(name);
    if let Some(stand_in) = machine.system.stand_in()
        && stand_in.recorded(&simulated(name)).is_some()
    {
        stand_in.record(id, &simulated(name), None)?;
    }
    record::forget(&machine.notes, name)
}

#[cfg(test)]
pub(crate) mod tests;
