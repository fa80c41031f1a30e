//! Accounts of the agent's own, one for each table in which it keeps rows, and one for the tables of a script.
//!
//! The owner of an application's database decides what is in it: a trigger on a table, or a view in its
//! place. What a trigger or a view of theirs does runs with the rights of whoever defined it, which are
//! their own, or with those of who asks. So who asks is an account that may read and write the rows of
//! this one table and nothing else, in no other database: it has nothing to lend. As `root` only the
//! server's own catalogue is asked.
//!
//! Its password is known to this process alone, and another in its next life. It opens the socket of this
//! machine, and that table.

use std::collections::BTreeSet;

use email_engine_protocol::desired::SqlScriptSpec;
use mysql::Conn;
use mysql::prelude::Queryable;
use ring::digest;
use ring::rand::SecureRandom;
use zeroize::Zeroizing;

use super::super::text::quoted;
use super::super::{RowPlace, SqlError};
use super::{Mysql, Rows, Script, account, enter, quiet, told};

/// How these accounts are called, before what tells one from another.
const NAME: &str = "email_engine_";
/// What tells them apart, in letters: with the name within the 32 that MySQL allows.
const LETTERS: usize = 16;
/// What they may do in their table.
const RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE";
/// What those of scripts may do in tables that they only read, and in those that they make themselves.
const READS: &str = "SELECT";
const KEEPS: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE";

/// What passwords are made of, once in the life of a process.
#[derive(Clone)]
pub(in super::super) struct Seed(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

impl Seed {
    pub(in super::super) fn made() -> Result<Self, SqlError> {
        let mut bytes = Zeroizing::new([0; 32]);
        let filled = ring::rand::SystemRandom::new().fill(&mut *bytes);
        let refused = |_| SqlError::Refused("the system gives no random bytes".to_owned());
        filled.map_err(refused)?;
        Ok(Self(bytes))
    }

    /// Letters and digits that nobody else knows.
    fn password(&self, account: &str) -> Zeroizing<String> {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&*self.0);
        context.update(account.as_bytes());
        let digest = context.finish();
        Zeroizing::new(data_encoding::HEXLOWER.encode(digest.as_ref()))
    }
}

/// The account for a table: the same each time, another for each table.
fn named(place: &RowPlace) -> String {
    name_of(&[&place.database, &place.table])
}

/// The account for a script: another for each set of rights.
fn named_for(script: &SqlScriptSpec) -> String {
    let rights = rights(script);
    let mut words = vec!["script"];
    words.extend(rights.iter().map(String::as_str));
    name_of(&words)
}

fn name_of(words: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            // No name holds it.
            context.update(b"\0");
        }
        context.update(word.as_bytes());
    }
    let hex = data_encoding::HEXLOWER.encode(context.finish().as_ref());
    format!("{NAME}{}", &hex[..LETTERS])
}

/// What a script needs, a line for each table, as the server lists it.
fn rights(script: &SqlScriptSpec) -> Vec<String> {
    let on = |rights: &str, table: &str| {
        let (database, table) = (quoted(&script.database, '`'), quoted(table, '`'));
        format!("GRANT {rights} ON {database}.{table}")
    };
    let reads = script.reads.iter().map(|table| on(READS, table));
    let writes = script.writes.iter().map(|table| on(RIGHTS, table));
    let keeps = script.keeps.iter().map(|table| on(KEEPS, &table.name));
    reads.chain(writes).chain(keeps).collect()
}

impl Mysql {
    /// The way to the rows of a table, kept as long as this connection is.
    pub(super) fn rows_of(&mut self, place: &RowPlace) -> Result<&mut Rows, SqlError> {
        // Each time: connections are kept for as long as they are used.
        self.must_be_table(&place.database, &place.table)?;
        let key = (place.database.clone(), place.table.clone());
        let rows = match self.rows.remove(&key) {
            Some(rows) => rows,
            None => {
                let (database, table) = (quoted(&place.database, '`'), quoted(&place.table, '`'));
                let wanted = format!("GRANT {RIGHTS} ON {database}.{table}");
                Rows::of(self.enter_as(&named(place), &[wanted])?)?
            }
        };
        Ok(self.rows.entry(key).or_insert(rows))
    }

    /// The way to the tables of a script, likewise. Whoever asks has seen that they are tables.
    pub(super) fn script_of(&mut self, script: &SqlScriptSpec) -> Result<&mut Script, SqlError> {
        let name = named_for(script);
        let open = match self.scripts.remove(&name) {
            Some(open) => open,
            None => Script::of(self.enter_as(&name, &rights(script))?, &script.database)?,
        };
        Ok(self.scripts.entry(name).or_insert(open))
    }

    fn enter_as(&mut self, name: &str, wanted: &[String]) -> Result<Conn, SqlError> {
        let password = self.seed.password(name);
        let entered = enter(name, Some(&password))?;
        let conn = match entered {
            Some(conn) => conn,
            None => {
                let auth = self.by_password(&password);
                let verb = if self.has_user(name)? {
                    "ALTER"
                } else {
                    "CREATE"
                };
                self.run_quietly(&format!("{verb} USER {} {auth}", account(name)))?;
                let entered = enter(name, Some(&password))?;
                entered.ok_or_else(|| {
                    let text = format!("the server does not let in {name}, which was just made");
                    SqlError::Refused(text)
                })?
            }
        };
        self.limit(name, wanted)?;
        Ok(conn)
    }

