//! MySQL and MariaDB over the local socket: databases and users as `root`, which they know by the process
//! that asks, and rows as an account that may do nothing else ([`mod@account`]).

mod account;
mod rows;
mod script;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use email_engine_protocol::desired::{DatabaseAuth, DatabaseSpec, Engine, SqlCell};
use mysql::prelude::Queryable;
use mysql::{Conn, Error, OptsBuilder};

pub(super) use self::account::Seed;
use self::rows::Rows;
use self::script::Script;
use super::text::{grants, native_hash, pattern, quoted};
use super::{ANSWER, RowPlace, SeenCell, SqlError, cut};

/// Where distributions have it: Debian and Ubuntu, then the RHEL family.
const SOCKETS: [&str; 2] = ["/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock"];
/// Set for each connection: what waits for somebody else's lock, of a row or of a whole table, and what takes long
/// for other reasons, gives up before the answer is late, which would look as if the server were away. MariaDB's limit
/// is in seconds and for every statement, MySQL's in milliseconds and for questions alone; each reads the comment that
/// is for it (MariaDB takes those of MySQL 5.7 for none of its own).
const SESSION: &str = "SET SESSION innodb_lock_wait_timeout = 5, SESSION lock_wait_timeout = 5 \
                       /*M! , SESSION max_statement_time = 8 */ /*!50708 , SESSION max_execution_time = 8000 */";

const ACCESS_DENIED: u16 = 1045;
/// The account is known by its process, and no password opens it.
const DENIED_WITHOUT_PASSWORD: u16 = 1698;

/// A connection.
pub(super) struct Mysql {
    conn: Conn,
    is_mariadb: bool,
    seed: Seed,
    /// By database and table, as the account for its rows.
    rows: BTreeMap<(String, String), Rows>,
    /// By account, as which a script is run.
    scripts: BTreeMap<String, Script>,
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mysql")
    }
}

impl Mysql {
    pub(super) fn open(seed: Seed) -> Result<Self, SqlError> {
        let mut conn = Conn::new(options("root", None)?).map_err(told)?;
        conn.query_drop(SESSION).map_err(told)?;
        let version: Option<String> = conn.query_first("SELECT VERSION()").map_err(told)?;
        Ok(Self {
            conn,
            is_mariadb: version.is_some_and(|version| version.contains("MariaDB")),
            seed,
            rows: BTreeMap::new(),
            scripts: BTreeMap::new(),
        })
    }

    pub(super) fn differs(
        &mut self,
        spec: &DatabaseSpec,
        password: Option<&str>,
    ) -> Result<Vec<String>, SqlError> {
        let mut diff = Vec::new();
        match self.sets(&spec.name)? {
            None => diff.push("missing".to_owned()),
            Some(seen) => {
                for (seen, wanted, what) in [
                    (&seen.0, &spec.charset, "character set"),
                    (&seen.1, &spec.collation, "collation"),
                ] {
                    if seen != wanted {
                        diff.push(format!("{what} {seen}, not {wanted}"));
                    }
                }
            }
        }
        if self.has_user(&spec.user)? {
            diff.extend(self.shows(spec, password)?);
            let (has, more) = self.grants(spec)?;
            if !has {
                diff.push("its user has not all rights in it".to_owned());
            }
            diff.extend(more.into_iter().map(|one| format!("its user has {one:?}")));
        } else {
            diff.push(format!("user {} is missing", spec.user));
        }
        Ok(diff)
    }

