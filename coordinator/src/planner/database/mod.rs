//! Databases and rows, in a role file; scripts stand beside ([`script`]).
//!
//! ```toml
//! [[database]]
//! engine = "mysql"                    # MySQL or MariaDB; or "postgresql"
//! name = "mailwizz"
//! charset = "utf8mb4"
//! collation = "utf8mb4_unicode_ci"
//! user = "mailwizz"                   # called like the database when absent
//! login = "password"                  # made and kept by the cluster; or "peer": by its process
//! on_remove = "leave"                 # or "drop-empty"; "leave" when absent
//!
//! [[file]]                            # who sets the application up reads it there
//! path = "/etc/email-engine/mailwizz/database-password"
//! secret = "database-password"
//! database = "mysql/mailwizz"
//! mode = "0600"
//! on_remove = "delete"
//!
//! [[sql_row]]
//! name = "{{ item.vmta }}"            # in its id; a template
//! each = "identity"
//! engine = "mysql"
//! database = "mailwizz"
//! table = "mw_delivery_server"
//! on_remove = "deactivate"            # or "delete", or "leave"
//! keys.name = { text = "{{ item.vmta }}" }
//! values.daily_quota = { integer = "{{ item.daily_quota }}" }
//! values.meta_data = { php = '{ "a": [1] }' }   # JSON, written as PHP serialises it
//! initial.date_added = { now = true } # set once, when the row is made
//! deactivate.status = { text = "inactive" }
//! ```
//!
//! With `each = "tenant"` there is one for each, and `{{ item.account }}` in its name stands for it; so it does
//! in `database` of the file with its password. That file may write it as a line: `variable = "NAME"`.
//!
//! A value is one of `text`, `integer`, `decimal`, `bool`, `json`, `php` (templates), `one_of`
//! (templates: the first is written, each of them is right), `null`, `now` and `unclaimed` (among the values:
//! it shall hold nothing, is never written, and what somebody else set there is told).
//! Each also takes `after` and `notify`.

mod php;
mod script;

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::desired::{
    DatabaseAuth, DatabaseSpec, Engine, OnRemove, Spec, SqlCell, SqlRowSpec, SqlValue,
};
use minijinja::Value;
use serde::Deserialize;

use super::basics::Made;
use super::build::Build;
use super::error::BundleFault;
use super::role::{Each, RoleFile};
use super::values::Item;
use crate::state::ACCOUNT;

pub(super) use script::{SqlScriptEntry, script_texts};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatabaseEntry {
    /// For every tenant: [`ACCOUNT`] in `name` and `user` stands for it.
    each: Option<Each>,
    engine: Engine,
    name: String,
    charset: String,
    collation: String,
    user: Option<String>,
    login: Login,
    #[serde(default)]
    on_remove: DatabaseRemoval,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

/// How a user shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Login {
    Password,
    Peer,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DatabaseRemoval {
    DropEmpty,
    #[default]
    Leave,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRowEntry {
    /// A template, so that `each` can name it.
    name: String,
    each: Option<Each>,
    engine: Engine,
    database: String,
    table: String,
    on_remove: RowRemoval,
    keys: BTreeMap<String, CellEntry>,
    #[serde(default)]
    values: BTreeMap<String, CellEntry>,
    #[serde(default)]
    initial: BTreeMap<String, CellEntry>,
    #[serde(default)]
    deactivate: BTreeMap<String, CellEntry>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RowRemoval {
    Deactivate,
    Delete,
    Leave,
}

/// What a column shall hold. Texts are templates.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CellEntry {
    Bool(String),
    Decimal(String),
    Integer(String),
    Json(String),
    Now(bool),
    Null(bool),
    #[serde(rename = "one_of")]
    OneOf(Vec<String>),
    Php(String),
    Text(String),
    Unclaimed(bool),
}

impl CellEntry {
    const fn templates(&self) -> &[String] {
        match self {
            Self::Bool(text)
            | Self::Decimal(text)
            | Self::Integer(text)
            | Self::Json(text)
            | Self::Php(text)
            | Self::Text(text) => std::slice::from_ref(text),
            Self::OneOf(texts) => texts.as_slice(),
            Self::Now(_) | Self::Null(_) | Self::Unclaimed(_) => &[],
        }
    }
}

impl SqlRowEntry {
    fn parts(&self) -> [&BTreeMap<String, CellEntry>; 4] {
        [&self.keys, &self.values, &self.initial, &self.deactivate]
    }
}

/// Templates among the texts of these entries, each once.
pub(super) fn texts(entries: &[SqlRowEntry]) -> impl Iterator<Item = &str> {
    let mut texts = BTreeSet::new();
    for entry in entries {
        texts.insert(entry.name.as_str());
        let cells = entry.parts().into_iter().flat_map(BTreeMap::values);
        let templates = cells.flat_map(CellEntry::templates);
        texts.extend(templates.map(String::as_str));
    }
    texts.into_iter()
}

/// All of them.
pub(super) fn made<'a>(
    build: &Build<'_>,
    role: &'a RoleFile,
) -> Result<Vec<Made<'a>>, BundleFault> {
    let mut made = Vec::new();
    for entry in &role.databases {
        made.extend(databases(build, entry)?);
    }
    for entry in &role.sql_rows {
        match entry.each {
            None => made.push(row(build, entry, None)?),
            Some(each) => {
                for item in build.values.items(each) {
                    made.push(row(build, entry, Some(item))?);
                }
            }
        }
    }
    for entry in &role.sql_scripts {
        made.push(script::script(build, entry)?);
    }
    Ok(made)
}

