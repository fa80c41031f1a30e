//! A package from an operator's file.
//!
//! What the file is called and which version it is stands in the file itself, and is read by the package
//! tool's own query before anything of it runs. What was read is written down, so that looking asks the
//! package tool about one installed package and reads nothing else. A package that is installed in the
//! file's version is right, wherever it came from.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{ArtifactRef, HostPath, PackageSpec, VendorPackageSpec};
use email_engine_protocol::id::ResourceId;

use crate::host::{
    Machine, NewFile, PackageFile, PackageFiles, PackageForm, PackageSeen, Presence, SystemError,
};
use crate::resources::artifact::{self, Reader};
use crate::resources::{ApplyError, Contents, Finding};

/// What was read of package files, in the agent's own folder.
const READ: &str = "package-files";
/// Files that are remembered; a machine has one or two.
const KNOWN: usize = 64;
/// Where files wait for the package tool, in the agent's own folder.
const STAGED: &str = "packages";

type Known = BTreeMap<ContentHash, PackageFile>;

fn known(machine: &Machine) -> Known {
    let read = machine.notes.read::<Known>(READ).unwrap_or_else(|error| {
        tracing::warn!(%error, "package files are read again");
        None
    });
    read.unwrap_or_default()
}

fn remember(machine: &Machine, artifact: &ArtifactRef, found: &PackageFile) {
    let mut known = known(machine);
    if known.get(&artifact.sha256) == Some(found) {
        return;
    }
    if known.len() >= KNOWN {
        known.clear();
    }
    known.insert(artifact.sha256, found.clone());
    if let Err(error) = machine.notes.write(READ, &known) {
        tracing::warn!(%error, "package files will be read again");
    }
}

/// Under which name a sandbox writes down which file a package came from.
fn key(name: &str) -> String {
    format!("package file {name}")
}

/// What the package tool calls it.
pub(super) fn installed_name(machine: &Machine, spec: &VendorPackageSpec) -> String {
    let artifact = spec.artifact.as_ref();
    let found = artifact.and_then(|artifact| known(machine).remove(&artifact.sha256));
    found.map_or_else(|| spec.package.name.clone(), |found| found.name)
}

pub(super) fn observe(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &VendorPackageSpec,
    artifact: &ArtifactRef,
) -> Finding {
    if machine.system.is_simulated() {
        return observe_simulated(machine, id, spec, artifact);
    }
    let Some(found) = known(machine).remove(&artifact.sha256) else {
        return Finding::Differs(format!(
            "artifact {} was not looked at yet",
            artifact.sha256
        ));
    };
    if let Err(reason) = fits(&spec.package, &found) {
        return Finding::Differs(reason);
    }
    match machine.system.package(id, &found.name) {
        Ok(seen) => judge(machine, spec, &seen, &found),
        Err(error) => Finding::Unknown(error.to_string()),
    }
}

/// A newer one that may not be downgraded does its work: what comes after it need not wait for a person.
fn judge(
    machine: &mut Machine,
    spec: &VendorPackageSpec,
    seen: &PackageSeen,
    found: &PackageFile,
) -> Finding {
    let wanted = PackageSpec {
        version: Some(found.version.clone()),
        ..spec.package.clone()
    };
    let Some(diff) = super::diff(seen, &wanted) else {
        return Finding::Right;
    };
    let may_stay = matches!(seen.presence, Presence::Installed(_))
        && seen.held == spec.package.hold
        && !spec.downgrade;
    match machine.system.package_files() {
        Some(files) if may_stay => match is_downgrade(files, seen, found) {
            Ok(true) => Finding::Noted(newer(seen, found)),
            Ok(false) => Finding::Differs(diff),
            Err(error) => Finding::Unknown(error.to_string()),
        },
        _ => Finding::Differs(diff),
    }
}

fn observe_simulated(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &VendorPackageSpec,
    artifact: &ArtifactRef,
) -> Finding {
    let finding = super::observe(machine, id, &spec.package);
    let key = key(&spec.package.name);
    let recorded = machine.system.stand_in().and_then(|one| one.recorded(&key));
    let wanted = artifact.sha256.to_string();
    match (finding, recorded) {
        (Finding::Simulated, Some(from)) if from == wanted => Finding::Simulated,
        (Finding::Simulated, _) => Finding::Differs(format!("not from artifact {wanted}")),
        (other, _) => other,
    }
}

