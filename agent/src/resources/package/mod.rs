//! A package: of the distribution's package tool, or of a vendor's file.

mod vendor;

use std::time::{Duration, Instant};

use email_engine_protocol::desired::{PackageSpec, VendorPackageSpec};
use email_engine_protocol::id::ResourceId;

use super::{ApplyError, Contents, Finding};
use crate::host::{Machine, PackageSeen, Presence};

pub(super) fn observe(machine: &mut Machine, id: &ResourceId, spec: &PackageSpec) -> Finding {
    let seen = match machine.system.package(id, &spec.name) {
        Ok(seen) => seen,
        Err(error) => return Finding::Unknown(error.to_string()),
    };
    match (diff(&seen, spec), machine.system.is_simulated()) {
        (Some(diff), _) => Finding::Differs(diff),
        (None, true) => Finding::Simulated,
        (None, false) => Finding::Right,
    }
}

/// What differs; nothing when it is right.
fn diff(seen: &PackageSeen, spec: &PackageSpec) -> Option<String> {
    let mut diff = Vec::new();
    match (&seen.presence, &spec.version) {
        (Presence::Gone, _) => return Some("not installed".to_owned()),
        (Presence::Partly { word, .. }, _) => diff.push((*word).clone()),
        (Presence::Installed(has), Some(wanted)) if has != wanted => {
            diff.push(format!("version {has}, not {wanted}"));
        }
        (Presence::Installed(_), _) => {}
    }
    if seen.held != spec.hold {
        diff.push(if spec.hold { "not held" } else { "held" }.to_owned());
    }
    (!diff.is_empty()).then(|| diff.join("; "))
}

/// The same of a vendor's.
pub(super) fn observe_vendor(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &VendorPackageSpec,
) -> Finding {
    let finding = match &spec.artifact {
        Some(artifact) => vendor::observe(machine, id, spec, artifact),
        None => observe(machine, id, &spec.package),
    };
    let noted = match &finding {
        Finding::Right => String::new(),
        Finding::Noted(text) => format!("{text}; "),
        _ => return finding,
    };
    if !spec.verify {
        return finding;
    }
    let name = vendor::installed_name(machine, spec);
    let now = Instant::now();
    let known = machine.looked_through.get(&name);
    if known.is_none_or(|(at, _)| now.duration_since(*at) >= LOOK_THROUGH) {
        let Some(files) = machine.system.package_files() else {
            return finding;
        };
        let changed = files.changed(&name);
        machine.looked_through.insert(name.clone(), (now, changed));
    }
    match machine.looked_through.get(&name) {
        Some((_, Ok(changed))) if !changed.is_empty() => {
            Finding::Noted(format!("{noted}{}", told(changed)))
        }
        Some((_, Err(error))) if noted.is_empty() => {
            Finding::Unverified(format!("cannot be looked through: {error}"))
        }
        _ => finding,
    }
}

/// Every byte of the package is read.
const LOOK_THROUGH: Duration = Duration::from_secs(3600);
/// Changed files that are named.
const NAMED: usize = 8;

fn told(changed: &[String]) -> String {
    let mut named = changed
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if changed.len() > NAMED {
        named.push_str(&format!(" and {} more", changed.len() - NAMED));
    }
    format!("files are not as the package brought them: {named}")
}

/// Installs a vendor's.
pub(super) fn apply_vendor(
    machine: &mut Machine,
    contents: &dyn Contents,
    id: &ResourceId,
    spec: &VendorPackageSpec,
) -> Result<(), ApplyError> {
    machine.looked_through.clear();
    match &spec.artifact {
        Some(artifact) => vendor::apply(machine, contents, id, spec, artifact),
        None => Ok(machine.system.install(id, &spec.package)?),
    }
}

/// Removes one, whatever it came from.
pub(super) fn remove(machine: &mut Machine, id: &ResourceId, name: &str) -> Result<(), ApplyError> {
    machine.system.uninstall(id, name)?;
    Ok(vendor::forget(machine, id, name)?)
}
