//! One row of one table.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::config::bound;
use super::super::names;
use super::super::{ConfigError, OnRemove, Resource};
use super::Engine;
use super::server::is_own_name;
use crate::limits;

const DATABASE: &str =
    "the name of a database of one's own, not one that a server keeps for itself";
const IDENTIFIER: &str = "a letter or '_', then letters, digits and '_', at most 63 characters";
const KEYS: &str =
    "1 to 8 key columns, in order, none of them null, json, now, unclaimed or one of some texts";
const VALUES: &str =
    "at most 64 columns, in order, each of them in only one of keys, values and initial";
const INITIAL: &str = "now stands among the initial columns alone";
const UNCLAIMED: &str = "unclaimed stands among the values alone";
const DECIMAL: &str = "a decimal number: a sign, digits, a point, digits; at most 65 digits";
const JSON: &str = "a JSON text";
const NUL: &str = "text without NUL, which PostgreSQL cannot hold";
const CHOICE: &str = "1 to 8 texts, the first of which is written";
const DEACTIVATE: &str = "columns to set, where on_remove is disable";

/// One row, known by its key columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlRowSpec {
    /// Which product serves it.
    pub engine: Engine,
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// What it is known by, in order of column.
    pub keys: Vec<SqlCell>,
    /// What is kept right, in order of column.
    pub values: Vec<SqlCell>,
    /// What is set once, when the row is made, in order of column.
    pub initial: Vec<SqlCell>,
    /// What is set when it is no longer wanted and shall stay, in order of column.
    pub deactivate: Vec<SqlCell>,
}

/// One column of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SqlCell {
    /// Its name.
    pub column: String,
    /// What is in it.
    pub value: SqlValue,
}

/// What is in a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SqlValue {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A decimal number, by its digits: never rounded on the way.
    Decimal(String),
    /// A text.
    Text(String),
    /// A JSON text, compared by what it means.
    Json(String),
    /// The moment at which the row is made.
    Now,
    /// One of some texts: any of them is right, and the first is what is written.
    OneOf(Vec<String>),
    /// Nothing, 0 or no such column is right; what is there was set by somebody else, is told and is left.
    Unclaimed,
}

impl SqlValue {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) | Self::Decimal(text) => text.len(),
            Self::OneOf(texts) => texts.iter().map(String::len).sum(),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Now | Self::Unclaimed => 8,
        }
    }
}

/// Short, for lists and reasons: a text is cut.
impl fmt::Display for SqlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 60;
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Decimal(value) => f.write_str(value),
            Self::Text(text) | Self::Json(text) => match text.char_indices().nth(SHOWN) {
                None => write!(f, "{text:?}"),
                Some((end, _)) => write!(f, "{:?}...", &text[..end]),
            },
            Self::Now => f.write_str("now"),
            Self::OneOf(texts) => write!(f, "{}", texts.join(" or ")),
            Self::Unclaimed => f.write_str("unclaimed"),
        }
    }
}

/// Where it is: what nobody else may claim.
impl fmt::Display for SqlRowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            engine,
            database,
            table,
            ..
        } = self;
        write!(f, "{engine} row {database}.{table}")?;
        for SqlCell { column, value } in &self.keys {
            write!(f, " {column}={value:?}")?;
        }
        Ok(())
    }
}

pub(super) fn check(resource: &Resource, row: &SqlRowSpec) -> Result<(), ConfigError> {
    let database = &row.database;
    names::check(
        resource,
        "database",
        database,
        is_own_name(database),
        DATABASE,
    )?;
    let table = &row.table;
    names::check(resource, "table", table, is_identifier(table), IDENTIFIER)?;
    let (mut seen, mut size) = (BTreeSet::new(), 0);
    for (field, cells) in [
        ("keys", &row.keys),
        ("values", &row.values),
        ("initial", &row.initial),
        ("deactivate", &row.deactivate),
    ] {
        for cell in cells {
            check_cell(resource, field, row.engine, cell)?;
            size += cell.value.bytes();
        }
        let sorted = cells.is_sorted_by(|one, next| one.column < next.column);
        // What is deactivated may be what is kept right until then.
        let once =
            field == "deactivate" || cells.iter().all(|cell| seen.insert(cell.column.as_str()));
        let text = format!("{} columns", cells.len());
        let good = sorted && once && cells.len() <= limits::SQL_COLUMNS;
        names::check(resource, field, &text, good, VALUES)?;
    }
    let is_key = |cell: &SqlCell| {
        !matches!(
            cell.value,
            SqlValue::Null
                | SqlValue::Json(_)
                | SqlValue::Now
                | SqlValue::OneOf(_)
                | SqlValue::Unclaimed
        )
    };
    let good = (1..=8).contains(&row.keys.len()) && row.keys.iter().all(is_key);
    names::check(resource, "keys", &row.to_string(), good, KEYS)?;
    let keys: BTreeSet<&str> = row.keys.iter().map(|cell| cell.column.as_str()).collect();
    let mut farewell = row.deactivate.iter().map(|cell| cell.column.as_str());
    let good = (resource.on_remove == OnRemove::Disable) != row.deactivate.is_empty()
        && !farewell.any(|column| keys.contains(column));
    let text = format!("{} columns", row.deactivate.len());
    names::check(resource, "deactivate", &text, good, DEACTIVATE)?;
    bound("size of a row", size as u64, limits::SQL_ROW_BYTES as u64)
}

fn check_cell(
    resource: &Resource,
    field: &'static str,
    engine: Engine,
    cell: &SqlCell,
) -> Result<(), ConfigError> {
    let column = &cell.column;
    names::check(resource, field, column, is_identifier(column), IDENTIFIER)?;
    match &cell.value {
        SqlValue::Decimal(text) => names::check(resource, field, text, is_decimal(text), DECIMAL),
        SqlValue::Json(text) => {
            let good = serde_json::from_str::<serde_json::Value>(text).is_ok();
            names::check(resource, field, text, good, JSON)
        }
        SqlValue::Text(text) => {
            let good = engine == Engine::Mysql || !text.contains('\0');
            names::check(resource, field, text, good, NUL)
        }
        SqlValue::OneOf(texts) => {
            let good = (1..=8).contains(&texts.len());
            let text = format!("{} texts", texts.len());
            names::check(resource, field, &text, good, CHOICE)?;
            let good = engine == Engine::Mysql || !texts.concat().contains('\0');
            names::check(resource, field, &texts.concat(), good, NUL)
        }
        SqlValue::Now => names::check(resource, field, "now", field == "initial", INITIAL),
        SqlValue::Unclaimed => {
            let good = field == "values";
            names::check(resource, field, "unclaimed", good, UNCLAIMED)
        }
        SqlValue::Null | SqlValue::Bool(_) | SqlValue::Integer(_) => Ok(()),
    }
}

pub(super) fn is_identifier(name: &str) -> bool {
    let begins = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.len() <= 63
        && name.bytes().next().is_some_and(begins)
        && name.bytes().all(|b| begins(b) || b.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    digits(whole) && digits(fraction) && whole.len() + fraction.len() <= 65
}
