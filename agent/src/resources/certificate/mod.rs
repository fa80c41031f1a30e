//! A certificate in its folder: chain and key, swapped together.
//!
//! What is put there is the newest good pair that the executor's records have, or an operator's own. While
//! an authority has issued none, it is a placeholder that says so, so that a web server that names the files
//! starts; the host is right beside it and tells what is waited for. Nothing here talks to anybody.

mod stand_in;
#[cfg(test)]
mod tests;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    AcmeSpec, ArtifactRef, CHAIN_FILE, CertificateSource, CertificateSpec, HostPath, KEY_FILE,
    directory_host,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use zeroize::Zeroizing;

use super::access::Access;
use super::{ApplyError, ContentError, Contents, Finding};
use crate::certificate::pair::{self, Pair};
use crate::certificate::record::{Issued, Place};
use crate::host::{EntryKind, FileError, Machine, RecordError, Wanted, clock};

const FOLDER_MODE: u32 = 0o755;
const CHAIN_MODE: u32 = 0o644;
/// In a folder that was put there by us: only such a one is replaced or removed.
const MARKER: &str = ".email-engine.certificate";

/// The pair that shall be in place, and what is to be said about it.
struct Known {
    pair: Pair,
    /// Why it is not yet what is wanted, or will not be for long.
    but: Option<Finding>,
}

pub(super) fn observe(
    machine: &mut Machine,
    contents: &dyn Contents,
    spec: &CertificateSpec,
) -> Finding {
    if let Some(finding) = stand_in::observe(machine, spec) {
        return finding;
    }
    let known = match known(machine, contents, spec) {
        Ok(Some(known)) => known,
        Ok(None) => return Finding::Differs("missing".to_owned()),
        Err(error) => return Finding::Differs(error.to_string()),
    };
    match differs(machine, spec, &known.pair) {
        Ok(diff) if diff.is_empty() => known.but.unwrap_or(Finding::Right),
        Ok(diff) => Finding::Differs(diff.join("; ")),
        Err(error) => Finding::Differs(error.to_string()),
    }
}

pub(super) fn apply(
    machine: &mut Machine,
    contents: &dyn Contents,
    id: &ResourceId,
    spec: &CertificateSpec,
) -> Result<(), ApplyError> {
    if stand_in::apply(machine, id, spec)? {
        return Ok(());
    }
    let known = match known(machine, contents, spec)? {
        Some(known) => known,
        None => {
            let made = pair::placeholder(&spec.domains);
            let pair = made.map_err(|error| refused(&error))?;
            // Before it is used: what stands in the folder is ours as long as a record says so.
            let place = Place::of(&spec.path);
            place
                .keep_placeholder(&machine.notes, &pair)
                .map_err(kept)?;
            Known { pair, but: None }
        }
    };
    put(machine, spec, &known.pair)
}

/// Removes what a crash may have left of a key, in the folder and beside it.
pub(crate) fn sweep(machine: &Machine, path: &HostPath) -> Result<(), FileError> {
    machine.files.sweep_unpacked(path)?;
    match below(path, KEY_FILE) {
        Some(key) => machine.files.sweep(&key),
        None => Ok(()),
    }
}

/// Takes the folder away, and forgets what is known of it; only the latter when the folder is to stay.
/// What somebody else put into it stays, with the folder, and is said.
pub(super) fn remove(
    machine: &mut Machine,
    id: &ResourceId,
    path: &HostPath,
    gone: bool,
) -> Result<(), ApplyError> {
    if stand_in::remove(machine, id, path)? {
        return Ok(());
    }
    let is_left = match gone.then(|| clear(machine, path)) {
        None | Some(Ok(())) => false,
        // No key stays for what is somebody's beside it, here or in the records.
        Some(Err(FileError::NotEmpty(_))) => true,
        Some(Err(error)) => return Err(error.into()),
    };
    let place = Place::of(path);
    // What was put down for an ACME server when the asking was ended.
    for laid in place.attempts(&machine.notes).tokens {
        if let Ok(laid) = HostPath::new(laid) {
            machine.files.remove_file(&laid)?;
        }
    }
    place.forget(&machine.notes).map_err(kept)?;
    if is_left {
        return Err(FileError::NotEmpty(path.clone()).into());
    }
    Ok(())
}

