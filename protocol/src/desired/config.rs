//! The whole desired state of one host, and the checks that make it one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::names::{self, is_unit};
use super::{
    AccountingSpec, FileContent, HostPath, OnRemove, Resource, Spec, accounting, artifact, basics,
    certificate, database, discard, firewall, health, repository, suspension, transaction, vendor,
};
use crate::bytes::ContentHash;
use crate::canonical;
use crate::id::{ClusterId, HostId, ResourceId, Role};
use crate::limits;
use crate::secret::SecretRef;

/// The manifest: everything that the host shall be, with bodies by hash and secrets by reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostConfig {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The host that it is for.
    pub host: HostId,
    /// What the host is for.
    pub role: Role,
    /// Whether the host shall work or be wiped.
    pub disposition: Disposition,
    /// Its resources, in order of id.
    pub resources: Vec<Resource>,
    /// The operator allowed this state to remove more than 30 % of what the one before it had, or
    /// something that bears data.
    pub large_removal: bool,
    /// What statistics are read from, on a host that sends.
    pub accounting: Option<AccountingSpec>,
}

/// Whether a host shall work or be wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// Make it so and keep it so.
    Active,
    /// Delete every secret, confirm in a signed report, forget the identity.
    Retired,
}

/// Why bytes or a value are not a desired state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The bytes are not a manifest of this version.
    #[error("manifest does not decode: {0}")]
    Decode(postcard::Error),
    /// Two resources have one id, or the list is not in order of id.
    #[error("resource {0} is listed twice or out of order")]
    Disorder(ResourceId),
    /// Two resources claim one path.
    #[error("path {path} is claimed by {first} and {second}")]
    PathTwice {
        /// The path.
        path: HostPath,
        /// Who has it.
        first: ResourceId,
        /// Who wants it as well.
        second: ResourceId,
    },
    /// Two resources claim one account, setting or address.
    #[error("{what} is claimed by {first} and {second}")]
    ClaimedTwice {
        /// What.
        what: String,
        /// Who has it.
        first: ResourceId,
        /// Who wants it as well.
        second: ResourceId,
    },
    /// An artifact that cannot be used so.
    #[error("resource {resource}: {reason}")]
    Artifact {
        /// Which one.
        resource: ResourceId,
        /// What is wrong, and what would be accepted.
        reason: String,
    },
    /// Something would be reached through a link, which leads somewhere else.
    #[error("resource {resource} lies below the symbolic link of {link}")]
    BelowLink {
        /// What.
        resource: ResourceId,
        /// Whose link.
        link: ResourceId,
    },
    /// An edge leads to a resource that is not there.
    #[error("resource {from} refers to {to}, which is not listed")]
    UnknownEdge {
        /// Whose edge.
        from: ResourceId,
        /// What it names.
        to: ResourceId,
    },
    /// Something is larger than it may be.
    #[error("{what} is {got}, at most {limit} is accepted")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        got: u64,
        /// The bound.
        limit: u64,
    },
    /// A mode with bits beyond the permission bits.
    #[error("resource {0} has a mode above 07777")]
    Mode(ResourceId),
    /// A transaction or a suspension that cannot be one.
    #[error("resource {resource}: {reason}")]
    Transaction {
        /// Which one.
        resource: ResourceId,
        /// What is wrong, and what would be accepted.
        reason: String,
    },
    /// A health check that cannot be one.
    #[error("resource {resource}: {reason}")]
    Health {
        /// Which one.
        resource: ResourceId,
        /// What is wrong, and what would be accepted.
        reason: String,
    },
    /// A name that its tool could take for something else.
    #[error("resource {resource}: {field} is {value:?}, accepted is {accepted}")]
    Name {
        /// Whose name.
        resource: ResourceId,
        /// Which one.
        field: &'static str,
        /// The refused text, cut to 120 characters.
        value: String,
        /// What would do.
        accepted: &'static str,
    },
}

