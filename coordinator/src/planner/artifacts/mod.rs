//! Files of an operator in a role file.
//!
//! ```toml
//! [[file]]
//! path = "/etc/pmta/license"
//! artifact = "powermta-license"       # a name; which file it stands for is said apart
//! mode = "0640"
//! on_remove = "delete"
//!
//! [[archive]]
//! path = "/var/www/mailwizz"
//! artifact = "mailwizz"
//! form = "zip"                        # or tar.gz, tar.zst
//! strip = 1                           # leading folders that are left out; none when absent
//! mode = "0755"                       # of folders and programs; other files have no execution
//! owner = "www-data"
//! group = "www-data"
//! creates = "/var/www/mailwizz/apps"  # unpacked only while this is not there
//! on_remove = "leave"
//! ```
//!
//! A name stands for what the host's label `artifact-NAME` says, else for what the settings say that its
//! release pins.

mod asked;

use std::collections::BTreeMap;

use email_engine_protocol::desired::{ArchiveForm, ArchiveSpec, ArtifactRef, OnRemove, Spec};
use email_engine_protocol::id::ArtifactName;
use serde::Deserialize;

use super::basics::Made;
use super::build::Build;
use super::error::{BundleFault, PlanError};
use super::role::RoleFile;
use crate::state::{FleetState, Host};

pub use asked::{Asked, Need, asked};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveEntry {
    path: String,
    artifact: ArtifactName,
    form: ArchiveForm,
    #[serde(default)]
    strip: u8,
    /// Octal digits.
    mode: String,
    owner: Option<String>,
    group: Option<String>,
    creates: Option<String>,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

/// Artifacts by what a role file calls them.
pub(super) type Artifacts = BTreeMap<ArtifactName, ArtifactRef>;

/// What the names of a role file stand for on a host. Names that entries of their own ask for
/// (`when_artifact`) may stand for nothing; then what asks for them is left out, and what is in the entry
/// is not looked up.
pub(super) fn resolve(
    state: &FleetState,
    host: &Host,
    role: &RoleFile,
) -> Result<Artifacts, PlanError> {
    let mut artifacts = Artifacts::new();
    for (when, name) in named(role) {
        if when.is_some_and(|when| state.artifact_of(host, when).is_none()) {
            continue;
        }
        for name in when.into_iter().chain(name) {
            if !artifacts.contains_key(name) {
                artifacts.insert(name.clone(), one(state, host, name)?);
            }
        }
    }
    Ok(artifacts)
}

/// Every place of a role file that names artifacts: without which the entry is not part of a host, and which
/// is in it.
fn named(role: &RoleFile) -> impl Iterator<Item = (Option<&ArtifactName>, Option<&ArtifactName>)> {
    let files = role.files.iter();
    let files = files.map(|entry| (entry.when_artifact.as_ref(), entry.artifact.as_ref()));
    let packages = role.packages.iter();
    let packages = packages.map(|entry| (entry.when_artifact.as_ref(), entry.artifact.as_ref()));
    let groups = role.groups.iter();
    let groups = groups.map(|entry| (entry.when_artifact.as_ref(), None));
    let archives = role.archives.iter();
    let archives = archives.map(|entry| (None, Some(&entry.artifact)));
    let certificates = role.certificates.iter();
    let certificates = certificates.map(|entry| (None, entry.artifact.as_ref()));
    files
        .chain(packages)
        .chain(groups)
        .chain(archives)
        .chain(certificates)
}

fn one(state: &FleetState, host: &Host, name: &ArtifactName) -> Result<ArtifactRef, PlanError> {
    let id = &host.spec.id;
    let Some(sha256) = state.artifact_of(host, name) else {
        return Err(PlanError::UnnamedArtifact {
            host: id.clone(),
            name: name.clone(),
        });
    };
    let found = state.artifacts.get(&sha256);
    let Some(artifact) = found.filter(|artifact| artifact.finished_at.is_some()) else {
        return Err(PlanError::MissingArtifact {
            host: id.clone(),
            name: name.clone(),
            sha256,
        });
    };
    Ok(ArtifactRef {
        sha256,
        length: artifact.length,
        pieces: artifact.pieces.clone(),
        secret: artifact.secret,
    })
}

/// The archives of a role file.
pub(super) fn made<'a>(
    build: &Build<'_>,
    role: &'a RoleFile,
) -> Result<Vec<Made<'a>>, BundleFault> {
    let made = role.archives.iter().map(|entry| {
        let creates = entry.creates.as_ref().map(|path| build.path(path));
        let spec = ArchiveSpec {
            path: build.path(&entry.path)?,
            artifact: build.artifact(&entry.artifact)?,
            form: entry.form,
            strip: entry.strip,
            mode: build.mode(&entry.mode)?,
            owner: entry.owner.clone(),
            group: entry.group.clone(),
            creates: creates.transpose()?,
        };
        Ok(Made {
            id: format!("archive:{}", entry.path),
            spec: Spec::Archive(spec),
            on_remove: entry.on_remove,
            after: &entry.after,
            notify: &entry.notify,
        })
    });
    made.collect()
}
