//! A regular file: content, mode, owner.

use std::time::Duration;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{CommandLine, FileContent, FileSpec, HostPath};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use zeroize::Zeroizing;

use super::access::Access;
use super::{ApplyError, ContentError, Contents, Finding, artifact};
use crate::host::{EntryKind, FileError, Looked, Machine, NewFile, System, SystemError, Validator};

/// With a variable's name before it.
const LONGEST_SECRET: u64 = limits::SECRET_BYTES as u64 + 128;
const VALIDATE: Duration = Duration::from_secs(60);

fn access(spec: &FileSpec) -> Access<'_> {
    Access {
        mode: spec.mode,
        owner: spec.owner.as_deref(),
        group: spec.group.as_deref(),
    }
}

enum Content {
    Differs(String),
    Same,
    Unreadable(String),
}

pub(super) fn observe(machine: &Machine, contents: &dyn Contents, spec: &FileSpec) -> Finding {
    let seen = match machine.files.look_closely(&spec.path) {
        Ok(Some(seen)) => seen,
        Ok(None) => return Finding::Differs("missing".to_owned()),
        Err(error) => return Finding::Differs(error.to_string()),
    };
    let entry = &seen.entry;
    if entry.kind != EntryKind::File {
        return Finding::Differs(format!("{}, not a regular file", entry.kind.as_str()));
    }
    let mut diff = match access(spec).diff(machine, entry) {
        Ok(diff) => diff,
        Err(error) => return Finding::Differs(error.to_string()),
    };
    match compare(machine, contents, spec, &seen) {
        Ok(Content::Same) => {}
        Ok(Content::Differs(text)) => diff.push(text),
        // Unreadable is not right: written anew, it is known.
        Ok(Content::Unreadable(text)) => diff.push(text),
        Err(error) => diff.push(error.to_string()),
    }
    if diff.is_empty() {
        access(spec)
            .unverified(machine)
            .map_or(Finding::Right, Finding::Unverified)
    } else {
        Finding::Differs(diff.join("; "))
    }
}

fn compare(
    machine: &Machine,
    contents: &dyn Contents,
    spec: &FileSpec,
    seen: &Looked,
) -> Result<Content, ContentError> {
    let entry = &seen.entry;
    let limit = match &spec.content {
        FileContent::Artifact(artifact) => {
            if entry.size != artifact.length {
                let text = format!("{} bytes, not {}", entry.size, artifact.length);
                return Ok(Content::Differs(text));
            }
            return Ok(
                match artifact::is_same(&machine.files, &spec.path, artifact) {
                    Ok(true) => Content::Same,
                    Ok(false) => Content::Differs("content differs".to_owned()),
                    Err(error) => Content::Unreadable(error.to_string()),
                },
            );
        }
        FileContent::Body { length, .. } if entry.size != *length => {
            let text = format!("{} bytes, not {length}", entry.size);
            return Ok(Content::Differs(text));
        }
        FileContent::Body { length, .. } => *length,
        FileContent::Secret(_) | FileContent::Variable { .. } => LONGEST_SECRET,
    };
    let bytes = match seen.read(&spec.path, limit) {
        Ok(bytes) => bytes,
        Err(FileError::TooLarge { .. }) => {
            return Ok(Content::Differs("content differs".to_owned()));
        }
        Err(error) => return Ok(Content::Unreadable(error.to_string())),
    };
    let same = match &spec.content {
        FileContent::Artifact(_) => false,
        FileContent::Body { hash, .. } => ContentHash::of(&bytes) == *hash,
        FileContent::Secret(secret) | FileContent::Variable { secret, .. } => {
            let bytes = Zeroizing::new(bytes);
            let (before, behind) = spec.content.around();
            let inner = bytes.strip_prefix(before.as_bytes());
            match inner.and_then(|inner| inner.strip_suffix(behind.as_bytes())) {
                Some(inner) => contents.is_secret(secret, inner)?,
                None => false,
            }
        }
    };
    Ok(if same {
        Content::Same
    } else {
        Content::Differs("content differs".to_owned())
    })
}