/// Those of one entry: one, or one for each tenant.
fn databases<'a>(
    build: &Build<'_>,
    entry: &'a DatabaseEntry,
) -> Result<Vec<Made<'a>>, BundleFault> {
    let accounts: Vec<Option<String>> = match entry.each {
        None => vec![None],
        Some(Each::Tenant) if entry.name.contains(ACCOUNT) => {
            let tenants = build.values.items(Each::Tenant).iter();
            tenants.map(Item::account).collect()
        }
        Some(_) => {
            return Err(build.fault(&format!(
                "database {:?}: accepted is each = \"tenant\", with {ACCOUNT} in its name",
                entry.name
            )));
        }
    };
    let one = |account: Option<String>| {
        let text = |text: &String| match &account {
            Some(account) => text.replace(ACCOUNT, account),
            None => text.clone(),
        };
        let name = text(&entry.name);
        let spec = DatabaseSpec {
            engine: entry.engine,
            charset: entry.charset.clone(),
            collation: entry.collation.clone(),
            user: entry.user.as_ref().map_or_else(|| name.clone(), text),
            auth: auth(build, entry, &name)?,
            name,
        };
        Some(Made {
            id: format!("database:{}/{}", spec.engine, spec.name),
            spec: Spec::Database(spec),
            on_remove: match entry.on_remove {
                DatabaseRemoval::DropEmpty => OnRemove::Delete,
                DatabaseRemoval::Leave => OnRemove::Leave,
            },
            after: &entry.after,
            notify: &entry.notify,
        })
    };
    Ok(accounts.into_iter().filter_map(one).collect())
}

/// Whether a role has a database of this engine and name whose user has a password.
pub(super) fn has_password(role: &RoleFile, name: &str, each: Option<Each>) -> bool {
    let is_it = |entry: &DatabaseEntry| {
        entry.login == Login::Password
            && entry.each == each
            && format!("{}/{}", entry.engine, entry.name) == name
    };
    role.databases.iter().any(is_it)
}

/// Nothing while the password is still to be made: the database comes with it.
fn auth(build: &Build<'_>, entry: &DatabaseEntry, name: &str) -> Option<DatabaseAuth> {
    if entry.login == Login::Peer {
        return Some(DatabaseAuth::Peer);
    }
    let name = format!("{}/{name}", entry.engine);
    let secret = build.values.passwords.get(&name)?;
    Some(DatabaseAuth::Password(secret.clone()))
}

fn row<'a>(
    build: &Build<'_>,
    entry: &'a SqlRowEntry,
    item: Option<&Item>,
) -> Result<Made<'a>, BundleFault> {
    let context = build.context(item);
    let name = build
        .templates
        .text(&entry.name, &build.role.path, &context)?;
    let cells = |part| cells(build, part, &context);
    let spec = SqlRowSpec {
        engine: entry.engine,
        database: entry.database.clone(),
        table: entry.table.clone(),
        keys: cells(&entry.keys)?,
        values: cells(&entry.values)?,
        initial: cells(&entry.initial)?,
        deactivate: cells(&entry.deactivate)?,
    };
    Ok(Made {
        id: format!("sql_row:{}.{}/{name}", entry.database, entry.table),
        spec: Spec::SqlRow(spec),
        on_remove: match entry.on_remove {
            RowRemoval::Deactivate => OnRemove::Disable,
            RowRemoval::Delete => OnRemove::Delete,
            RowRemoval::Leave => OnRemove::Leave,
        },
        after: &entry.after,
        notify: &entry.notify,
    })
}

fn cells(
    build: &Build<'_>,
    part: &BTreeMap<String, CellEntry>,
    context: &Value,
) -> Result<Vec<SqlCell>, BundleFault> {
    let mut cells = Vec::new();
    for (column, entry) in part {
        let texts = entry.templates().iter();
        let texts = texts.map(|text| build.templates.text(text, &build.role.path, context));
        let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
        let value = value(entry, texts).map_err(|(text, accepted)| {
            let text: String = text.chars().take(120).collect();
            build.fault(&format!(
                "column {column} is {text:?}, accepted is {accepted}"
            ))
        })?;
        let column = column.clone();
        cells.push(SqlCell { column, value });
    }
    Ok(cells)
}

/// The value, or what it is instead and what would do.
fn value(entry: &CellEntry, mut texts: Vec<String>) -> Result<SqlValue, (String, &'static str)> {
    let text = match entry {
        CellEntry::OneOf(_) => String::new(),
        _ => texts.pop().unwrap_or_default(),
    };
    let word = text.trim();
    Ok(match entry {
        CellEntry::Bool(_) => match word {
            "true" => SqlValue::Bool(true),
            "false" => SqlValue::Bool(false),
            _ => return Err((text, "true or false")),
        },
        CellEntry::Decimal(_) => SqlValue::Decimal(word.to_owned()),
        CellEntry::Integer(_) => match word.parse() {
            Ok(number) => SqlValue::Integer(number),
            Err(_) => return Err((text, "a whole number of at most 64 bits")),
        },
        CellEntry::Json(_) => SqlValue::Json(text),
        CellEntry::Php(_) => match serde_json::from_str(&text) {
            Ok(value) => SqlValue::Text(php::serialized(&value)),
            Err(_) => return Err((text, "a JSON text")),
        },
        CellEntry::Text(_) => SqlValue::Text(text),
        CellEntry::OneOf(_) => SqlValue::OneOf(texts),
        CellEntry::Now(true) => SqlValue::Now,
        CellEntry::Null(true) => SqlValue::Null,
        CellEntry::Unclaimed(true) => SqlValue::Unclaimed,
        CellEntry::Now(false) | CellEntry::Null(false) | CellEntry::Unclaimed(false) => {
            return Err(("false".to_owned(), "true"));
        }
    })
}
