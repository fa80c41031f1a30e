//! A database with a user of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::names;
use super::super::{ConfigError, OnRemove, Resource};
use crate::secret::SecretRef;

const NAME: &str = "the name of a database or user of one's own: a lower-case letter, then lower-case letters, \
     digits and '_', at most 32 characters, and none that a server keeps for itself";
const WORD: &str =
    "a name as the server lists it: letters, digits, '_', '-', '.' and '@', at most 64 characters";
const REMOVAL: &str = "delete (only while it has no table) or leave";

/// Names that servers keep for themselves.
const RESERVED: [&str; 12] = [
    "admin",
    "information_schema",
    "mariadb",
    "mysql",
    "performance_schema",
    "postgres",
    "public",
    "root",
    "sys",
    "template0",
    "template1",
    "test",
];

/// Which product serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgresql,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "mysql",
            Self::Postgresql => "postgresql",
        })
    }
}

/// A database, made empty, and the one user that may do everything in it and nothing elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSpec {
    /// Which product serves it.
    pub engine: Engine,
    /// Its name.
    pub name: String,
    /// Its character set, as the server calls it: `utf8mb4`, `UTF8`.
    pub charset: String,
    /// Its collation, as the server calls it.
    pub collation: String,
    /// Its user, who comes from this machine alone.
    pub user: String,
    /// How the user shows who it is.
    pub auth: DatabaseAuth,
}

/// How a user of a database shows who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseAuth {
    /// By a password, at most 64 letters and digits.
    Password(SecretRef),
    /// By being the user of the machine that has the same name.
    Peer,
}

pub(super) fn check(resource: &Resource, spec: &DatabaseSpec) -> Result<(), ConfigError> {
    for (field, name) in [("name", &spec.name), ("user", &spec.user)] {
        names::check(resource, field, name, is_own_name(name), NAME)?;
    }
    for (field, word) in [("charset", &spec.charset), ("collation", &spec.collation)] {
        names::check(resource, field, word, is_word(word), WORD)?;
    }
    let good = resource.on_remove != OnRemove::Disable;
    names::check(resource, "on_remove", "disable", good, REMOVAL)
}

/// Whether a database or a user may be called so.
pub(super) fn is_own_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.len() <= 32
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && name.bytes().all(inner)
        && !name.starts_with("pg_")
        && !RESERVED.contains(&name)
}

fn is_word(word: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"_-.@".contains(&b);
    (1..=64).contains(&word.len()) && word.bytes().all(inner)
}
