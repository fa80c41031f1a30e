//! What services stand on: links, accounts, kernel settings, addresses. One `*Spec` each, with the
//! checks that need no host.

mod account;
mod address;
mod symlink;
mod sysctl;

use std::collections::BTreeMap;

use super::{ConfigError, HostConfig, HostPath, Resource, Spec};
use crate::id::ResourceId;

pub use account::{GroupSpec, UserSpec};
pub use address::IpAddressSpec;
pub use symlink::SymlinkSpec;
pub use sysctl::SysctlSpec;

/// Checks one resource; others than these are none of its business.
pub(super) fn check(resource: &Resource) -> Result<(), ConfigError> {
    match &resource.spec {
        Spec::Group(group) => account::check_group(resource, group),
        Spec::IpAddress(spec) => address::check(resource, spec),
        Spec::Symlink(link) => symlink::check(resource, link),
        Spec::Sysctl(setting) => sysctl::check(resource, setting),
        Spec::User(user) => account::check_user(resource, user),
        Spec::Database(_)
        | Spec::Archive(_)
        | Spec::Certificate(_)
        | Spec::Directory(_)
        | Spec::Discard(_)
        | Spec::File(_)
        | Spec::Firewall(_)
        | Spec::HealthCheck(_)
        | Spec::Package(_)
        | Spec::PackageRepository(_)
        | Spec::Service(_)
        | Spec::SqlRow(_)
        | Spec::SqlScript(_)
        | Spec::Step(_)
        | Spec::Suspension(_)
        | Spec::Transaction(_)
        | Spec::VendorPackage(_) => Ok(()),
    }
}

/// Checks what only all of them together show: nothing is claimed twice, and nothing is reached
/// through a link of the same state.
pub(super) fn check_all(config: &HostConfig) -> Result<(), ConfigError> {
    let mut claims: BTreeMap<String, &ResourceId> = BTreeMap::new();
    let mut links: BTreeMap<&HostPath, &ResourceId> = BTreeMap::new();
    for resource in &config.resources {
        for claim in claimed(&resource.spec) {
            if let Some(first) = claims.insert(claim.clone(), &resource.id) {
                return Err(ConfigError::ClaimedTwice {
                    what: claim,
                    first: first.clone(),
                    second: resource.id.clone(),
                });
            }
        }
        if let Spec::Symlink(link) = &resource.spec {
            links.insert(&link.path, &resource.id);
        }
    }
    if links.is_empty() {
        return Ok(());
    }
    for resource in &config.resources {
        let mut above = resource.spec.path().and_then(HostPath::parent);
        while let Some(folder) = above {
            if let Some(link) = links.get(&folder) {
                return Err(ConfigError::BelowLink {
                    resource: resource.id.clone(),
                    link: (*link).clone(),
                });
            }
            above = folder.parent();
        }
    }
    Ok(())
}

/// What nobody else may claim, beside paths.
fn claimed(spec: &Spec) -> Vec<String> {
    match spec {
        Spec::Firewall(_) => vec!["the firewall".to_owned()],
        Spec::Group(group) => vec![format!("group {}", group.name)],
        Spec::IpAddress(spec) => {
            let interface = spec.interface.as_deref().unwrap_or("of the default route");
            let mut claims = vec![format!("the addresses of interface {interface}")];
            claims.extend(spec.addresses.iter().map(|one| format!("address {one}")));
            claims
        }
        Spec::Package(spec) => vec![format!("package {}", spec.name)],
        Spec::PackageRepository(spec) => vec![format!("package repository {}", spec.name)],
        Spec::Sysctl(setting) => vec![format!("kernel setting {}", setting.key)],
        Spec::User(user) => vec![format!("user {}", user.name)],
        Spec::VendorPackage(spec) => vec![format!("package {}", spec.package.name)],
        Spec::Database(_)
        | Spec::Archive(_)
        | Spec::Certificate(_)
        | Spec::Directory(_)
        | Spec::Discard(_)
        | Spec::File(_)
        | Spec::HealthCheck(_)
        | Spec::Service(_)
        | Spec::SqlRow(_)
        | Spec::SqlScript(_)
        | Spec::Step(_)
        | Spec::Suspension(_)
        | Spec::Symlink(_)
        | Spec::Transaction(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
