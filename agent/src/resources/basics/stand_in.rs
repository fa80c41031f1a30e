//! Basics of a sandbox: what would be set is written down and found again.

use email_engine_protocol::desired::{Resource, Spec};
use email_engine_protocol::id::ResourceId;

use super::super::{ApplyError, Finding, spec_hash};
use crate::host::Machine;
use crate::inventory::Thing;

/// How it is found; nothing on a real machine.
pub(super) fn observe(machine: &mut Machine, resource: &Resource) -> Option<Finding> {
    let stand_in = machine.system.stand_in()?;
    Some(match stand_in.recorded(&key(&Thing::of(resource))) {
        Some(known) if known == value(&resource.spec) => Finding::Simulated,
        Some(_) => Finding::Differs("set to something else".to_owned()),
        None => Finding::Differs("missing".to_owned()),
    })
}

/// Writes down what would be set; says whether that was all.
pub(super) fn apply(machine: &mut Machine, resource: &Resource) -> Result<bool, ApplyError> {
    let Some(stand_in) = machine.system.stand_in() else {
        return Ok(false);
    };
    let value = Some(value(&resource.spec));
    stand_in.record(&resource.id, &key(&Thing::of(resource)), value)?;
    Ok(true)
}

/// Strikes it out; says whether that was all.
pub(super) fn remove(
    machine: &mut Machine,
    id: &ResourceId,
    thing: &Thing,
) -> Result<bool, ApplyError> {
    let Some(stand_in) = machine.system.stand_in() else {
        return Ok(false);
    };
    stand_in.record(id, &key(thing), None)?;
    Ok(true)
}

fn key(thing: &Thing) -> String {
    match thing {
        Thing::Group(name) => format!("group {name}"),
        Thing::IpAddress(name) => format!("addresses {}", name.as_deref().unwrap_or("default")),
        Thing::Sysctl(key) => format!("sysctl {key}"),
        Thing::User(name) => format!("user {name}"),
        other => format!("{other:?}"),
    }
}

/// In words where they are short, else by what nothing else is written as.
fn value(spec: &Spec) -> String {
    match spec {
        Spec::Group(_) => "there".to_owned(),
        Spec::IpAddress(spec) => {
            let all: Vec<String> = spec.addresses.iter().map(ToString::to_string).collect();
            all.join(" ")
        }
        Spec::Sysctl(setting) => setting.value.clone(),
        Spec::User(user) => {
            let home = user.home.as_ref().map_or("no home", |home| home.as_str());
            let groups: Vec<&str> = user.all_groups().collect();
            format!("{home}, {}", groups.join(" "))
        }
        other => spec_hash(other).to_string(),
    }
}
