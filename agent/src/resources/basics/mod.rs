//! What services stand on: links, accounts, kernel settings, addresses.
//!
//! Each is looked at in the machine's own files or asked of the kernel; programs run for changes of
//! accounts alone. In a sandbox only links are real: of the others is written down what would be set.

mod account;
mod ip_address;
mod stand_in;
mod symlink;
mod sysctl;

use email_engine_protocol::desired::{HostPath, OnRemove, Resource, Spec};

use super::{ApplyError, Finding};
use crate::host::Machine;
use crate::inventory::{Item, Thing};

/// Looks at one of these; others are none of its business.
pub(super) fn observe(machine: &mut Machine, resource: &Resource) -> Finding {
    if let Spec::Symlink(link) = &resource.spec {
        return symlink::observe(machine, link);
    }
    if let Some(finding) = stand_in::observe(machine, resource) {
        return finding;
    }
    match &resource.spec {
        Spec::Group(group) => account::observe_group(machine, group),
        Spec::IpAddress(spec) => ip_address::observe(machine, spec),
        Spec::Sysctl(setting) => sysctl::observe(machine, setting),
        Spec::User(user) => account::observe_user(machine, user),
        _ => Finding::Unknown("not one of the basics".to_owned()),
    }
}

/// Makes one of these right.
pub(super) fn apply(machine: &mut Machine, resource: &Resource) -> Result<(), ApplyError> {
    if let Spec::Symlink(link) = &resource.spec {
        return symlink::apply(machine, link);
    }
    if stand_in::apply(machine, resource)? {
        return Ok(());
    }
    let id = &resource.id;
    match &resource.spec {
        Spec::Group(group) => account::apply_group(machine, id, group),
        Spec::IpAddress(spec) => ip_address::apply(machine, spec),
        Spec::Sysctl(setting) => sysctl::apply(machine, setting),
        Spec::User(user) => account::apply_user(machine, id, user),
        _ => Ok(()),
    }
}

/// Takes one of these away, or switches it off.
pub(super) fn remove(machine: &mut Machine, thing: &Thing, item: &Item) -> Result<(), ApplyError> {
    let delete = match item.on_remove {
        OnRemove::Delete => true,
        OnRemove::Disable => false,
        OnRemove::Leave => return Ok(()),
    };
    if let Thing::Symlink(path) = thing {
        return symlink::remove(machine, path);
    }
    if stand_in::remove(machine, &item.id, thing)? {
        return Ok(());
    }
    match thing {
        Thing::Group(name) if delete => account::remove_group(machine, &item.id, name),
        Thing::IpAddress(interface) => ip_address::remove(machine, interface.as_deref(), delete),
        Thing::Sysctl(key) => sysctl::remove(machine, key),
        Thing::User(name) => account::remove_user(machine, &item.id, name, delete),
        _ => Ok(()),
    }
}

/// The files in which drift of a resource shows, beside its own path.
pub(super) fn watched(spec: &Spec) -> Vec<HostPath> {
    match spec {
        Spec::Group(_) => vec![account::group_file()],
        Spec::IpAddress(spec) => vec![ip_address::unit_path(spec.interface.as_deref())],
        Spec::Sysctl(setting) => vec![sysctl::file(&setting.key)],
        Spec::User(_) => vec![account::passwd_file(), account::group_file()],
        _ => Vec::new(),
    }
}

/// A path that is known to be one.
///
/// # Panics
/// When it is not; callers make it of fixed parts and checked names.
pub(super) fn place(text: String) -> HostPath {
    HostPath::new(text).expect("fixed parts and checked names make a path")
}