/// Whether a file holds what it was given out for. dpkg writes names in small letters, and the product's
/// RPM has capitals: case does not count.
fn fits(wanted: &PackageSpec, found: &PackageFile) -> Result<(), String> {
    if !found.name.eq_ignore_ascii_case(&wanted.name) {
        let (has, name) = (&found.name, &wanted.name);
        return Err(format!(
            "its artifact holds package {has}: accepted is {name}"
        ));
    }
    match &wanted.version {
        Some(version) if *version != found.version => {
            let has = &found.version;
            Err(format!(
                "its artifact has version {has}: accepted is {version}"
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn apply(
    machine: &mut Machine,
    contents: &dyn Contents,
    id: &ResourceId,
    spec: &VendorPackageSpec,
    artifact: &ArtifactRef,
) -> Result<(), ApplyError> {
    if let Some(stand_in) = machine.system.stand_in() {
        let from = Some(artifact.sha256.to_string());
        stand_in.record(id, &key(&spec.package.name), from)?;
        return Ok(machine.system.install(id, &spec.package)?);
    }
    let staged = stage(machine, contents, artifact)?;
    let found = inspect(machine, &staged, &spec.package)?;
    remember(machine, artifact, &found);
    let mut seen = machine.system.package(id, &found.name)?;
    if let Presence::Partly { .. } = seen.presence {
        files(machine)?.finish()?;
        seen = machine.system.package(id, &found.name)?;
    }
    let files = files(machine)?;
    if seen.presence != Presence::Installed(found.version.clone()) {
        let down = is_downgrade(files, &seen, &found)?;
        if !down || spec.downgrade {
            files.install(&staged, &seen.presence, down)?;
        } else if let Presence::Partly { .. } = seen.presence {
            return Err(ApplyError::Refused(newer(&seen, &found)));
        }
    }
    if seen.held != spec.package.hold {
        files.hold(&found.name, spec.package.hold)?;
    }
    clear(machine, None);
    Ok(())
}

fn newer(seen: &PackageSeen, found: &PackageFile) -> String {
    let (has, how) = match &seen.presence {
        Presence::Installed(version) => (version.as_str(), "installed"),
        Presence::Partly { word, version } => (version.as_deref().unwrap_or(""), word.as_str()),
        Presence::Gone => ("", "gone"),
    };
    format!(
        "{} {has} is {how}, newer than {} of its artifact: a newer artifact is accepted, or \
         `downgrade = true` in the role",
        found.name, found.version
    )
}

fn is_downgrade(
    files: &mut dyn PackageFiles,
    seen: &PackageSeen,
    found: &PackageFile,
) -> Result<bool, SystemError> {
    match &seen.presence {
        Presence::Installed(has)
        | Presence::Partly {
            version: Some(has), ..
        } => files.is_older(&found.version, has),
        Presence::Gone | Presence::Partly { version: None, .. } => Ok(false),
    }
}

fn files(machine: &mut Machine) -> Result<&mut dyn PackageFiles, ApplyError> {
    let files = machine.system.package_files();
    files.ok_or_else(|| ApplyError::Refused("packages are not real here".to_owned()))
}

/// What the file says of itself, if this machine and this role can have it.
fn inspect(
    machine: &mut Machine,
    staged: &Path,
    wanted: &PackageSpec,
) -> Result<PackageFile, ApplyError> {
    let files = files(machine)?;
    let found = files.inspect(staged)?;
    fits(wanted, &found).map_err(ApplyError::Refused)?;
    let accepted = files.architectures()?;
    if accepted.contains(&found.architecture) {
        return Ok(found);
    }
    Err(ApplyError::Refused(format!(
        "its artifact is for {} machines: {} is accepted, and {}",
        found.architecture, accepted[0], accepted[1]
    )))
}

/// Puts the file where the package tool can read it. One that lies there already is left alone: what a
/// former life began may be at it.
fn stage(
    machine: &mut Machine,
    contents: &dyn Contents,
    artifact: &ArtifactRef,
) -> Result<PathBuf, ApplyError> {
    let form = files(machine)?.form()?;
    judge_form(contents, artifact, form)?;
    let name = format!("{}.{}", artifact.sha256, form.as_str());
    let path = HostPath::new(format!("/{STAGED}/{name}"))
        .map_err(|error| ApplyError::Refused(error.to_string()))?;
    let tree = machine.notes.tree();
    let lies = tree
        .look(&path)?
        .is_some_and(|entry| entry.size == artifact.length);
    if !lies || !artifact::is_same(tree, &path, artifact)? {
        clear(machine, Some(&name));
        let file = NewFile {
            path: &path,
            mode: 0o600,
            uid: None,
            gid: None,
        };
        artifact::write(tree, contents, &file, artifact, None)?;
    }
    let place = machine.notes.location(&path);
    place.map_err(|error| ApplyError::Refused(format!("{path} has no place: {error}")))
}

fn judge_form(
    contents: &dyn Contents,
    artifact: &ArtifactRef,
    form: PackageForm,
) -> Result<(), ApplyError> {
    let mut reader = Reader::new(contents, artifact);
    let lost = reader.lost();
    let mut begins = Vec::new();
    let read = reader
        .by_ref()
        .take(PackageForm::MAGIC_BYTES as u64)
        .read_to_end(&mut begins);
    if let Some(error) = lost.take() {
        return Err(error.into());
    }
    read.map_err(|error| ApplyError::Refused(error.to_string()))?;
    let what = match PackageForm::of(&begins) {
        Some(found) if found == form => return Ok(()),
        Some(found) => format!("a .{}", found.as_str()),
        None => "no package".to_owned(),
    };
    Err(ApplyError::Refused(format!(
        "its artifact {} is {what}: this machine installs .{} files",
        artifact.sha256,
        form.as_str()
    )))
}

/// Removes files that no package tool needs any more, but for one.
fn clear(machine: &Machine, but: Option<&str>) {
    let names = machine.notes.list(STAGED).unwrap_or_default();
    for name in names.iter().filter(|name| Some(name.as_str()) != but) {
        if let Err(error) = machine.notes.remove(&format!("{STAGED}/{name}")) {
            tracing::warn!(name, %error, "a package file stays in the agent's folder");
        }
    }
}

/// Forgets which file a package came from, in a sandbox.
pub(super) fn forget(
    machine: &mut Machine,
    id: &ResourceId,
    name: &str,
) -> Result<(), SystemError> {
    let key = key(name);
    match machine.system.stand_in() {
        Some(stand_in) if stand_in.recorded(&key).is_some() => stand_in.record(id, &key, None),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
