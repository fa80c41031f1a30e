//! Statements that are run together while a question has an answer.
//!
//! What a row cannot say: something about many rows that an application makes and changes itself. The question
//! ([`SqlScriptSpec::wanted`]) is asked at each look. While it has rows, all statements are run in one transaction;
//! when it has rows after them as well, nothing of it stays. Values are bound to variables of the session before, and
//! are never part of a statement.

use serde::{Deserialize, Serialize};

use super::super::config::bound;
use super::super::names;
use super::super::{ConfigError, OnRemove, Resource};
use super::Engine;
use super::row::is_identifier;
use super::server::is_own_name;
use crate::limits;

const ENGINE: &str = "mysql (MySQL or MariaDB); scripts are not run in PostgreSQL";
const DATABASE: &str =
    "the name of a database of one's own, not one that a server keeps for itself";
const IDENTIFIER: &str = "a letter or '_', then letters, digits and '_', at most 63 characters";
const TABLES: &str =
    "1 to 16 tables, each in one of reads, writes and keeps, and in order in each of them";
const VARIABLES: &str = "at most 16 variables, in order, each once";
const QUESTION: &str =
    "one statement that begins with SELECT, without ';' at its end, of at most 16384 bytes";
const STATEMENT: &str = "one statement that begins with INSERT, UPDATE or DELETE, without ';' at its end, of at \
     most 16384 bytes";
const STATEMENTS: &str = "1 to 16 statements";
const COLUMNS: &str = "the columns of a table, of at most 4096 bytes";
const REMOVAL: &str = "leave: what was changed is not taken back";

/// Statements of one database, and when they are run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlScriptSpec {
    /// Which product serves it.
    pub engine: Engine,
    /// The database.
    pub database: String,
    /// Tables whose rows may be read, in order.
    pub reads: Vec<String>,
    /// Tables whose rows may be read and changed, in order.
    pub writes: Vec<String>,
    /// Tables of its own, made where they are missing, in order of name; they stay when it goes.
    pub keeps: Vec<KeptTable>,
    /// Variables of the session, in order of name.
    pub given: Vec<SqlGiven>,
    /// A question. No rows: nothing is to be done. Its first row says what is.
    pub wanted: String,
    /// What is run while there are rows, in this order and together.
    pub statements: Vec<String>,
    /// A question whose rows are told to the coordinator.
    pub told: Option<String>,
}

/// A table of a script's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTable {
    /// Its name.
    pub name: String,
    /// Its columns, as in `CREATE TABLE`.
    pub columns: String,
}

/// A variable of the session: `@name` in the statements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlGiven {
    /// Its name.
    pub name: String,
    /// Its value, a text.
    pub value: String,
}

impl SqlScriptSpec {
    /// All tables that it touches.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        let kept = self.keeps.iter().map(|table| &table.name);
        let all = self.reads.iter().chain(&self.writes).chain(kept);
        all.map(String::as_str)
    }
}

pub(super) fn check(resource: &Resource, script: &SqlScriptSpec) -> Result<(), ConfigError> {
    let engine = script.engine.to_string();
    let good = script.engine == Engine::Mysql;
    names::check(resource, "engine", &engine, good, ENGINE)?;
    let good = resource.on_remove == OnRemove::Leave;
    names::check(resource, "on_remove", "another", good, REMOVAL)?;
    let database = &script.database;
    let good = is_own_name(database);
    names::check(resource, "database", database, good, DATABASE)?;
    check_tables(resource, script)?;
    check_given(resource, script)?;
    let questions = std::iter::once(&script.wanted).map(|text| ("wanted", text));
    for (field, text) in questions.chain(script.told.iter().map(|text| ("told", text))) {
        let good = is_statement(text, &["SELECT"]);
        names::check(resource, field, text, good, QUESTION)?;
    }
    let many = script.statements.len();
    let good = (1..=limits::SQL_STATEMENTS).contains(&many);
    let text = format!("{many} statements");
    names::check(resource, "statements", &text, good, STATEMENTS)?;
    for text in &script.statements {
        let good = is_statement(text, &["INSERT", "UPDATE", "DELETE"]);
        names::check(resource, "statements", text, good, STATEMENT)?;
    }
    Ok(())
}

fn check_tables(resource: &Resource, script: &SqlScriptSpec) -> Result<(), ConfigError> {
    for table in script.tables() {
        names::check(resource, "tables", table, is_identifier(table), IDENTIFIER)?;
    }
    let mut all: Vec<&str> = script.tables().collect();
    let kept = script.keeps.is_sorted_by(|one, next| one.name < next.name);
    let sorted = kept && script.reads.is_sorted() && script.writes.is_sorted();
    all.sort_unstable();
    let once = all.is_sorted_by(|one, next| one < next);
    let good = sorted && once && (1..=limits::SQL_TABLES).contains(&all.len());
    names::check(resource, "tables", &all.join(", "), good, TABLES)?;
    for table in &script.keeps {
        let columns = &table.columns;
        let good = (1..=limits::SQL_COLUMNS_BYTES).contains(&columns.len());
        names::check(resource, "keeps", columns, good, COLUMNS)?;
    }
    Ok(())
}

fn check_given(resource: &Resource, script: &SqlScriptSpec) -> Result<(), ConfigError> {
    for given in &script.given {
        let name = &given.name;
        names::check(resource, "given", name, is_identifier(name), IDENTIFIER)?;
    }
    let sorted = script.given.is_sorted_by(|one, next| one.name < next.name);
    let good = sorted && script.given.len() <= limits::SQL_GIVEN;
    let text = format!("{} variables", script.given.len());
    names::check(resource, "given", &text, good, VARIABLES)?;
    let size: usize = script.given.iter().map(|given| given.value.len()).sum();
    let limit = limits::SQL_GIVEN_BYTES as u64;
    bound("size of what a script is given", size as u64, limit)
}

/// Whether it is one of these as far as its first word says: what ends a transaction by itself, as making a table
/// does, begins otherwise. The server takes one statement at a time in any case.
fn is_statement(text: &str, words: &[&str]) -> bool {
    let mut parts = text.split_ascii_whitespace();
    let first = parts.next().unwrap_or_default();
    let begins = words.iter().any(|word| word.eq_ignore_ascii_case(first));
    begins
        && text.len() <= limits::SQL_STATEMENT_BYTES
        && !text.contains('\0')
        && !text.trim_end().ends_with(';')
}
