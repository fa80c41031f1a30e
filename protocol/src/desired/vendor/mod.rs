//! A package that is more than a name: from an operator's own file, or looked through for changes.

use serde::{Deserialize, Serialize};

use super::names::{self, is_package, is_version};
use super::{ArtifactRef, ConfigError, PackageSpec, Resource};

/// A package of somebody who sells it, or one whose files are compared with what it brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorPackageSpec {
    /// Its name, version and hold. From an artifact it is the very version of that file; a version here
    /// is one that the file must have.
    pub package: PackageSpec,
    /// The file that it is installed from; the package tool's repositories when absent.
    pub artifact: Option<ArtifactRef>,
    /// Whether the file may take the place of a newer version.
    pub downgrade: bool,
    /// Whether its installed files are compared with what it brought, and what differs is reported.
    pub verify: bool,
}

/// What every package must be.
pub(super) fn check_package(resource: &Resource, package: &PackageSpec) -> Result<(), ConfigError> {
    let name = &package.name;
    names::check(resource, "name", name, is_package(name), names::PACKAGE)?;
    if let Some(version) = &package.version {
        let good = is_version(version);
        names::check(resource, "version", version, good, names::VERSION)?;
    }
    Ok(())
}

pub(super) fn check(resource: &Resource, spec: &VendorPackageSpec) -> Result<(), ConfigError> {
    check_package(resource, &spec.package)?;
    if spec.downgrade && spec.artifact.is_none() {
        return Err(ConfigError::Artifact {
            resource: resource.id.clone(),
            reason:
                "it may be downgraded and has no artifact: from a repository, a version says so"
                    .to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Disposition, HostConfig, OnRemove, Policy, Spec};
    use super::*;
    use crate::bytes::ContentHash;
    use crate::id::{ClusterId, HostId, ResourceId, Role};

    fn vendor(change: impl FnOnce(&mut VendorPackageSpec)) -> Resource {
        let piece = ContentHash::of(b"piece");
        let mut spec = VendorPackageSpec {
            package: PackageSpec {
                name: "powermta".to_owned(),
                version: Some("5.0r8".to_owned()),
                hold: true,
            },
            artifact: Some(ArtifactRef {
                sha256: piece,
                length: 5,
                pieces: vec![piece],
                secret: false,
            }),
            downgrade: true,
            verify: true,
        };
        change(&mut spec);
        Resource {
            id: ResourceId::new("package:powermta").unwrap(),
            spec: Spec::VendorPackage(spec),
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
    fn its_pieces_are_bodies_that_the_state_needs() {
        let good = config(vec![vendor(|_| ())]);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.bodies(), [ContentHash::of(b"piece")].into());
    }

    #[test]
    fn names_versions_and_pieces_are_checked_as_everywhere() {
        for (wrong, words) in [
            (
                vendor(|spec| spec.package.name = "./x.deb".to_owned()),
                "x.deb",
            ),
            (
                vendor(|spec| spec.package.version = Some("1-".to_owned())),
                "version",
            ),
            (
                vendor(|spec| spec.artifact.as_mut().unwrap().length = 0),
                "bytes",
            ),
            (vendor(|spec| spec.artifact = None), "no artifact"),
        ] {
            let refused = config(vec![wrong]).check().unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_package_comes_from_one_place() {
        let mut other = vendor(|_| ());
        other.id = ResourceId::new("package:powermta.other").unwrap();
        other.spec = Spec::Package(PackageSpec {
            name: "powermta".to_owned(),
            version: None,
            hold: false,
        });
        let refused = config(vec![vendor(|_| ()), other]).check().unwrap_err();
        assert!(
            refused.to_string().contains("package powermta is claimed"),
            "{refused}"
        );
    }
}
