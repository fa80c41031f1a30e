//! A folder that an archive was unpacked to.

use serde::{Deserialize, Serialize};

use super::{ArtifactRef, refuse};
use crate::desired::{ConfigError, HostConfig, HostPath, Resource, Spec};

/// Most leading folders that may be left out.
const STRIP: u8 = 16;

/// A folder with what is in an archive, whole: it is unpacked beside, and swapped in when all is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSpec {
    /// Where the folder is.
    pub path: HostPath,
    /// The archive.
    pub artifact: ArtifactRef,
    /// What kind of archive it is.
    pub form: ArchiveForm,
    /// Leading folders of names in it that are left out; what has no more of them is left out whole.
    pub strip: u8,
    /// Permission bits of folders and of programs, at most `0o777`. Other files have those of them that
    /// are no execution. What the archive says beyond "a program or not" does not count.
    pub mode: u32,
    /// Owning user's name, of all of it; the agent's own user when absent.
    pub owner: Option<String>,
    /// Owning group's name, of all of it; the agent's own group when absent.
    pub group: Option<String>,
    /// Once this is there, it is right whatever archive it came from: what an application keeps in its
    /// own folder is never replaced.
    pub creates: Option<HostPath>,
}

/// Kinds of archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArchiveForm {
    /// `.tar.gz`.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// `.tar.zst`.
    #[serde(rename = "tar.zst")]
    TarZst,
    /// `.zip`.
    #[serde(rename = "zip")]
    Zip,
}

impl ArchiveForm {
    /// As it is written in role files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TarGz => "tar.gz",
            Self::TarZst => "tar.zst",
            Self::Zip => "zip",
        }
    }
}

pub(super) fn check(resource: &Resource, spec: &ArchiveSpec) -> Result<(), ConfigError> {
    if spec.mode & !0o777 != 0 || spec.mode & 0o700 != 0o700 {
        let reason = format!(
            "its mode is {:04o}: permission bits up to 0777 are accepted, all of the owner's among them",
            spec.mode
        );
        return Err(refuse(resource, reason));
    }
    if spec.artifact.secret && spec.mode & 0o027 != 0 {
        let reason = format!(
            "its artifact is secret, and its mode is {:04o}: at most 0750 is accepted",
            spec.mode
        );
        return Err(refuse(resource, reason));
    }
    if spec.strip > STRIP {
        let reason = format!(
            "it strips {} folders, at most {STRIP} are accepted",
            spec.strip
        );
        return Err(refuse(resource, reason));
    }
    Ok(())
}

/// A folder that is swapped whole would take along what others put into it, unless it is put there once.
pub(super) fn check_all(config: &HostConfig) -> Result<(), ConfigError> {
    let archives = config.resources.iter().filter_map(|one| match &one.spec {
        Spec::Archive(spec) if spec.creates.is_none() => Some((one, spec)),
        _ => None,
    });
    for (resource, spec) in archives {
        let below = config.resources.iter().find(|other| {
            let path = other.spec.path();
            path.is_some_and(|path| path != &spec.path && path.is_within(&spec.path))
        });
        if let Some(below) = below {
            let reason = format!(
                "{} lies in its folder, which is replaced as a whole: with `creates` it is unpacked once",
                below.id
            );
            return Err(refuse(resource, reason));
        }
    }
    Ok(())
}