impl HostConfig {
    /// The bytes that are stored, hashed and sent.
    ///
    /// # Panics
    /// Never: every value of this type serialises.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a manifest holds nothing that postcard cannot write")
    }

    /// Decodes and checks a manifest.
    ///
    /// # Errors
    /// When the bytes are no manifest, or [`check`](Self::check) refuses it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = canonical::decode(bytes).map_err(ConfigError::Decode)?;
        config.check()?;
        Ok(config)
    }

    /// Hash of the manifest's bytes: what a target signs.
    #[must_use]
    pub fn digest(&self) -> ContentHash {
        ContentHash::of(&self.to_bytes())
    }

    /// Checks what both sides rely on: order, unique ids and paths, known edges, bounds.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self) -> Result<(), ConfigError> {
        bound(
            "number of resources",
            self.resources.len() as u64,
            limits::RESOURCES_PER_HOST as u64,
        )?;
        let mut paths: BTreeMap<&HostPath, &ResourceId> = BTreeMap::new();
        let mut ids: BTreeSet<&ResourceId> = BTreeSet::new();
        for resource in &self.resources {
            if ids.last().is_some_and(|last| **last >= resource.id) {
                return Err(ConfigError::Disorder(resource.id.clone()));
            }
            ids.insert(&resource.id);
            if let Some(path) = resource.spec.path()
                && let Some(first) = paths.insert(path, &resource.id)
            {
                return Err(ConfigError::PathTwice {
                    path: path.clone(),
                    first: first.clone(),
                    second: resource.id.clone(),
                });
            }
            check_spec(resource)?;
        }
        for resource in &self.resources {
            for to in resource.after.iter().chain(&resource.notify) {
                if !ids.contains(to) {
                    return Err(ConfigError::UnknownEdge {
                        from: resource.id.clone(),
                        to: to.clone(),
                    });
                }
            }
        }
        basics::check_all(self)?;
        database::check_all(self)?;
        transaction::check(self)?;
        artifact::check_all(self)?;
        certificate::check_all(self)?;
        health::check_all(self)?;
        repository::check_all(self)?;
        if let Some(spec) = &self.accounting {
            accounting::check(spec)?;
        }
        bound(
            "number of secrets",
            self.secrets().len() as u64,
            limits::SECRETS_PER_HOST as u64,
        )
    }

    /// The bodies that this state needs beside its manifest.
    #[must_use]
    pub fn bodies(&self) -> BTreeSet<ContentHash> {
        self.resources
            .iter()
            .flat_map(|resource| {
                let body = match &resource.spec {
                    Spec::File(file) => match &file.content {
                        FileContent::Body { hash, .. } => Some(*hash),
                        FileContent::Artifact(_)
                        | FileContent::Secret(_)
                        | FileContent::Variable { .. } => None,
                    },
                    _ => None,
                };
                let artifact = artifact::of(&resource.spec);
                let pieces = artifact.map_or(&[][..], |artifact| &artifact.pieces);
                body.into_iter().chain(pieces.iter().copied())
            })
            .collect()
    }

    /// The secrets that this state needs.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<&SecretRef> {
        self.resources
            .iter()
            .filter_map(|resource| match &resource.spec {
                Spec::File(file) => file.content.secret(),
                spec => database::secret(spec),
            })
            .collect()
    }

    /// What a retired host is told: nothing is left, everything that it owned goes.
    #[must_use]
    pub const fn retired(cluster: ClusterId, host: HostId, role: Role) -> Self {
        Self {
            cluster,
            host,
            role,
            disposition: Disposition::Retired,
            resources: Vec::new(),
            large_removal: true,
            accounting: None,
        }
    }
}

impl Resource {
    /// Whether removing it would take data along: such a removal needs the operator's word.
    #[must_use]
    pub const fn bears_data(&self) -> bool {
        matches!(self.spec, Spec::Archive(_) | Spec::Directory(_))
            && matches!(self.on_remove, OnRemove::Delete)
    }
}

fn check_spec(resource: &Resource) -> Result<(), ConfigError> {
    artifact::check(resource)?;
    let mode = match &resource.spec {
        // Its own check judges it.
        Spec::Archive(_) => 0,
        Spec::File(file) => {
            if let FileContent::Body { length, .. } = &file.content {
                bound("size of a file body", *length, limits::BODY_BYTES)?;
            }
            if let FileContent::Variable { name, .. } = &file.content {
                let good = names::is_variable(name);
                names::check(resource, "variable", name, good, names::VARIABLE)?;
            }
            file.mode
        }
        Spec::Directory(directory) => directory.mode,
        Spec::Package(package) => {
            vendor::check_package(resource, package)?;
            0
        }
        Spec::VendorPackage(spec) => {
            vendor::check(resource, spec)?;
            0
        }
        Spec::PackageRepository(spec) => {
            repository::check(resource, spec)?;
            0
        }
        Spec::Service(service) => {
            let unit = &service.unit;
            names::check(resource, "unit", unit, is_unit(unit), names::UNIT)?;
            0
        }
        Spec::Suspension(spec) => {
            suspension::check(resource, spec)?;
            0
        }
        Spec::Discard(spec) => {
            discard::check(spec)?;
            0
        }
        Spec::Step(_) | Spec::Transaction(_) => 0,
        Spec::Certificate(spec) => {
            certificate::check(resource, spec)?;
            0
        }
        Spec::Firewall(spec) => {
            firewall::check(resource, spec)?;
            0
        }
        Spec::HealthCheck(spec) => {
            health::check(resource, spec)?;
            0
        }
        Spec::Group(_)
        | Spec::IpAddress(_)
        | Spec::Symlink(_)
        | Spec::Sysctl(_)
        | Spec::User(_) => {
            basics::check(resource)?;
            0
        }
        Spec::Database(_) | Spec::SqlRow(_) | Spec::SqlScript(_) => {
            database::check(resource)?;
            0
        }
    };
    if mode > 0o7777 {
        Err(ConfigError::Mode(resource.id.clone()))
    } else {
        Ok(())
    }
}

