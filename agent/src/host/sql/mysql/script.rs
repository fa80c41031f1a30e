//! Scripts: statements that are run in one transaction while a question has rows, by a connection that may touch
//! their tables and nothing else. Values are bound to variables of the session before; every statement is prepared,
//! so that none of them is two.

use std::fmt;

use email_engine_protocol::desired::SqlScriptSpec;
use email_engine_protocol::limits;
use email_engine_protocol::observed::Told;
use mysql::prelude::Queryable;
use mysql::{Conn, Row};

use super::super::text::quoted;
use super::super::{Answer, SqlError, cut};
use super::rows::seen;
use super::{Mysql, SESSION, told};

/// Rows that are counted, beyond those that are told.
const COUNTED: usize = 10_000;

/// What a statement reads is not held against the application, which writes to the same rows all the time: at the
/// servers' default it would wait for all that was looked at, and be ended by a deadlock.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// A connection of the account for a script's tables.
pub(super) struct Script {
    conn: Conn,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Mysql {
    /// What is to be done, and what is told.
    pub(in super::super) fn ask(&mut self, spec: &SqlScriptSpec) -> Result<Answer, SqlError> {
        if let Some(missing) = self.missing(spec)?.first() {
            return Ok(Answer {
                wanted: Some(format!("table {missing} is missing")),
                told: Told::default(),
            });
        }
        self.script_of(spec)?.ask(spec)
    }

    /// Makes what is missing of the script's own tables, and runs its statements, all or none.
    pub(in super::super) fn run_script(&mut self, spec: &SqlScriptSpec) -> Result<(), SqlError> {
        let missing = self.missing(spec)?;
        let script = self.script_of(spec)?;
        let missing = missing.iter().filter_map(|name| {
            let mut kept = spec.keeps.iter();
            kept.find(|kept| kept.name == **name)
        });
        for table in missing {
            let name = quoted(&table.name, '`');
            let columns = &table.columns;
            script.run(&format!(
                "CREATE TABLE IF NOT EXISTS {name} ({columns}) ENGINE = InnoDB"
            ))?;
        }
        script.run_all(spec)
    }

    /// Tables of its own that are not there. The application's must be.
    fn missing(&mut self, spec: &SqlScriptSpec) -> Result<Vec<String>, SqlError> {
        for table in &spec.reads {
            self.must_be_table(&spec.database, table)?;
        }
        for table in &spec.writes {
            self.must_be_table(&spec.database, table)?;
            self.must_undo(&spec.database, table)?;
        }
        let mut missing = Vec::new();
        for table in &spec.keeps {
            match self.must_be_table(&spec.database, &table.name) {
                Ok(()) => self.must_undo(&spec.database, &table.name)?,
                Err(SqlError::Absent(_)) => missing.push(table.name.clone()),
                Err(error) => return Err(error),
            }
        }
        Ok(missing)
    }

    /// What is changed in a table without transactions stays when the rest is taken back.
    fn must_undo(&mut self, database: &str, table: &str) -> Result<(), SqlError> {
        const ENGINE: &str = "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
        let engine: Option<Option<String>> = self
            .conn
            .exec_first(ENGINE, (database, table))
            .map_err(told)?;
        let engine = engine.flatten().unwrap_or_default();
        if engine.eq_ignore_ascii_case("InnoDB") {
            return Ok(());
        }
        Err(SqlError::Refused(format!(
            "{database}.{table} is a table of {engine:?}: only those of InnoDB are changed together"
        )))
    }
}

impl Script {
    pub(super) fn of(mut conn: Conn, database: &str) -> Result<Self, SqlError> {
        conn.query_drop(SESSION).map_err(told)?;
        conn.query_drop(ISOLATION).map_err(told)?;
        let database = quoted(database, '`');
        conn.query_drop(format!("USE {database}")).map_err(told)?;
        Ok(Self { conn })
    }

    fn ask(&mut self, spec: &SqlScriptSpec) -> Result<Answer, SqlError> {
        self.give(spec)?;
        let wanted = self.wanted(spec)?;
        let told = match &spec.told {
            Some(question) => self.tells(question)?,
            None => Told::default(),
        };
        Ok(Answer { wanted, told })
    }

    fn run_all(&mut self, spec: &SqlScriptSpec) -> Result<(), SqlError> {
        self.give(spec)?;
        self.conn.query_drop("START TRANSACTION").map_err(told)?;
        match self.run_within(spec) {
            Ok(()) => self.conn.query_drop("COMMIT").map_err(told),
            // The server takes back what was not committed when the connection goes. It may still be at it: nothing
            // that it says from here on would be the answer to what it is asked.
            Err(SqlError::Down { engine, reason }) => Err(SqlError::Down { engine, reason }),
            Err(error) => self
                .conn
                .query_drop("ROLLBACK")
                .map_err(told)
                .and(Err(error)),
        }
    }

    fn run_within(&mut self, spec: &SqlScriptSpec) -> Result<(), SqlError> {
        for statement in &spec.statements {
            self.run(statement)?;
        }
        match self.wanted(spec)? {
            None => Ok(()),
            Some(left) => Err(SqlError::Refused(format!(
                "nothing is changed, because this would be left: {left}"
            ))),
        }
    }

    fn give(&mut self, spec: &SqlScriptSpec) -> Result<(), SqlError> {
        for given in &spec.given {
            let name = quoted(&given.name, '`');
            // Whatever the session takes texts for otherwise.
            let statement = format!("SET @{name} = CONVERT(? USING utf8mb4)");
            let value = (given.value.as_str(),);
            self.conn.exec_drop(statement, value).map_err(told)?;
        }
        Ok(())
    }

    fn wanted(&mut self, spec: &SqlScriptSpec) -> Result<Option<String>, SqlError> {
        let mut rows = self.conn.exec_iter(&spec.wanted, ()).map_err(told)?;
        let first = rows.next().transpose().map_err(told)?;
        Ok(first.map(|row| cut(&texts(row).join(" "))))
    }

    /// The first rows of an answer. Others are counted as they are read, and never kept.
    fn tells(&mut self, question: &str) -> Result<Told, SqlError> {
        let rows = self.conn.exec_iter(question, ()).map_err(told)?;
        let mut broken = None;
        let rows = rows.take(COUNTED).map_while(|row| match row {
            Ok(row) => Some(texts(row)),
            Err(error) => {
                broken = Some(error);
                None
            }
        });
        let rows = Told::new(rows);
        broken.map_or(Ok(rows), |error| Err(told(error)))
    }

    fn run(&mut self, statement: &str) -> Result<(), SqlError> {
        self.conn.exec_drop(statement, ()).map_err(told)
    }
}

fn texts(row: Row) -> Vec<String> {
    let values = row.unwrap().into_iter().take(limits::TOLD_COLUMNS);
    let texts = values.map(|value| {
        let bytes = seen(value).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    texts.collect()
}