pub(super) fn apply(
    machine: &mut Machine,
    contents: &dyn Contents,
    id: &ResourceId,
    spec: &FileSpec,
) -> Result<(), ApplyError> {
    let (uid, gid) = machine.owners(spec.owner.as_deref(), spec.group.as_deref())?;
    if let Some(seen) = machine.files.look_closely(&spec.path)?
        && seen.entry.kind == EntryKind::File
        // Under another name it may be somebody else's file.
        && seen.entry.links == 1
        && matches!(compare(machine, contents, spec, &seen)?, Content::Same)
    {
        // The same file stays: whoever has it open keeps it.
        let kind = EntryKind::File;
        return Ok(machine
            .files
            .set_access(&spec.path, kind, spec.mode, uid, gid)?);
    }
    let file = NewFile {
        path: &spec.path,
        mode: spec.mode,
        uid,
        gid,
    };
    let Machine { files, system, .. } = machine;
    let command = spec.validate.as_ref();
    let mut judge = |staged: &HostPath| {
        command.map_or(Ok(()), |command| {
            validate(system.as_mut(), id, command, staged)
        })
    };
    let validator: Option<Validator<'_>> = command.is_some().then_some(&mut judge);
    if let FileContent::Artifact(artifact) = &spec.content {
        return artifact::write(files, contents, &file, artifact, validator);
    }
    let bytes = bytes(contents, spec)?;
    Ok(files.replace(&file, &bytes, validator)?)
}

/// The bytes of a file as it shall be. An artifact is never held whole; no transaction has one.
pub(crate) fn bytes(
    contents: &dyn Contents,
    spec: &FileSpec,
) -> Result<Zeroizing<Vec<u8>>, ContentError> {
    Ok(match &spec.content {
        FileContent::Artifact(artifact) => {
            let reason = "it is read piece by piece".to_owned();
            let hash = artifact.sha256;
            return Err(ContentError::Body { hash, reason });
        }
        FileContent::Body { hash, .. } => Zeroizing::new(contents.body(hash)?),
        FileContent::Secret(secret) | FileContent::Variable { secret, .. } => {
            let (before, behind) = spec.content.around();
            let secret = contents.secret(secret)?;
            // Room for all of it at once: what grows leaves a copy behind that nobody wipes.
            let length = before.len() + secret.bytes.len() + behind.len();
            let mut bytes = Zeroizing::new(Vec::with_capacity(length));
            bytes.extend_from_slice(before.as_bytes());
            bytes.extend_from_slice(&secret.bytes);
            bytes.extend_from_slice(behind.as_bytes());
            bytes
        }
    })
}

fn validate(
    system: &mut dyn System,
    id: &ResourceId,
    command: &CommandLine,
    staged: &HostPath,
) -> Result<(), String> {
    let command = CommandLine {
        program: command.program.clone(),
        arguments: command
            .arguments
            .iter()
            .map(|argument| argument.replace("{}", staged.as_str()))
            .collect(),
    };
    match system.run(id, &command, VALIDATE) {
        Ok(ended) if ended.code == 0 => Ok(()),
        Ok(ended) => Err(format!("code {}: {}", ended.code, ended.output)),
        Err(error @ SystemError::Simulated(_)) => Err(error.to_string()),
        Err(error) => Err(format!("validator: {error}")),
    }
}

pub(super) fn remove(machine: &Machine, path: &HostPath, secret: bool) -> Result<(), ApplyError> {
    match machine.files.look(path)? {
        // Ours is gone; what stands there now is somebody's.
        Some(entry) if entry.kind == EntryKind::Directory => {
            tracing::warn!(%path, "a folder stands where our file was: left alone");
        }
        _ if secret => machine.files.wipe(path)?,
        _ => machine.files.remove_file(path)?,
    }
    machine.files.sweep(path)?;
    match machine.files.look(path)? {
        Some(entry) if entry.kind != EntryKind::Directory => {
            Err(ApplyError::Still("it is still there".to_owned()))
        }
        _ => Ok(()),
    }
}
