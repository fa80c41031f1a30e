//! Packages in a role file.
//!
//! ```toml
//! [[package]]
//! name = "nginx"                      # from the distribution's repositories
//! version = "1.22.1-9"                # any installed one when absent
//! hold = true                         # apt does not upgrade it; false when absent
//! on_remove = "leave"
//!
//! [[package]]
//! name = "powermta"
//! artifact = "powermta"               # a file of the operator's, .deb or .rpm as the host needs it
//! when_artifact = "powermta"          # not part of a host for which this name stands for nothing
//! downgrade = false                   # whether an older file may take the place of a newer version
//! verify = true                       # its files are compared with what it brought; also without an artifact
//! on_remove = "leave"
//! ```
//!
//! Each also takes `after` and `notify`. Files and groups take `when_artifact` as well. Further sources of
//! packages are `[[package_repository]]` ([`repository`]).

mod repository;

use std::collections::BTreeMap;

use email_engine_protocol::desired::{OnRemove, PackageSpec, Spec, VendorPackageSpec};
use email_engine_protocol::id::ArtifactName;
use serde::Deserialize;

use super::basics::Made;
use super::build::Build;
use super::error::BundleFault;
use super::role::RoleFile;

pub(super) use repository::{PackageRepositoryEntry, texts};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageEntry {
    name: String,
    version: Option<String>,
    #[serde(default)]
    hold: bool,
    /// The file that it is installed from.
    pub(super) artifact: Option<ArtifactName>,
    /// A name without which it is not part of a host.
    pub(super) when_artifact: Option<ArtifactName>,
    #[serde(default)]
    downgrade: bool,
    #[serde(default)]
    verify: bool,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

/// The packages of a role file that a host gets, and where they come from.
pub(super) fn made<'a>(
    build: &Build<'_>,
    files: &BTreeMap<String, String>,
    role: &'a RoleFile,
) -> Result<Vec<Made<'a>>, BundleFault> {
    let mut made = repository::made(build, files, role)?;
    let entries = role.packages.iter();
    for entry in entries.filter(|entry| build.is_wanted(entry.when_artifact.as_ref())) {
        made.push(one(build, entry)?);
    }
    Ok(made)
}

fn one<'a>(build: &Build<'_>, entry: &'a PackageEntry) -> Result<Made<'a>, BundleFault> {
    let package = PackageSpec {
        name: entry.name.clone(),
        version: entry.version.clone(),
        hold: entry.hold,
    };
    let artifact = entry.artifact.as_ref().map(|name| build.artifact(name));
    let spec = match artifact.transpose()? {
        None if entry.downgrade => {
            return Err(build.fault(&format!(
                "package {} has downgrade and no artifact: a version is accepted there",
                entry.name
            )));
        }
        None if !entry.verify => Spec::Package(package),
        artifact => Spec::VendorPackage(VendorPackageSpec {
            package,
            artifact,
            downgrade: entry.downgrade,
            verify: entry.verify,
        }),
    };
    Ok(Made {
        id: format!("package:{}", entry.name),
        spec,
        on_remove: entry.on_remove,
        after: &entry.after,
        notify: &entry.notify,
    })
}
