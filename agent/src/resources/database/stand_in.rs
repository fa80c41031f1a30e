//! Databases and rows of a sandbox: written down as text, and found again.

use email_engine_protocol::desired::{DatabaseAuth, OnRemove, Resource, Spec};

use super::super::{ApplyError, Finding, spec_hash};
use super::words;
use crate::host::Machine;
use crate::inventory::{Item, Thing};

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

/// Strikes it out, or writes down what is set at its end; says whether that was all.
pub(super) fn remove(
    machine: &mut Machine,
    item: &Item,
    thing: &Thing,
) -> Result<bool, ApplyError> {
    let Some(stand_in) = machine.system.stand_in() else {
        return Ok(false);
    };
    let left = match thing {
        Thing::SqlRow { farewell, .. } if item.on_remove == OnRemove::Disable => {
            Some(format!("let go with {}", words(farewell)))
        }
        _ => None,
    };
    stand_in.record(&item.id, &key(thing), left)?;
    Ok(true)
}

fn key(thing: &Thing) -> String {
    match thing {
        Thing::Database { engine, name, .. } => format!("{engine} database {name}"),
        Thing::SqlRow { place, .. } => format!("{} row {place}", place.engine),
        Thing::SqlScript(id) => format!("script {id}"),
        other => format!("{other:?}"),
    }
}

fn value(spec: &Spec) -> String {
    match spec {
        Spec::Database(spec) => {
            let auth = match &spec.auth {
                DatabaseAuth::Password(secret) => format!("password version {}", secret.version),
                DatabaseAuth::Peer => "its process".to_owned(),
            };
            let (user, charset, collation) = (&spec.user, &spec.charset, &spec.collation);
            format!("{charset} {collation}, user {user} by {auth}")
        }
        Spec::SqlRow(row) => words(&row.values),
        Spec::SqlScript(script) => format!("{} of {}", spec_hash(spec), script.database),
        other => format!("{other:?}"),
    }
}
