//! PostgreSQL over the local socket, as `postgres`, which it knows by the process that asks.
//!
//! The kernel notes who asks when a connection is made: a thread that lives for nothing else takes that
//! user's number, connects, and hands the open socket back. No program is run, and no rule of the
//! server's has to be changed.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::thread;

use email_engine_protocol::desired::{DatabaseAuth, DatabaseSpec, Engine, SqlCell, SqlValue};
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, NoTls, Row};

use super::text::{differing, quoted};
use super::{ANSWER, RowPlace, SeenCell, SqlError, ambiguous, cut, scram};

const SOCKET: &str = "/run/postgresql/.s.PGSQL.5432";
const ADMIN: &str = "postgres";

/// A connection to one database.
pub(super) struct Postgresql {
    runtime: Runtime,
    client: Client,
}

impl fmt::Debug for Postgresql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgresql")
    }
}

/// A column of a table, and what the server calls its type.
struct Typed<'a> {
    cell: &'a SqlCell,
    kind: String,
}

impl Postgresql {
    /// Without a name the one that every server has.
    pub(super) fn open(database: &str) -> Result<Self, SqlError> {
        let name = if database.is_empty() { ADMIN } else { database };
        let stream = connect().map_err(|error| down(&format!("{SOCKET}: {error}")))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| down(&error.to_string()))?;
        let mut config = Config::new();
        config
            .user(ADMIN)
            .dbname(name)
            .application_name("email-engine")
            .options("-c lock_timeout=5s -c statement_timeout=9s");
        let opened = async {
            stream
                .set_nonblocking(true)
                .map_err(|e| down(&e.to_string()))?;
            let stream = tokio::net::UnixStream::from_std(stream);
            let stream = stream.map_err(|error| down(&error.to_string()))?;
            config.connect_raw(stream, NoTls).await.map_err(|error| {
                if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) {
                    SqlError::Absent(format!("there is no database {name}"))
                } else if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) {
                    down("it is starting or stopping")
                } else {
                    told(&error)
                }
            })
        };
        let (client, connection) = runtime.block_on(async {
            let answer = tokio::time::timeout(ANSWER, opened).await;
            answer.unwrap_or_else(|_| Err(late()))
        })?;
        // What it ends with is told to whoever asks next.
        runtime.spawn(connection);
        Ok(Self { runtime, client })
    }

    pub(super) fn differs(
        &mut self,
        spec: &DatabaseSpec,
        password: Option<&str>,
    ) -> Result<Vec<String>, SqlError> {
        let mut diff = Vec::new();
        match self.look(&spec.name)? {
            None => diff.push("missing".to_owned()),
            Some(seen) => {
                for (seen, wanted, what) in [
                    (&seen.charset, &spec.charset, "character set"),
                    (&seen.collation, &spec.collation, "collation"),
                    (&seen.owner, &spec.user, "owner"),
                ] {
                    if !seen.eq_ignore_ascii_case(wanted) {
                        diff.push(format!("{what} {seen}, not {wanted}"));
                    }
                }
                if seen.open {
                    diff.push("everybody may connect to it".to_owned());
                }
            }
        }
        diff.extend(self.role_differs(spec, password)?);
        Ok(diff)
    }

    pub(super) fn make(
        &mut self,
        spec: &DatabaseSpec,
        password: Option<&str>,
    ) -> Result<(), SqlError> {
        let (name, user) = (quoted(&spec.name, '"'), quoted(&spec.user, '"'));
        if self.role(&spec.user)?.is_none() {
            self.run(&format!("CREATE ROLE {user}"))?;
        }
        if !self.role_differs(spec, password)?.is_empty() {
            let auth = match (&spec.auth, password) {
                (DatabaseAuth::Peer, _) => "NULL".to_owned(),
                (DatabaseAuth::Password(_), Some(password)) => {
                    let made = scram::verifier(password);
                    let made = made.ok_or_else(|| {
                        SqlError::Refused("the machine gives no random bytes".to_owned())
                    })?;
                    format!("'{made}'")
                }
                (DatabaseAuth::Password(_), None) => {
                    return Err(SqlError::Refused("its password is not at hand".to_owned()));
                }
            };
            let rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";
            let statement = format!("ALTER ROLE {user} {rights} PASSWORD {auth}");
            self.run_quietly(&statement)?;
        }
        match self.look(&spec.name)? {
            None => {
                let (charset, collation) = (&spec.charset, &spec.collation);
                self.run(&format!(
                    "CREATE DATABASE {name} OWNER {user} TEMPLATE template0 ENCODING '{charset}' \
                     LC_COLLATE '{collation}' LC_CTYPE '{collation}'"
                ))?;
            }
            Some(seen) if !seen.owner.eq(&spec.user) => {
                self.run(&format!("ALTER DATABASE {name} OWNER TO {user}"))?;
            }
            Some(_) => {}
        }
        self.run(&format!(
            "REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC"
        ))
    }

    /// How many tables, views and sequences this connection's database has.
    pub(super) fn tables(&mut self, _: &str) -> Result<u64, SqlError> {
        const COUNT: &str = "SELECT count(*) FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') \
             AND n.nspname !~ '^pg_(toast|temp)' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')";
        let count: i64 = self.one(COUNT, &[])?.map_or(0, |row| row.get(0));
        Ok(count.unsigned_abs())
    }

    pub(super) fn drop_both(&mut self, name: &str, user: &str) -> Result<(), SqlError> {
        self.run(&format!("DROP DATABASE IF EXISTS {}", quoted(name, '"')))?;
        self.run(&format!("DROP ROLE IF EXISTS {}", quoted(user, '"')))
    }

    pub(super) fn row(
        &mut self,
        place: &RowPlace,
        columns: &[SqlCell],
    ) -> Result<Option<Vec<SeenCell>>, SqlError> {
        self.select(place, columns, "")
    }

    pub(super) fn write(
        &mut self,
        place: &RowPlace,
        values: &[SqlCell],
        initial: Option<&[SqlCell]>,
    ) -> Result<(), SqlError> {
        self.run("BEGIN")?;
        let done = self.write_within(place, values, initial);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.run(end);
        done.and(ended)
    }

    pub(super) fn delete(&mut self, place: &RowPlace) -> Result<(), SqlError> {
        if self.row(place, &[])?.is_none() {
            return Ok(());
        }
        let keys = self.typed(place, &place.keys)?;
        let table = quoted(&place.table, '"');
        let statement = format!("DELETE FROM {table} WHERE {}", conditions(&keys, 0));
        self.run_with(&statement, &keys)
    }

    fn write_within(
        &mut self,
        place: &RowPlace,
        values: &[SqlCell],
        initial: Option<&[SqlCell]>,
    ) -> Result<(), SqlError> {
        let seen = self.select(place, values, " FOR UPDATE")?;
        let table = quoted(&place.table, '"');
        match (seen, initial) {
            (Some(seen), _) => {
                let wrong: Vec<SqlCell> = differing(values, &seen).into_iter().cloned().collect();
                if wrong.is_empty() {
                    return Ok(());
                }
                let (wrong, keys) = (self.typed(place, &wrong)?, self.typed(place, &place.keys)?);
                let set = wrong.iter().enumerate().map(|(at, one)| {
                    format!("{} = {}", quoted(&one.cell.column, '"'), sign(one, at))
                });
                let set = set.collect::<Vec<_>>().join(", ");
                let keys_hold = conditions(&keys, wrong.len());
                let statement = format!("UPDATE {table} SET {set} WHERE {keys_hold}");
                let bound: Vec<Typed<'_>> = wrong.into_iter().chain(keys).collect();
                self.run_with(&statement, &bound)
            }
            (None, Some(initial)) => {
                let all = [&place.keys, values, initial].concat();
                let all = self.typed(place, &all)?;
                let names = all.iter().map(|one| quoted(&one.cell.column, '"'));
                let names = names.collect::<Vec<_>>().join(", ");
                let mut bound = 0;
                let signs = all.iter().map(|one| {
                    let sign = sign(one, bound);
                    bound += usize::from(one.cell.value != SqlValue::Now);
                    sign
                });
                let signs = signs.collect::<Vec<_>>().join(", ");
                let statement = format!("INSERT INTO {table} ({names}) VALUES ({signs})");
                self.run_with(&statement, &all)
            }
            // Who only says farewell makes nothing.
            (None, None) => Ok(()),
        }
    }

    fn select(
        &mut self,
        place: &RowPlace,
        columns: &[SqlCell],
        lock: &str,
    ) -> Result<Option<Vec<SeenCell>>, SqlError> {
        let keys = self.typed(place, &place.keys)?;
        let wanted = self.typed(place, columns)?;
        let names = wanted.iter().map(|one| {
            let name = quoted(&one.cell.column, '"');
            match one.kind.as_str() {
                "bytea" => format!("convert_from({name}, 'UTF8')"),
                _ => format!("CAST({name} AS text)"),
            }
        });
        let names = names.collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { "'1'" } else { &names };
        let (table, keys_hold) = (quoted(&place.table, '"'), conditions(&keys, 0));
        let statement = format!("SELECT {names} FROM {table} WHERE {keys_hold} LIMIT 2{lock}");
        let rows = self.query(&statement, &keys)?;
        match rows.as_slice() {
            [] => Ok(None),
            [row] => {
                let seen = (0..columns.len()).map(|at| {
                    let text: Option<String> = row.try_get(at).map_err(|error| told(&error))?;
                    Ok(text.map(String::into_bytes))
                });
                seen.collect::<Result<_, _>>().map(Some)
            }
            _ => Err(ambiguous(place)),
        }
    }

    /// Columns with the types that the table gives them.
    fn typed<'a>(
        &mut self,
        place: &RowPlace,
        cells: &'a [SqlCell],
    ) -> Result<Vec<Typed<'a>>, SqlError> {
        const KINDS: &str = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'public' AND c.relname = $1::text AND a.attnum > 0 \
             AND NOT a.attisdropped";
        let table = place.table.as_str();
        let rows = self.ask(self.client.query(KINDS, &[&table]))?;
        if rows.is_empty() {
            let text = format!("there is no table {}.{table}", place.database);
            return Err(SqlError::Absent(text));
        }
        let kind = |cell: &SqlCell| {
            let mut rows = rows.iter();
            let row = rows.find(|row| row.get::<_, &str>(0) == cell.column);
            row.map(|row| row.get::<_, String>(1))
        };
        let typed = cells.iter().map(|cell| match kind(cell) {
            Some(kind) => Ok(Typed { cell, kind }),
            None => Err(SqlError::NoColumn(format!(
                "table {table} has no column {}",
                cell.column
            ))),
        });
        typed.collect()
    }

    fn look(&mut self, name: &str) -> Result<Option<Seen>, SqlError> {
        const LOOK: &str = "SELECT pg_encoding_to_char(encoding)::text, datcollate::text, \
             pg_get_userbyid(datdba)::text, \
             COALESCE((SELECT bool_or(grantee = 0) FROM aclexplode(COALESCE(datacl, \
                acldefault('d', datdba)))), false) \
             FROM pg_database WHERE datname = $1::text";
        let row = self.one(LOOK, &[&name])?;
        Ok(row.map(|row| Seen {
            charset: row.get(0),
            collation: row.get(1),
            owner: row.get(2),
            open: row.get(3),
        }))
    }

    /// Whether a role has more than a role of its own database needs, whether it may log in, and the
    /// verifier of its password.
    fn role(&mut self, user: &str) -> Result<Option<(bool, bool, Option<String>)>, SqlError> {
        const ROLE: &str = "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication \
             OR rolbypassrls OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_authid.oid), \
             rolcanlogin, rolpassword FROM pg_authid WHERE rolname = $1::text";
        let row = self.one(ROLE, &[&user])?;
        Ok(row.map(|row| (row.get(0), row.get(1), row.get(2))))
    }

    fn role_differs(
        &mut self,
        spec: &DatabaseSpec,
        password: Option<&str>,
    ) -> Result<Vec<String>, SqlError> {
        let Some((more, logs_in, stored)) = self.role(&spec.user)? else {
            return Ok(vec![format!("user {} is missing", spec.user)]);
        };
        let same = match (&spec.auth, password, &stored) {
            (DatabaseAuth::Peer, _, stored) => stored.is_none(),
            (DatabaseAuth::Password(_), Some(password), Some(stored)) => {
                scram::is_of(stored, password)
            }
            (DatabaseAuth::Password(_), _, _) => false,
        };
        let all = [
            (more, "its user has rights beyond it"),
            (!logs_in, "its user may not log in"),
            (!same, "its user has another password"),
        ];
        let wrong = all.into_iter().filter(|(is_wrong, _)| *is_wrong);
        Ok(wrong.map(|(_, said)| said.to_owned()).collect())
    }

    fn one(
        &mut self,
        statement: &str,
        bound: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, SqlError> {
        self.ask(self.client.query_opt(statement, bound))
    }

    fn run(&mut self, statement: &str) -> Result<(), SqlError> {
        self.ask(self.client.batch_execute(statement))
    }

    /// The same where the verifier of a password is part of it.
    fn run_quietly(&mut self, statement: &str) -> Result<(), SqlError> {
        self.run(statement).map_err(|error| match error {
            SqlError::Said { engine, .. } => SqlError::Said {
                engine,
                said: "no (its words are not repeated here)".to_owned(),
            },
            other => other,
        })
    }

    fn run_with(&mut self, statement: &str, cells: &[Typed<'_>]) -> Result<(), SqlError> {
        self.query(statement, cells).map(drop)
    }

    fn query(&mut self, statement: &str, cells: &[Typed<'_>]) -> Result<Vec<Row>, SqlError> {
        let texts: Vec<Option<String>> = cells.iter().filter_map(bound).collect();
        let bound: Vec<&(dyn ToSql + Sync)> = texts
            .iter()
            .map(|text| text as &(dyn ToSql + Sync))
            .collect();
        self.ask(self.client.query(statement, &bound))
    }

    fn ask<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, SqlError> {
        let answer = self.runtime.block_on(async {
            tokio::time::timeout(ANSWER, answer)
                .await
                .map_err(|_| late())
        });
        answer?.map_err(|error| told(&error))
    }
}

/// A database as it was found.
struct Seen {
    charset: String,
    collation: String,
    owner: String,
    /// Whether everybody may connect.
    open: bool,
}

/// What is bound for a column; nothing for what the server itself knows.
fn bound(one: &Typed<'_>) -> Option<Option<String>> {
    match &one.cell.value {
        SqlValue::Null => Some(None),
        SqlValue::Bool(value) => Some(Some(value.to_string())),
        SqlValue::Integer(value) => Some(Some(value.to_string())),
        SqlValue::Decimal(text) | SqlValue::Text(text) | SqlValue::Json(text) => {
            Some(Some(text.clone()))
        }
        SqlValue::OneOf(texts) => texts.first().cloned().map(Some),
        SqlValue::Now | SqlValue::Unclaimed => None,
    }
}

/// What stands for a value: bound as text, and read as what the column is. `before` is how many others
/// are bound before it.
fn sign(one: &Typed<'_>, before: usize) -> String {
    match (&one.cell.value, one.kind.as_str()) {
        (SqlValue::Now, _) => "now()".to_owned(),
        (_, "bytea") => format!("convert_to(${}::text, 'UTF8')", before + 1),
        (_, kind) => format!("CAST(${}::text AS {kind})", before + 1),
    }
}

fn conditions(keys: &[Typed<'_>], before: usize) -> String {
    let texts = keys.iter().enumerate().map(|(at, key)| {
        let name = quoted(&key.cell.column, '"');
        format!("{name} = {}", sign(key, before + at))
    });
    texts.collect::<Vec<_>>().join(" AND ")
}

/// A socket on which the server sees its own administrator.
fn connect() -> io::Result<UnixStream> {
    let own = geteuid();
    let admin = crate::host::user(ADMIN).map_err(io::Error::other)?.0;
    if !own.is_root() || own.as_raw() == admin {
        return UnixStream::connect(SOCKET);
    }
    let asking = thread::Builder::new().name("postgresql".to_owned());
    let asking = asking.spawn(move || {
        // Of this thread alone, which ends with it; the others stay who they are.
        set_thread_res_uid(None::<Uid>, Some(Uid::from_raw(admin)), None::<Uid>)?;
        UnixStream::connect(SOCKET)
    })?;
    let connected = asking.join();
    connected.unwrap_or_else(|_| Err(io::Error::other("the thread that connects has failed")))
}

fn down(reason: &str) -> SqlError {
    SqlError::Down {
        engine: Engine::Postgresql,
        reason: cut(reason),
    }
}

fn late() -> SqlError {
    down(&format!("no answer within {} s", ANSWER.as_secs()))
}

fn told(error: &Error) -> SqlError {
    match error.as_db_error() {
        Some(said) => SqlError::Said {
            engine: Engine::Postgresql,
            said: cut(said.message()),
        },
        None => down(&error.to_string()),
    }
}
