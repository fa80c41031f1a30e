//! Scripts, in a role file.
//!
//! ```toml
//! [[sql_script]]
//! name = "campaigns"                  # in its id
//! engine = "mysql"
//! database = "mailwizz"
//! reads = ["mw_delivery_server"]      # tables whose rows it may read
//! writes = ["mw_campaign"]            # and change
//! keeps.mw_own = "id INT PRIMARY KEY" # made where it is missing, with these columns
//! given.out = "{{ mailwizz.out|tojson }}"   # @out in its statements; a template
//! wanted = "SELECT ..."               # rows: something is to be done; the first says what
//! statements = ["UPDATE ...", "DELETE ..."] # run together while there are
//! told = "SELECT ..."                 # rows that the coordinator is told
//! after = ["sql_row:mailwizz.mw_delivery_server/*"] # else it comes before the rows
//! ```
//!
//! Only what is given is a template: statements are the role's own, and nobody's value is ever part of one.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::desired::{Engine, KeptTable, OnRemove, Spec, SqlGiven, SqlScriptSpec};
use serde::Deserialize;

use crate::planner::basics::Made;
use crate::planner::build::Build;
use crate::planner::error::BundleFault;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::planner) struct SqlScriptEntry {
    name: String,
    engine: Engine,
    database: String,
    #[serde(default)]
    reads: BTreeSet<String>,
    #[serde(default)]
    writes: BTreeSet<String>,
    /// Columns, by table.
    #[serde(default)]
    keeps: BTreeMap<String, String>,
    /// Templates.
    #[serde(default)]
    given: BTreeMap<String, String>,
    wanted: String,
    statements: Vec<String>,
    told: Option<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    notify: Vec<String>,
}

/// Templates among the texts of these entries.
pub(in crate::planner) fn script_texts(entries: &[SqlScriptEntry]) -> BTreeSet<&str> {
    let given = entries.iter().flat_map(|entry| entry.given.values());
    given.map(String::as_str).collect()
}

pub(super) fn script<'a>(
    build: &Build<'_>,
    entry: &'a SqlScriptEntry,
) -> Result<Made<'a>, BundleFault> {
    let context = build.context(None);
    let given = entry.given.iter().map(|(name, text)| {
        let value = build.templates.text(text, &build.role.path, &context)?;
        let name = name.clone();
        Ok(SqlGiven { name, value })
    });
    let keeps = entry.keeps.iter().map(|(name, columns)| KeptTable {
        name: name.clone(),
        columns: columns.trim().to_owned(),
    });
    let plain = |text: &String| text.trim().to_owned();
    let spec = SqlScriptSpec {
        engine: entry.engine,
        database: entry.database.clone(),
        reads: entry.reads.iter().cloned().collect(),
        writes: entry.writes.iter().cloned().collect(),
        keeps: keeps.collect(),
        given: given.collect::<Result<_, BundleFault>>()?,
        wanted: plain(&entry.wanted),
        statements: entry.statements.iter().map(plain).collect(),
        told: entry.told.as_ref().map(plain),
    };
    Ok(Made {
        id: format!("sql_script:{}/{}", entry.database, entry.name),
        spec: Spec::SqlScript(spec),
        on_remove: OnRemove::Leave,
        after: &entry.after,
        notify: &entry.notify,
    })
}