    pub(super) fn make(
        &mut self,
        spec: &DatabaseSpec,
        password: Option<&str>,
    ) -> Result<(), SqlError> {
        let (name, account) = (quoted(&spec.name, '`'), account(&spec.user));
        let sets = format!("CHARACTER SET {} COLLATE {}", spec.charset, spec.collation);
        match self.sets(&spec.name)? {
            None => self.run(&format!("CREATE DATABASE {name} {sets}"))?,
            Some(seen) if seen.0 != spec.charset || seen.1 != spec.collation => {
                self.run(&format!("ALTER DATABASE {name} {sets}"))?;
            }
            Some(_) => {}
        }
        let auth = self.auth(spec, password)?;
        if !self.has_user(&spec.user)? {
            self.run_quietly(&format!("CREATE USER {account} {auth}"))?;
        } else if self.shows(spec, password)?.is_some() {
            self.run_quietly(&format!("ALTER USER {account} {auth}"))?;
        }
        let (has, more) = self.grants(spec)?;
        if !more.is_empty() {
            self.run(&format!(
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}"
            ))?;
        }
        if !has || !more.is_empty() {
            let own = pattern(&spec.name);
            self.run(&format!("GRANT ALL PRIVILEGES ON {own}.* TO {account}"))?;
        }
        Ok(())
    }

    /// How many tables and views a database has.
    pub(super) fn tables(&mut self, name: &str) -> Result<u64, SqlError> {
        const COUNT: &str = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?";
        let count: Option<u64> = self.conn.exec_first(COUNT, (name,)).map_err(told)?;
        Ok(count.unwrap_or_default())
    }

    pub(super) fn drop_both(&mut self, name: &str, user: &str) -> Result<(), SqlError> {
        self.run(&format!("DROP DATABASE IF EXISTS {}", quoted(name, '`')))?;
        self.run(&format!("DROP USER IF EXISTS {}", account(user)))
    }

    pub(super) fn row(
        &mut self,
        place: &RowPlace,
        columns: &[SqlCell],
    ) -> Result<Option<Vec<SeenCell>>, SqlError> {
        self.rows_of(place)?.row(place, columns)
    }

    pub(super) fn write(
        &mut self,
        place: &RowPlace,
        values: &[SqlCell],
        initial: Option<&[SqlCell]>,
    ) -> Result<(), SqlError> {
        self.rows_of(place)?.write(place, values, initial)
    }

    pub(super) fn delete(&mut self, place: &RowPlace) -> Result<(), SqlError> {
        self.rows_of(place)?.delete(place)
    }

    /// Character set and collation of a database.
    fn sets(&mut self, name: &str) -> Result<Option<(String, String)>, SqlError> {
        const SETS: &str = "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME \
                            FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?";
        self.conn.exec_first(SETS, (name,)).map_err(told)
    }

    fn has_user(&mut self, user: &str) -> Result<bool, SqlError> {
        const USER: &str = "SELECT 1 FROM mysql.user WHERE User = ? AND Host = 'localhost'";
        let found: Option<u8> = self.conn.exec_first(USER, (user,)).map_err(told)?;
        Ok(found.is_some())
    }

    /// What is wrong with how a user shows who it is.
    fn shows(
        &mut self,
        spec: &DatabaseSpec,
        password: Option<&str>,
    ) -> Result<Option<String>, SqlError> {
        const PLUGIN: &str = "SELECT plugin FROM mysql.user WHERE User = ? AND Host = 'localhost'";
        match (&spec.auth, password) {
            (DatabaseAuth::Peer, _) => {
                let plugin: Option<String> = self
                    .conn
                    .exec_first(PLUGIN, (spec.user.as_str(),))
                    .map_err(told)?;
                let plugin = plugin.unwrap_or_default();
                let good = ["unix_socket", "auth_socket"].contains(&plugin.as_str());
                Ok((!good).then(|| "its user is not known by its process".to_owned()))
            }
            (DatabaseAuth::Password(_), password) => {
                let entered = enter(&spec.user, password)?;
                let another = || "its user has another password".to_owned();
                Ok(entered.is_none().then(another))
            }
        }
    }

    fn grants(&mut self, spec: &DatabaseSpec) -> Result<(bool, Vec<String>), SqlError> {
        let asked = format!("SHOW GRANTS FOR {}", account(&spec.user));
        let lines: Vec<String> = self.conn.query(asked).map_err(quiet)?;
        Ok(grants(&lines, &spec.name))
    }

    /// How an account is told to show who it is.
    fn auth(&self, spec: &DatabaseSpec, password: Option<&str>) -> Result<String, SqlError> {
        match (&spec.auth, password) {
            (DatabaseAuth::Peer, _) if self.is_mariadb => Ok("IDENTIFIED VIA unix_socket".into()),
            (DatabaseAuth::Peer, _) => Ok("IDENTIFIED WITH auth_socket".into()),
            (DatabaseAuth::Password(_), Some(password)) => Ok(self.by_password(password)),
            (DatabaseAuth::Password(_), None) => {
                Err(SqlError::Refused("its password is not at hand".to_owned()))
            }
        }
    }

    fn by_password(&self, password: &str) -> String {
        if self.is_mariadb {
            // The hash alone: what the server writes into its logs opens nothing.
            let hash = native_hash(password);
            return format!("IDENTIFIED BY PASSWORD '{hash}'");
        }
        // It has no way to take a hash that it can salt; it keeps passwords out of its logs itself.
        format!("IDENTIFIED BY '{password}'")
    }

    fn run(&mut self, statement: &str) -> Result<(), SqlError> {
        self.conn.query_drop(statement).map_err(told)
    }

    /// The same where a password or its hash is part of it.
    fn run_quietly(&mut self, statement: &str) -> Result<(), SqlError> {
        self.conn.query_drop(statement).map_err(quiet)
    }
}

/// Logs in as this user itself does it; nothing when it is not let in.
fn enter(user: &str, password: Option<&str>) -> Result<Option<Conn>, SqlError> {
    match Conn::new(options(user, password)?) {
        Ok(conn) => Ok(Some(conn)),
        Err(Error::MySqlError(error))
            if [ACCESS_DENIED, DENIED_WITHOUT_PASSWORD].contains(&error.code) =>
        {
            Ok(None)
        }
        Err(error) => Err(quiet(error)),
    }
}

fn options(user: &str, password: Option<&str>) -> Result<OptsBuilder, SqlError> {
    let socket = SOCKETS.into_iter().find(|path| Path::new(path).exists());
    let Some(socket) = socket else {
        return Err(SqlError::Down {
            engine: Engine::Mysql,
            reason: format!("there is no {}", SOCKETS[0]),
        });
    };
    Ok(OptsBuilder::new()
        .socket(Some(socket))
        .user(Some(user))
        .pass(password)
        .prefer_socket(false)
        .read_timeout(Some(ANSWER))
        .write_timeout(Some(ANSWER))
        .stmt_cache_size(Some(64)))
}

/// Users come from this machine alone.
fn account(user: &str) -> String {
    format!("{}@'localhost'", quoted(user, '\''))
}

fn told(error: Error) -> SqlError {
    let engine = Engine::Mysql;
    match error {
        Error::MySqlError(error) => SqlError::Said {
            engine,
            said: cut(&error.to_string()),
        },
        // What broke off, came too late or could not be understood: the connection is of no more use.
        error => SqlError::Down {
            engine,
            reason: cut(&error.to_string()),
        },
    }
}

/// By its number, where words might repeat a password or its hash.
fn quiet(error: Error) -> SqlError {
    match error {
        Error::MySqlError(error) => SqlError::Said {
            engine: Engine::Mysql,
            said: format!("error {} (its words are not repeated here)", error.code),
        },
        error => told(error),
    }
}
