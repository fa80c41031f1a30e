//! What services stand on, in a role file: links, accounts, kernel settings, addresses.
//!
//! ```toml
//! [[group]]
//! name = "app"
//! when_artifact = "product"           # not part of a host for which this name stands for nothing
//! on_remove = "leave"
//!
//! [[user]]
//! name = "app"
//! group = "app"                       # one of its own name when absent
//! groups = ["adm"]                    # further ones
//! home = "/var/lib/app"               # not made; none when absent
//! on_remove = "leave"
//!
//! [[symlink]]
//! path = "/etc/app/current"
//! target = "/etc/app/one"             # an absolute path
//! on_remove = "delete"
//!
//! [[sysctl]]
//! key = "net.core.somaxconn"
//! value = "4096"
//! on_remove = "delete"                # puts back what it was before
//!
//! [[ip_address]]
//! interface = "eth0"                  # that of the default route when absent
//! each = "identity"
//! addresses = ["{{ item.address }}"]  # templates
//! on_remove = "delete"
//! ```
//!
//! Each also takes `after` and `notify`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use email_engine_protocol::desired::{
    GroupSpec, IpAddressSpec, OnRemove, Spec, SymlinkSpec, SysctlSpec, UserSpec,
};
use email_engine_protocol::id::ArtifactName;
use serde::Deserialize;

use super::build::Build;
use super::error::BundleFault;
use super::role::{Each, RoleFile};
use super::values::Item;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SymlinkEntry {
    path: String,
    target: String,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupEntry {
    name: String,
    /// A name without which it is not part of a host.
    pub(super) when_artifact: Option<ArtifactName>,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEntry {
    name: String,
    group: Option<String>,
    #[serde(default)]
    groups: BTreeSet<String>,
    home: Option<String>,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SysctlEntry {
    key: String,
    value: String,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IpAddressEntry {
    interface: Option<String>,
    each: Option<Each>,
    /// Templates, so that `each` can name them.
    pub(super) addresses: Vec<String>,
    on_remove: OnRemove,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

/// A resource of a role file, not yet in its place.
pub(super) struct Made<'a> {
    pub(super) id: String,
    pub(super) spec: Spec,
    pub(super) on_remove: OnRemove,
    pub(super) after: &'a [String],
    pub(super) notify: &'a [String],
}

/// One of an entry, which has the same fields for all kinds.
macro_rules! made {
    ($entry:ident, $id:expr, $spec:expr) => {
        Made {
            id: $id,
            spec: $spec,
            on_remove: $entry.on_remove,
            after: &$entry.after,
            notify: &$entry.notify,
        }
    };
}

/// Templates among the texts of these entries, each once.
pub(super) fn texts(entries: &[IpAddressEntry]) -> impl Iterator<Item = &str> {
    let texts = entries.iter().flat_map(|entry| &entry.addresses);
    let texts: BTreeSet<&str> = texts.map(String::as_str).collect();
    texts.into_iter()
}

/// All of them.
pub(super) fn made<'a>(
    build: &Build<'_>,
    role: &'a RoleFile,
) -> Result<Vec<Made<'a>>, BundleFault> {
    let mut made = Vec::new();
    for entry in &role.symlinks {
        let spec = SymlinkSpec {
            path: build.path(&entry.path)?,
            target: build.path(&entry.target)?,
        };
        let id = format!("symlink:{}", entry.path);
        made.push(made!(entry, id, Spec::Symlink(spec)));
    }
    let groups = role.groups.iter();
    for entry in groups.filter(|entry| build.is_wanted(entry.when_artifact.as_ref())) {
        let name = entry.name.clone();
        let id = format!("group:{name}");
        made.push(made!(entry, id, Spec::Group(GroupSpec { name })));
    }
    for entry in &role.users {
        let home = entry.home.as_ref().map(|home| build.path(home));
        let spec = UserSpec {
            name: entry.name.clone(),
            group: entry.group.clone(),
            groups: entry.groups.iter().cloned().collect(),
            home: home.transpose()?,
        };
        made.push(made!(
            entry,
            format!("user:{}", entry.name),
            Spec::User(spec)
        ));
    }
    for entry in &role.sysctls {
        let spec = SysctlSpec {
            key: entry.key.clone(),
            value: entry.value.clone(),
        };
        made.push(made!(
            entry,
            format!("sysctl:{}", entry.key),
            Spec::Sysctl(spec)
        ));
    }
    for entry in &role.ip_addresses {
        let addresses = addresses(build, entry)?;
        // A host without identities has none to put anywhere.
        if addresses.is_empty() {
            continue;
        }
        let name = entry.interface.as_deref().unwrap_or("default");
        let spec = IpAddressSpec {
            interface: entry.interface.clone(),
            addresses: addresses.into_iter().collect(),
        };
        made.push(made!(
            entry,
            format!("ip_address:{name}"),
            Spec::IpAddress(spec)
        ));
    }
    Ok(made)
}

fn addresses(build: &Build<'_>, entry: &IpAddressEntry) -> Result<BTreeSet<IpAddr>, BundleFault> {
    let mut addresses = BTreeSet::new();
    let Some(each) = entry.each else {
        one(build, entry, None, &mut addresses)?;
        return Ok(addresses);
    };
    // What drains needs its address until it is gone.
    let leaving: &[Item] = match each {
        Each::Identity => &build.values.leaving,
        _ => &[],
    };
    for item in build.values.items(each).iter().chain(leaving) {
        one(build, entry, Some(item), &mut addresses)?;
    }
    Ok(addresses)
}

fn one(
    build: &Build<'_>,
    entry: &IpAddressEntry,
    item: Option<&Item>,
    addresses: &mut BTreeSet<IpAddr>,
) -> Result<(), BundleFault> {
    let context = build.context(item);
    for template in &entry.addresses {
        let text = build.templates.text(template, &build.role.path, &context)?;
        let address = text.trim().parse().map_err(|_| {
            let text: String = text.chars().take(120).collect();
            build.fault(&format!("address {text:?} is not an IPv4 or IPv6 address"))
        })?;
        // What a host has itself is its provider's to put there.
        if !build.values.own.contains(&address) {
            addresses.insert(address);
        }
    }
    Ok(())
}
