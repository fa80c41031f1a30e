//! Database servers of this machine, spoken to over their sockets as the one who may do everything; rows of
//! MySQL and MariaDB as an account that may do nothing else.
//!
//! A connection is kept for what follows at once, and never longer. A server that does not answer is
//! asked again only after a pause, and what comes in between is told the same reason: thousands of rows
//! do not knock at a shut door one after the other. Statements are made in [`text`] of checked names;
//! values are bound. What a statement with a password in it fails with is told by its number alone.

mod mysql;
mod postgresql;
mod scram;
mod text;

pub use text::differing;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{DatabaseSpec, Engine, SqlCell, SqlRowSpec, SqlScriptSpec};
use email_engine_protocol::observed::Told;
use serde::{Deserialize, Serialize};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// A connection that was not used for so long is not used again.
const KEPT: Duration = Duration::from_secs(2);
/// A server that did not answer is left alone for so long.
const LEFT_ALONE: Duration = Duration::from_secs(2);
/// A server that may be starting is waited for so long, once until it answered.
const STARTING: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(200);
/// Longest text of a server in a reason.
const SAID: usize = 300;

/// Which row: what is owned of it, and what removes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowPlace {
    /// Which product serves it.
    pub engine: Engine,
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// What it is known by.
    pub keys: Vec<SqlCell>,
}

impl RowPlace {
    /// Where a row is.
    #[must_use]
    pub fn of(row: &SqlRowSpec) -> Self {
        Self {
            engine: row.engine,
            database: row.database.clone(),
            table: row.table.clone(),
            keys: row.keys.clone(),
        }
    }
}

/// Short, for lists and reasons.
impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)?;
        for SqlCell { column, value } in &self.keys {
            write!(f, " {column}={value}")?;
        }
        Ok(())
    }
}

/// What is in a column, as the server writes it; nothing is null.
pub type SeenCell = Option<Vec<u8>>;

/// What a script's questions were answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What is to be done; nothing when all is right.
    pub wanted: Option<String>,
    /// What is told to the coordinator.
    pub told: Told,
}

/// Why a server did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// There is no such database or table, yet.
    #[error("{0}")]
    Absent(String),
    /// The table has no such column.
    #[error("{0}")]
    NoColumn(String),
    /// Nobody answers.
    #[error("no {engine} server answers: {reason}")]
    Down {
        /// Which product.
        engine: Engine,
        /// Why, as far as it can be told.
        reason: String,
    },
    /// It is against a rule of ours.
    #[error("{0}")]
    Refused(String),
    /// The server says no.
    #[error("the {engine} server says: {said}")]
    Said {
        /// Which product.
        engine: Engine,
        /// Its words, bounded; without them where a password was near.
        said: String,
    },
}

/// Servers of a machine.
pub trait Databases: Send + fmt::Debug {
    /// What of a database differs. Nothing is changed and nothing secret is told.
    ///
    /// # Errors
    /// When that cannot be told.
    fn differs(
        &mut self,
        spec: &DatabaseSpec,
        password: Option<&str>,
    ) -> Result<Vec<String>, SqlError>;

    /// Makes a database with its user, or what differs of them. Waits for a server that may be starting.
    ///
    /// # Errors
    /// When the server does not let it, or there is none.
    fn make(&mut self, spec: &DatabaseSpec, password: Option<&str>) -> Result<(), SqlError>;

    /// Drops a database that has no table, and its user.
    ///
    /// # Errors
    /// When it has tables: says how many.
    fn drop_empty(&mut self, engine: Engine, name: &str, user: &str) -> Result<(), SqlError>;

    /// These columns of a row; nothing when there is no such row.
    ///
    /// # Errors
    /// When there is no such table or column, or more than one such row.
    fn row(
        &mut self,
        place: &RowPlace,
        columns: &[SqlCell],
    ) -> Result<Option<Vec<SeenCell>>, SqlError>;

    /// Makes a row, or sets those of its columns that differ, others left as they are.
    ///
    /// # Errors
    /// When the server does not let it.
    fn write(
        &mut self,
        place: &RowPlace,
        values: &[SqlCell],
        initial: Option<&[SqlCell]>,
    ) -> Result<(), SqlError>;

    /// Deletes a row.
    ///
    /// # Errors
    /// When the server does not let it.
    fn delete(&mut self, place: &RowPlace) -> Result<(), SqlError>;

    /// Asks what a script would do, and what it tells. Nothing is changed.
    ///
    /// # Errors
    /// When that cannot be told, or a table is not there.
    fn ask(&mut self, script: &SqlScriptSpec) -> Result<Answer, SqlError>;