/// Overwrites the key of a folder that was put there by us, and removes what else is ours: the folder, or
/// all but the marker where something else is in it, so that it goes once that is gone.
fn clear(machine: &Machine, path: &HostPath) -> Result<(), FileError> {
    machine.files.sweep_unpacked(path)?;
    let stands = machine.files.look(path)?;
    if !stands.is_some_and(|entry| entry.kind == EntryKind::Directory) {
        return Ok(());
    }
    if !is_marked(&machine.files.list(path)?) {
        return Ok(());
    }
    if let Some(key) = below(path, KEY_FILE) {
        machine.files.wipe(&key)?;
    }
    let names = machine.files.list(path)?;
    if names.iter().all(|name| is_known(name)) {
        return machine.files.remove_unpacked(path);
    }
    if let Some(chain) = below(path, CHAIN_FILE) {
        machine.files.remove_file(&chain)?;
    }
    Err(FileError::NotEmpty(path.clone()))
}

/// Where drift of it shows, beside the folder itself.
pub(super) fn watched(spec: &CertificateSpec) -> Vec<HostPath> {
    [CHAIN_FILE, KEY_FILE]
        .into_iter()
        .filter_map(|name| spec.file(name))
        .collect()
}

/// Nothing while there is not even a placeholder.
fn known(
    machine: &Machine,
    contents: &dyn Contents,
    spec: &CertificateSpec,
) -> Result<Option<Known>, ApplyError> {
    match &spec.source {
        CertificateSource::Supplied(artifact) => {
            let pair = supplied(contents, artifact)?;
            let seen = pair
                .judge_supplied(&spec.domains)
                .map_err(|error| refused(&error))?;
            let ended = seen.validity.not_after;
            let but = (ended <= clock()).then(|| {
                Finding::Waits(format!(
                    "the operator's certificate ended at {ended}: waits for another"
                ))
            });
            Ok(Some(Known { pair, but }))
        }
        CertificateSource::Acme(acme) => of_acme(machine, spec, acme),
    }
}

fn supplied(contents: &dyn Contents, artifact: &ArtifactRef) -> Result<Pair, ApplyError> {
    // It is small enough to be one piece.
    let piece = artifact.pieces.first().copied().unwrap_or(artifact.sha256);
    let bytes = Zeroizing::new(contents.body(&piece)?);
    if ContentHash::of(&bytes) != artifact.sha256 {
        let reason = "it is not the whole artifact".to_owned();
        return Err(ContentError::Body {
            hash: artifact.sha256,
            reason,
        }
        .into());
    }
    pair::supplied(&bytes).map_err(|error| refused(&error))
}

fn of_acme(
    machine: &Machine,
    spec: &CertificateSpec,
    acme: &AcmeSpec,
) -> Result<Option<Known>, ApplyError> {
    let place = Place::of(&spec.path);
    // One that is damaged is no reason to put a placeholder over what is in place: another is asked for.
    let issued = place.issued(&machine.notes).map_err(kept)?;
    let pair = match &issued {
        Some(issued) => Some(issued.pair.clone()),
        // One that is damaged is made again.
        None => place.placeholder(&machine.notes).unwrap_or_default(),
    };
    let but = reservation(machine, &place, spec, acme, issued.as_ref());
    Ok(pair.map(|pair| Known { pair, but }))
}

/// What is to be said of what is in place.
fn reservation(
    machine: &Machine,
    place: &Place,
    spec: &CertificateSpec,
    acme: &AcmeSpec,
    issued: Option<&Issued>,
) -> Option<Finding> {
    let attempts = place.attempts(&machine.notes);
    let host = directory_host(&acme.directory).unwrap_or_default();
    let why = match (acme.agreed, attempts.reason.as_str()) {
        (false, _) => format!(
            "nobody has agreed to the terms of service of {host}: the host's label acme-terms = \
             \"agreed\" does"
        ),
        (true, "") => format!("{host} is asked for one"),
        (true, reason) => format!("{host}: {reason}"),
    };
    let Some(issued) = issued else {
        return Some(Finding::Waits(format!(
            "waits: a placeholder that nobody issued is in place; {why}"
        )));
    };
    let ends = issued.not_after;
    if issued.domains != spec.domains || issued.directory != acme.directory {
        let names = issued.domains.len();
        Some(Finding::Waits(format!(
            "waits: an earlier one, for {names} names and until {ends}, is in place; {why}"
        )))
    } else if ends <= clock() {
        Some(Finding::Waits(format!("waits: it ended at {ends}; {why}")))
    } else if attempts.failures > 0 || !acme.agreed {
        Some(Finding::Unverified(format!(
            "good until {ends}, and not renewed yet: {why}"
        )))
    } else {
        None
    }
}

