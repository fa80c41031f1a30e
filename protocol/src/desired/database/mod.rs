//! Databases of servers on the host itself, single rows in their tables, and statements about many of them.
//!
//! A database is made empty, with a user of its own that may do everything in it and nothing elsewhere.
//! A row is known by some of its columns and kept right in some others; the rest of it, and every other
//! row, is nobody's business here.

mod row;
mod script;
mod server;

use std::collections::BTreeMap;

use super::config::bound;
use super::{ConfigError, HostConfig, Resource, Spec};
use crate::id::ResourceId;
use crate::limits;
use crate::secret::SecretRef;

pub use row::{SqlCell, SqlRowSpec, SqlValue};
pub use script::{KeptTable, SqlGiven, SqlScriptSpec};
pub use server::{DatabaseAuth, DatabaseSpec, Engine};

/// Checks one resource; others than these are none of its business.
pub(super) fn check(resource: &Resource) -> Result<(), ConfigError> {
    match &resource.spec {
        Spec::Database(database) => server::check(resource, database),
        Spec::SqlRow(row) => row::check(resource, row),
        Spec::SqlScript(script) => script::check(resource, script),
        _ => Ok(()),
    }
}

/// The password that a resource needs.
pub(super) const fn secret(spec: &Spec) -> Option<&SecretRef> {
    match spec {
        Spec::Database(database) => match &database.auth {
            DatabaseAuth::Password(secret) => Some(secret),
            DatabaseAuth::Peer => None,
        },
        _ => None,
    }
}

/// Checks what only all of them together show: no database, user or row has two masters.
pub(super) fn check_all(config: &HostConfig) -> Result<(), ConfigError> {
    let mut claims: BTreeMap<String, &ResourceId> = BTreeMap::new();
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
    }
    let telling = config.resources.iter().filter(
        |resource| matches!(&resource.spec, Spec::SqlScript(script) if script.told.is_some()),
    );
    let telling = telling.count() as u64;
    bound("scripts that tell", telling, limits::TELLING_SCRIPTS as u64)
}

fn claimed(spec: &Spec) -> Vec<String> {
    match spec {
        Spec::Database(one) => vec![
            format!("{} database {}", one.engine, one.name),
            format!("{} user {}", one.engine, one.user),
        ],
        Spec::SqlRow(row) => vec![row.to_string()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
