//! Files of an operator that a host is given, by reference: their pieces are bodies like any other, so
//! that they are fetched, kept and swept as these are.

mod archive;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{CertificateSource, ConfigError, FileContent, HostConfig, Resource, Spec};
use crate::bytes::ContentHash;
use crate::limits;

pub use archive::{ArchiveForm, ArchiveSpec};

/// An artifact by its pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// SHA-256 of the whole.
    pub sha256: ContentHash,
    /// Its size in bytes.
    pub length: u64,
    /// SHA-256 of each piece, in order. All but the last one have
    /// [`ARTIFACT_PIECE_BYTES`](limits::ARTIFACT_PIECE_BYTES).
    pub pieces: Vec<ContentHash>,
    /// Its content is sensitive: only its owner and group read it on the host.
    pub secret: bool,
}

/// The artifact that a resource needs.
#[must_use]
pub const fn of(spec: &Spec) -> Option<&ArtifactRef> {
    match spec {
        Spec::Archive(archive) => Some(&archive.artifact),
        Spec::VendorPackage(package) => package.artifact.as_ref(),
        Spec::Certificate(certificate) => match &certificate.source {
            CertificateSource::Supplied(artifact) => Some(artifact),
            CertificateSource::Acme(_) => None,
        },
        Spec::File(file) => match &file.content {
            FileContent::Artifact(artifact) => Some(artifact),
            FileContent::Body { .. } | FileContent::Secret(_) | FileContent::Variable { .. } => {
                None
            }
        },
        _ => None,
    }
}

fn refuse(resource: &Resource, reason: String) -> ConfigError {
    ConfigError::Artifact {
        resource: resource.id.clone(),
        reason,
    }
}

/// Checks one resource; those without an artifact are none of its business.
pub(super) fn check(resource: &Resource) -> Result<(), ConfigError> {
    let Some(artifact) = of(&resource.spec) else {
        return Ok(());
    };
    if !(1..=limits::ARTIFACT_BYTES).contains(&artifact.length) {
        let limit = limits::ARTIFACT_BYTES;
        let reason = format!(
            "its artifact has {} bytes, 1 to {limit} are accepted",
            artifact.length
        );
        return Err(refuse(resource, reason));
    }
    let needed = artifact.length.div_ceil(limits::ARTIFACT_PIECE_BYTES);
    if artifact.pieces.len() as u64 != needed {
        let reason = format!(
            "its artifact of {} bytes has {} pieces, {needed} are accepted",
            artifact.length,
            artifact.pieces.len()
        );
        return Err(refuse(resource, reason));
    }
    match &resource.spec {
        Spec::File(file) if artifact.secret && file.mode & !0o640 != 0 => {
            let reason = format!(
                "its artifact is secret, and its mode is {:04o}: at most 0640 is accepted",
                file.mode
            );
            Err(refuse(resource, reason))
        }
        Spec::Archive(spec) => archive::check(resource, spec),
        _ => Ok(()),
    }
}

/// What changes together is put by in memory first, which an artifact may not fit.
pub(super) fn check_all(config: &HostConfig) -> Result<(), ConfigError> {
    archive::check_all(config)?;
    for resource in &config.resources {
        let Spec::Transaction(spec) = &resource.spec else {
            continue;
        };
        for id in &spec.members {
            let found = config.resources.binary_search_by(|known| known.id.cmp(id));
            let member = found.ok().map(|at| &config.resources[at]);
            if member.is_some_and(|member| of(&member.spec).is_some()) {
                let reason = format!("member {id} is an artifact; files of a transaction are not");
                return Err(refuse(resource, reason));
            }
        }
    }
    Ok(())
}