/// What differs in the folder, in words.
fn differs(
    machine: &Machine,
    spec: &CertificateSpec,
    pair: &Pair,
) -> Result<Vec<String>, ApplyError> {
    let Some(folder) = machine.files.look(&spec.path)? else {
        return Ok(vec!["missing".to_owned()]);
    };
    if folder.kind != EntryKind::Directory {
        return Ok(vec![format!("{}, not a directory", folder.kind.as_str())]);
    }
    let access = |mode, group| Access {
        mode,
        owner: None,
        group,
    };
    let mut diff = access(FOLDER_MODE, None).diff(machine, &folder)?;
    let group = spec.group.as_deref();
    for (name, mode, group, wanted) in [
        (CHAIN_FILE, CHAIN_MODE, None, &pair.chain),
        (KEY_FILE, spec.key_mode(), group, &pair.key),
    ] {
        let Some(path) = spec.file(name) else {
            continue;
        };
        let entry = match machine.files.look(&path)? {
            Some(entry) if entry.kind == EntryKind::File => entry,
            Some(entry) => {
                diff.push(format!("{name} is a {}", entry.kind.as_str()));
                continue;
            }
            None => {
                diff.push(format!("{name} is missing"));
                continue;
            }
        };
        for what in access(mode, group).diff(machine, &entry)? {
            diff.push(format!("{name}: {what}"));
        }
        let same = match machine.files.read(&path, limits::PAIR_BYTES as u64) {
            Ok(bytes) => *Zeroizing::new(bytes) == wanted.as_bytes(),
            Err(FileError::TooLarge { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        if !same {
            diff.push(format!("{name} is another"));
        }
    }
    Ok(diff)
}

/// Puts a pair in place: both files in one step, or neither.
fn put(machine: &Machine, spec: &CertificateSpec, pair: &Pair) -> Result<(), ApplyError> {
    let replaces = is_ours(machine, &spec.path);
    let (_, gid) = machine.owners(None, spec.group.as_deref())?;
    let wanted = Wanted {
        mode: FOLDER_MODE,
        uid: None,
        gid: None,
    };
    let beside = machine.files.unpack_beside(&spec.path, wanted)?;
    let written = |error: std::io::Error| {
        ApplyError::Refused(format!("the new certificate cannot be written: {error}"))
    };
    let name = |name: &str| [name.to_owned()];
    beside
        .file(&name(CHAIN_FILE), CHAIN_MODE, &mut pair.chain.as_bytes())
        .map_err(written)?;
    let mut key = pair.key.as_bytes();
    beside
        .file_of(&name(KEY_FILE), spec.key_mode(), gid, &mut key)
        .map_err(written)?;
    beside
        .file(&name(MARKER), 0o600, &mut &b""[..])
        .map_err(written)?;
    Ok(beside.swap_in(replaces)?)
}

/// Whether what stands there is what was put there, and nothing of anybody else's beside it.
fn is_ours(machine: &Machine, path: &HostPath) -> bool {
    let Ok(names) = machine.files.list(path) else {
        return false;
    };
    names.iter().all(|name| is_known(name)) && is_marked(&names)
}

fn is_known(name: &str) -> bool {
    [CHAIN_FILE, KEY_FILE, MARKER].contains(&name)
}

/// Whether the folder with these names in it was put there by us.
fn is_marked(names: &[String]) -> bool {
    names.iter().any(|name| name == MARKER)
}

fn below(path: &HostPath, name: &str) -> Option<HostPath> {
    HostPath::new(format!("{path}/{name}")).ok()
}

fn refused(error: &dyn std::fmt::Display) -> ApplyError {
    ApplyError::Refused(format!("the certificate is not used: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn kept(error: RecordError) -> ApplyError {
    ApplyError::Refused(format!(
        "what is known of the certificate cannot be kept: {error}"
    ))
}
