//! What a MailWizz keeps in its database, on a host that has the database alone: tables as they are documented,
//! and of the shipped role what writes to them.

use std::fs;

use email_engine_tests::lab::Guest;

pub(super) const COORDINATOR: &str = "203.0.113.1";
pub(super) const HOST: &str = "mailwizz1";
const TABLES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/stand-ins/mailwizz/tree/apps/common/data/install-sql/schema.sql"
);
const SHIPPED: &str = include_str!("../../../../../deploy/roles/mailwizz/application.toml");

/// A database server without all that serves pages.
const ROLE: &str = r#"
[values]
max_connection_messages = "50"

[[package]]
name = "mariadb-server"
on_remove = "leave"

[[service]]
unit = "mariadb.service"
on_notify = "restart"
on_remove = "leave"

[[database]]
engine = "mysql"
name = "mailwizz"
charset = "utf8mb4"
collation = "utf8mb4_unicode_ci"
login = "password"
"#;

/// The role, with all of the shipped one from the first table of this kind on.
pub(super) fn role(from: &str) -> String {
    let (_, shipped) = SHIPPED.split_once(from).unwrap();
    format!("{ROLE}\n{from}{shipped}")
}

/// The only things that the host may be given, with these tables.
pub(super) fn allowed(tables: &[&str]) -> String {
    let tables: Vec<_> = tables
        .iter()
        .map(|table| format!("mysql/mailwizz.mw_{table}"))
        .collect();
    format!(
        "packages = [\"mariadb-server\"]\nservices = [\"mariadb.service\"]\n\
         databases = [\"mysql/mailwizz\"]\ndatabase_users = [\"mysql/mailwizz\"]\ntables = {tables:?}\n"
    )
}

pub(super) fn ask(guest: &Guest, text: &str) -> Result<String, String> {
    let call = [
        "mariadb",
        "--batch",
        "--skip-column-names",
        "mailwizz",
        "-e",
    ];
    let output = guest.try_run(&[&call[..], &[text]].concat())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What the wizard would make, under the prefix that is usual.
pub(super) fn make_tables(guest: &Guest, names: &[&str]) {
    let schema = fs::read_to_string(TABLES).unwrap();
    for name in names {
        let begin = schema.find(&format!("CREATE TABLE `{name}` (")).unwrap();
        let end = begin + schema[begin..].find(';').unwrap();
        let mut table = schema[begin..end].to_owned();
        for other in names {
            table = table.replace(&format!("`{other}` ("), &format!("`mw_{other}` ("));
        }
        ask(guest, &table).unwrap();
    }
}