    /// Runs a script's statements, all or none.
    ///
    /// # Errors
    /// When the server does not let it, or something would be left to do.
    fn run(&mut self, script: &SqlScriptSpec) -> Result<(), SqlError>;
}

/// One connection.
#[derive(Debug)]
enum Connection {
    Mysql(mysql::Mysql),
    Postgresql(Box<postgresql::Postgresql>),
}

/// The servers of this machine.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// By product and database; without a name where it is of none.
    open: BTreeMap<(Engine, String), (Connection, Instant)>,
    down: BTreeMap<Engine, (SqlError, Instant)>,
    /// Waited for in vain since they answered last.
    given_up: BTreeMap<Engine, ()>,
    /// Of the passwords of the agent's own accounts.
    seed: Option<mysql::Seed>,
}

/// Does something by a connection, whichever product it is to.
macro_rules! by {
    ($servers:ident, $engine:expr, $database:expr, |$connection:ident| $done:expr) => {{
        let (engine, database) = ($engine, $database);
        let mut held = $servers.take(engine, database)?;
        let done = match &mut held {
            Connection::Mysql($connection) => $done,
            Connection::Postgresql($connection) => $done,
        };
        $servers.settle(engine, database, held, &done);
        done
    }};
}

impl Servers {
    fn take(&mut self, engine: Engine, database: &str) -> Result<Connection, SqlError> {
        self.open.retain(|_, (_, used)| used.elapsed() < KEPT);
        if let Some((held, _)) = self.open.remove(&(engine, database.to_owned())) {
            return Ok(held);
        }
        if let Some((error, since)) = self.down.get(&engine)
            && since.elapsed() < LEFT_ALONE
        {
            return Err(error.clone());
        }
        let opened = match engine {
            Engine::Mysql => mysql::Mysql::open(self.seed()?).map(Connection::Mysql),
            Engine::Postgresql => {
                let opened = postgresql::Postgresql::open(database);
                opened.map(|one| Connection::Postgresql(Box::new(one)))
            }
        };
        match &opened {
            Err(error @ SqlError::Down { .. }) => {
                self.down.insert(engine, (error.clone(), Instant::now()));
            }
            _ => {
                self.down.remove(&engine);
                self.given_up.remove(&engine);
            }
        }
        opened
    }

    fn seed(&mut self) -> Result<mysql::Seed, SqlError> {
        let seed = match self.seed.take() {
            Some(seed) => seed,
            None => mysql::Seed::made()?,
        };
        Ok(self.seed.insert(seed).clone())
    }

    /// After an end in between nobody knows what the next answer belongs to.
    fn settle<T>(
        &mut self,
        engine: Engine,
        database: &str,
        held: Connection,
        done: &Result<T, SqlError>,
    ) {
        match done {
            Err(error @ SqlError::Down { .. }) => {
                self.down.insert(engine, (error.clone(), Instant::now()));
            }
            _ => self.keep(engine, database, held),
        }
    }

    /// Does something for a script.
    fn scripted<T>(
        &mut self,
        script: &SqlScriptSpec,
        done: impl FnOnce(&mut mysql::Mysql) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let engine = script.engine;
        let mut held = self.take(engine, "")?;
        let done = match &mut held {
            Connection::Mysql(one) => done(one),
            // Refused where states are checked.
            Connection::Postgresql(_) => Err(SqlError::Refused(format!(
                "scripts are run in mysql alone, not in {engine}"
            ))),
        };
        self.settle(engine, "", held, &done);
        done
    }

    fn keep(&mut self, engine: Engine, database: &str, held: Connection) {
        let key = (engine, database.to_owned());
        self.open.insert(key, (held, Instant::now()));
    }