    /// A view would have its owner say what is read and written.
    pub(super) fn must_be_table(&mut self, database: &str, table: &str) -> Result<(), SqlError> {
        const KIND: &str = "SELECT TABLE_TYPE FROM information_schema.TABLES \
                            WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
        let names = (database, table);
        let kind: Option<String> = self.conn.exec_first(KIND, names).map_err(told)?;
        match kind.as_deref() {
            Some("BASE TABLE" | "SYSTEM VERSIONED") => Ok(()),
            Some(kind) => Err(SqlError::Refused(format!(
                "{database}.{table} is no table but of the kind {kind}: rows are kept in tables alone"
            ))),
            None if self.sets(database)?.is_none() => {
                Err(SqlError::Absent(format!("there is no database {database}")))
            }
            None => {
                let text = format!("there is no table {database}.{table}");
                Err(SqlError::Absent(text))
            }
        }
    }

    /// Gives an account what it needs, and takes what it has beyond that.
    fn limit(&mut self, name: &str, wanted: &[String]) -> Result<(), SqlError> {
        let account = account(name);
        let asked = format!("SHOW GRANTS FOR {account}");
        let lines: Vec<String> = self.conn.query(asked).map_err(quiet)?;
        if is_limited(&lines, wanted) {
            return Ok(());
        }
        let revoke = format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}");
        self.run(&revoke)?;
        for right in wanted {
            self.run(&format!("{right} TO {account}"))?;
        }
        Ok(())
    }
}

/// Whether these lines of `SHOW GRANTS` are those that are wanted and what every account has. What follows the account
/// may be a hash and is not looked at, but for what hands rights on.
fn is_limited(lines: &[String], wanted: &[String]) -> bool {
    let heads = lines.iter().map(|line| {
        let head = line.split(" TO ").next().unwrap_or_default();
        (head, line.contains("WITH GRANT OPTION"))
    });
    let mut has = BTreeSet::new();
    for (head, hands_on) in heads {
        if hands_on {
            return false;
        }
        if wanted.iter().any(|right| right == head) {
            has.insert(head);
        } else if head != "GRANT USAGE ON *.*" {
            return false;
        }
    }
    has.len() == wanted.len()
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::Engine;

    use super::*;

    fn place(database: &str, table: &str) -> RowPlace {
        RowPlace {
            engine: Engine::Mysql,
            database: database.to_owned(),
            table: table.to_owned(),
            keys: Vec::new(),
        }
    }

    #[test]
    fn every_table_has_an_account_of_its_own_with_a_name_that_fits() {
        let names: BTreeSet<String> = [
            place("a", "b"),
            place("ab", ""),
            place("b", "a"),
            place("mailwizz", "mw_delivery_server"),
        ]
        .iter()
        .map(named)
        .collect();
        assert_eq!(names.len(), 4);
        assert!(names.iter().all(|name| name.len() <= 32));
        assert_eq!(named(&place("a", "b")), named(&place("a", "b")));
    }

    #[test]
    fn a_password_is_another_for_each_account_and_each_life_and_is_never_shown() {
        let (one, two) = (Seed::made().unwrap(), Seed::made().unwrap());
        assert_eq!(one.password("a"), one.password("a"));
        assert_ne!(one.password("a"), one.password("b"));
        assert_ne!(one.password("a"), two.password("a"));
        assert!(super::super::super::text::check_password(&one.password("a")).is_ok());
        assert_eq!(format!("{one:?}"), "Seed");
    }

    #[test]
    fn what_an_account_has_beyond_its_table_is_seen() {
        let right = "GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.`t`";
        let wanted = &[right.to_owned()][..];
        let usage = "GRANT USAGE ON *.* TO `x`@`localhost` IDENTIFIED BY PASSWORD '*AB'".to_owned();
        let own = format!("{right} TO `x`@`localhost`");
        assert!(is_limited(&[usage.clone(), own.clone()], wanted));
        for more in [
            "GRANT SELECT ON *.* TO `x`@`localhost`".to_owned(),
            "GRANT SELECT ON `other`.* TO `x`@`localhost`".to_owned(),
            "GRANT `admins` TO `x`@`localhost`".to_owned(),
            format!("{own} WITH GRANT OPTION"),
        ] {
            assert!(!is_limited(&[usage.clone(), own.clone(), more], wanted));
        }
        assert!(!is_limited(std::slice::from_ref(&usage), wanted));
        let read = "GRANT SELECT ON `shop`.`u`".to_owned();
        let both = [right.to_owned(), read.clone()];
        let reads = format!("{read} TO `x`@`localhost`");
        assert!(!is_limited(&[usage.clone(), own.clone()], &both));
        assert!(is_limited(&[usage, own, reads], &both));
    }
}