pub(super) const fn bound(what: &'static str, got: u64, limit: u64) -> Result<(), ConfigError> {
    if got > limit {
        Err(ConfigError::TooLarge { what, got, limit })
    } else {
        Ok(())
    }
}

/// The same of what is counted.
pub(super) const fn at_most(
    what: &'static str,
    got: usize,
    limit: usize,
) -> Result<(), ConfigError> {
    bound(what, got as u64, limit as u64)
}

#[cfg(test)]
mod tests {
    use super::super::{DirectorySpec, OnNotify, PackageSpec, Policy, ServiceSpec};
    use super::*;

    fn directory(path: &str) -> Resource {
        Resource {
            id: ResourceId::new(format!("directory:{path}")).unwrap(),
            spec: Spec::Directory(DirectorySpec {
                path: HostPath::new(path).unwrap(),
                mode: 0o755,
                owner: None,
                group: None,
            }),
            on_remove: OnRemove::Leave,
            policy: Policy::Enforce,
            after: Vec::new(),
            notify: Vec::new(),
        }
    }

    fn config(resources: Vec<Resource>) -> HostConfig {
        HostConfig {
            cluster: ClusterId([1; 16]),
            host: HostId::new("pmta1").unwrap(),
            role: Role::Powermta,
            disposition: Disposition::Active,
            resources,
            large_removal: false,
            accounting: None,
        }
    }

    #[test]
    fn a_good_manifest_round_trips_with_its_digest() {
        let good = config(vec![directory("/etc/a"), directory("/etc/b")]);
        let bytes = good.to_bytes();
        assert_eq!(HostConfig::from_bytes(&bytes).unwrap(), good);
        assert_eq!(good.digest(), ContentHash::of(&bytes));
    }

    #[test]
    fn disorder_double_paths_and_loose_edges_are_refused() {
        let unordered = config(vec![directory("/etc/b"), directory("/etc/a")]);
        assert!(matches!(unordered.check(), Err(ConfigError::Disorder(_))));
        let mut second = directory("/etc/a");
        second.id = ResourceId::new("directory:other").unwrap();
        let twice = config(vec![directory("/etc/a"), second]);
        assert!(matches!(twice.check(), Err(ConfigError::PathTwice { .. })));
        let mut loose = directory("/etc/a");
        loose.after.push(ResourceId::new("file:/nowhere").unwrap());
        assert!(matches!(
            config(vec![loose]).check(),
            Err(ConfigError::UnknownEdge { .. })
        ));
        let mut mode = directory("/etc/a");
        if let Spec::Directory(spec) = &mut mode.spec {
            spec.mode = 0o10000;
        }
        assert!(matches!(
            config(vec![mode]).check(),
            Err(ConfigError::Mode(_))
        ));
    }

    #[test]
    fn paths_in_place_of_names_are_refused_with_what_would_be_accepted() {
        let of = |spec: Spec| {
            let mut made = directory("/etc/a");
            made.spec = spec;
            config(vec![made])
                .check()
                .map_err(|error| error.to_string())
        };
        let package = |name: &str, version: Option<&str>| {
            of(Spec::Package(PackageSpec {
                name: name.to_owned(),
                version: version.map(str::to_owned),
                hold: false,
            }))
        };
        let service = |unit: &str| {
            of(Spec::Service(ServiceSpec {
                unit: unit.to_owned(),
                enabled: true,
                running: true,
                on_notify: OnNotify::Reload,
            }))
        };
        assert_eq!(package("g++", Some("4:12.2.0-3")), Ok(()));
        assert_eq!(service("pmta.service"), Ok(()));
        for (refused, value, accepted) in [
            (
                package("/etc/pmta/x.deb", None),
                "x.deb",
                "a package's name",
            ),
            (package("cron-", None), "cron-", "not ending with '-'"),
            (package("cron", Some("1-")), "1-", "a package's version"),
            (service("/etc/pmta/evil.service"), "evil", "not its path"),
        ] {
            let error = refused.unwrap_err();
            assert!(error.contains(value) && error.contains(accepted), "{error}");
        }
    }
}