    /// Waits until a server that may be starting answers, once: one that does not come is no reason to
    /// keep everything else waiting each time.
    fn wait_for(&mut self, engine: Engine) -> Result<(), SqlError> {
        let until = Instant::now() + STARTING;
        loop {
            self.down.remove(&engine);
            match self.take(engine, "") {
                Ok(held) => {
                    self.keep(engine, "", held);
                    return Ok(());
                }
                Err(error) => {
                    let is_down = matches!(error, SqlError::Down { .. });
                    if !is_down || self.given_up.contains_key(&engine) {
                        return Err(error);
                    }
                    if Instant::now() >= until {
                        self.given_up.insert(engine, ());
                        return Err(error);
                    }
                }
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Databases for Servers {
    fn differs(
        &mut self,
        spec: &DatabaseSpec,
        password: Option<&str>,
    ) -> Result<Vec<String>, SqlError> {
        by!(self, spec.engine, "", |one| one.differs(spec, password))
    }

    fn make(&mut self, spec: &DatabaseSpec, password: Option<&str>) -> Result<(), SqlError> {
        if let Some(password) = password {
            text::check_password(password)?;
        }
        self.wait_for(spec.engine)?;
        by!(self, spec.engine, "", |one| one.make(spec, password))
    }

    fn drop_empty(&mut self, engine: Engine, name: &str, user: &str) -> Result<(), SqlError> {
        let tables = match by!(self, engine, name, |one| one.tables(name)) {
            Ok(tables) => tables,
            Err(SqlError::Absent(_)) => 0,
            Err(error) => return Err(error),
        };
        if tables > 0 {
            let text = format!("database {name} is left: it has {tables} tables");
            return Err(SqlError::Refused(text));
        }
        // PostgreSQL drops no database that somebody looks at.
        self.open.remove(&(engine, name.to_owned()));
        by!(self, engine, "", |one| one.drop_both(name, user))
    }

    fn row(
        &mut self,
        place: &RowPlace,
        columns: &[SqlCell],
    ) -> Result<Option<Vec<SeenCell>>, SqlError> {
        by!(self, place.engine, scope(place), |one| one
            .row(place, columns))
    }

    fn write(
        &mut self,
        place: &RowPlace,
        values: &[SqlCell],
        initial: Option<&[SqlCell]>,
    ) -> Result<(), SqlError> {
        by!(self, place.engine, scope(place), |one| one
            .write(place, values, initial))
    }

    fn delete(&mut self, place: &RowPlace) -> Result<(), SqlError> {
        by!(self, place.engine, scope(place), |one| one.delete(place))
    }

    fn ask(&mut self, script: &SqlScriptSpec) -> Result<Answer, SqlError> {
        self.scripted(script, |one| one.ask(script))
    }

    fn run(&mut self, script: &SqlScriptSpec) -> Result<(), SqlError> {
        self.scripted(script, |one| one.run_script(script))
    }
}

/// A connection of MySQL reaches every database, one of PostgreSQL its own alone.
fn scope(place: &RowPlace) -> &str {
    match place.engine {
        Engine::Mysql => "",
        Engine::Postgresql => &place.database,
    }
}

/// More than one row with the same keys: none of them is known to be meant.
fn ambiguous(place: &RowPlace) -> SqlError {
    SqlError::Refused(format!(
        "more than one row has {place}: at most one is accepted"
    ))
}

/// Words of a server, bounded.
fn cut(text: &str) -> String {
    text.chars().take(SAID).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rows and databases that only this test has.
    #[derive(Debug, Default)]
    pub(crate) struct Nobody;

    fn down(engine: Engine) -> SqlError {
        SqlError::Down {
            engine,
            reason: "a test has none".to_owned(),
        }
    }

    impl Databases for Nobody {
        fn differs(
            &mut self,
            spec: &DatabaseSpec,
            _: Option<&str>,
        ) -> Result<Vec<String>, SqlError> {
            Err(down(spec.engine))
        }

        fn make(&mut self, spec: &DatabaseSpec, _: Option<&str>) -> Result<(), SqlError> {
            Err(down(spec.engine))
        }

        fn drop_empty(&mut self, engine: Engine, _: &str, _: &str) -> Result<(), SqlError> {
            Err(down(engine))
        }

        fn row(
            &mut self,
            place: &RowPlace,
            _: &[SqlCell],
        ) -> Result<Option<Vec<SeenCell>>, SqlError> {
            Err(down(place.engine))
        }

        fn write(
            &mut self,
            place: &RowPlace,
            _: &[SqlCell],
            _: Option<&[SqlCell]>,
        ) -> Result<(), SqlError> {
            Err(down(place.engine))
        }

        fn delete(&mut self, place: &RowPlace) -> Result<(), SqlError> {
            Err(down(place.engine))
        }

        fn ask(&mut self, script: &SqlScriptSpec) -> Result<Answer, SqlError> {
            Err(down(script.engine))
        }

        fn run(&mut self, script: &SqlScriptSpec) -> Result<(), SqlError> {
            Err(down(script.engine))
        }
    }

    #[test]
    fn a_shut_door_is_not_knocked_at_again_and_again() {
        let mut servers = Servers::default();
        let error = down(Engine::Mysql);
        servers
            .down
            .insert(Engine::Mysql, (error.clone(), Instant::now()));
        let place = RowPlace {
            engine: Engine::Mysql,
            database: "a".to_owned(),
            table: "b".to_owned(),
            keys: Vec::new(),
        };
        assert_eq!(servers.row(&place, &[]), Err(error));
    }
}
