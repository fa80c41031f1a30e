//! Databases and rows, as a role file has them.

use std::sync::Arc;

use email_engine_coordinator::planner::PlanError;
use email_engine_coordinator::state::{FleetState, SealedAtRest, StoredSecret};
use email_engine_protocol::bytes::Commitment;
use email_engine_protocol::desired::{
    DatabaseAuth, FileContent, OnRemove, Resource, Spec, SqlCell, SqlValue,
};
use email_engine_protocol::id::HostId;

use crate::fixture::Fleet;

const ROLE: &str = "mailwizz/role.toml";
const HOST: &str = "mailwizz1";

const DATABASE: &str = r#"
[[database]]
engine = "mysql"
name = "mailwizz"
charset = "utf8mb4"
collation = "utf8mb4_unicode_ci"
login = "password"

[[file]]
path = "/etc/email-engine/mailwizz/database-password"
secret = "database-password"
database = "mysql/mailwizz"
mode = "0600"
owner = "root"
group = "root"
on_remove = "delete"
"#;

/// Rows of a table of an application, as the role of MailWizz has them where it has the application.
const ROWS: &str = r#"
[[sql_row]]
name = "{{ item.vmta }}"
each = "identity"
engine = "mysql"
database = "mailwizz"
table = "mw_delivery_server"
on_remove = "deactivate"
keys.name = { text = "{{ item.vmta }} (Email-Engine)" }
values.use_for = { text = "{{ 'transactional' if item.purpose in ['transactional', 'notification'] else 'campaigns' }}" }
values.daily_quota = { integer = "{{ [item.daily_quota, 1]|max }}" }
values.meta_data = { php = """
{ "additional_headers": [
    { "name": "X-Force-Return-Path", "value": {{ item.return_path|tojson }} },
    { "name": "X-Virtual-MTA", "value": {{ item.vmta|tojson }} }
] }""" }
initial.date_added = { now = true }
deactivate.status = { text = "inactive" }
"#;

fn with(more: &str) -> Fleet {
    let files = email_engine_coordinator::planner::builtin_bundle();
    Fleet::sos_holidays().with_file(ROLE, &format!("{}\n{more}", files[ROLE]))
}

/// As the leader makes it.
fn with_password(mut fleet: Fleet) -> Fleet {
    let host = HostId::new(HOST).unwrap();
    let id = FleetState::database_secret(&host, "mysql/mailwizz").unwrap();
    let secret = StoredSecret {
        id: id.clone(),
        version: 7,
        commitment: Commitment([7; 32]),
        sealed: SealedAtRest {
            uid: [1; 16],
            kek_version: 1,
            wrapped_key: Vec::new(),
            ciphertext: Vec::new(),
        },
    };
    fleet.state.secrets.insert(id, Arc::new(secret));
    fleet
}

fn of(fleet: &Fleet, id: &str) -> Option<Resource> {
    let planned = fleet.plan(HOST);
    let mut all = planned.config.resources.into_iter();
    all.find(|one| one.id.as_str() == id)
}

#[test]
fn a_database_comes_with_its_password_and_not_before() {
    let fleet = with(DATABASE);
    let file = "file:/etc/email-engine/mailwizz/database-password";
    assert_eq!(of(&fleet, "database:mysql/mailwizz"), None);
    assert_eq!(of(&fleet, file), None);
    let fleet = with_password(fleet);
    let made = of(&fleet, "database:mysql/mailwizz").unwrap();
    assert_eq!(made.on_remove, OnRemove::Leave);
    let Spec::Database(database) = made.spec else {
        panic!("a database");
    };
    assert_eq!(database.user, "mailwizz");
    let DatabaseAuth::Password(secret) = database.auth else {
        panic!("a password");
    };
    assert_eq!(
        (secret.id.as_str(), secret.version),
        ("database/mailwizz1/mysql/mailwizz", 7)
    );
    let Spec::File(spec) = of(&fleet, file).unwrap().spec else {
        panic!("a file");
    };
    assert_eq!(spec.content, FileContent::Secret(secret));
}

#[test]
fn every_identity_has_its_row_which_is_switched_off_with_it() {
    let fleet = with(ROWS);
    let row = of(&fleet, "sql_row:mailwizz.mw_delivery_server/vmta-mail1").unwrap();
    assert_eq!(row.on_remove, OnRemove::Disable);
    let Spec::SqlRow(row) = row.spec else {
        panic!("a row");
    };
    let value = |column: &str| {
        let mut cells = row.values.iter();
        cells
            .find(|cell| cell.column == column)
            .map(|cell| &cell.value)
    };
    let text = |text: &str| SqlValue::Text(text.to_owned());
    assert_eq!(value("use_for"), Some(&text("transactional")));
    assert_eq!(value("daily_quota"), Some(&SqlValue::Integer(100)));
    let Some(SqlValue::Text(meta)) = value("meta_data") else {
        panic!("a text");
    };
    assert!(
        meta.starts_with("a:1:{s:18:\"additional_headers\";a:2:{i:0;a:2:{s:4:\"name\""),
        "{meta}"
    );
    let inactive = SqlCell {
        column: "status".to_owned(),
        value: text("inactive"),
    };
    assert_eq!(row.deactivate, [inactive]);
}

#[test]
fn what_no_server_would_take_is_refused_where_it_is_planned() {
    let database = |lines: &str| {
        format!(
            "[[database]]\nengine = \"mysql\"\ncharset = \"utf8mb4\"\ncollation = \"utf8mb4_bin\"\n\
             login = \"peer\"\n{lines}\n"
        )
    };
    let row = |lines: &str| {
        format!(
            "[[sql_row]]\nname = \"x\"\nengine = \"mysql\"\ndatabase = \"shop\"\ntable = \"t\"\n\
             on_remove = \"leave\"\n{lines}\n"
        )
    };
    for (more, said) in [
        (database("name = \"mysql\""), "keeps for itself"),
        (
            database("name = \"a\"\nuser = \"root\""),
            "keeps for itself",
        ),
        (
            database("name = \"a\"\non_remove = \"delete\""),
            "drop-empty",
        ),
        (
            database("name = \"a\"\nhost = \"%\""),
            "unknown field `host`",
        ),
        (row(""), "keys"),
        (
            row("keys.id = { integer = \"x\" }"),
            "column id is \"x\", accepted is a whole",
        ),
        (
            row("keys.id = { number = \"1\" }"),
            "unknown variant `number`",
        ),
        (row("keys.id = { null = true }"), "1 to 8 key columns"),
        (row("keys.\"a b\" = { integer = \"1\" }"), "then letters"),
        (
            row("keys.id = { integer = \"1\" }\nvalues.a = { php = \"{\" }"),
            "accepted is a JSON text",
        ),
        (
            row("keys.id = { integer = \"1\" }\nvalues.a = { bool = \"yes\" }"),
            "accepted is true or false",
        ),
        (
            "[[file]]\npath = \"/etc/email-engine/mailwizz/x\"\nsecret = \"database-password\"\n\
             database = \"mysql/other\"\nmode = \"0600\"\non_remove = \"delete\"\n"
                .to_owned(),
            "accepted is ENGINE/NAME",
        ),
    ] {
        let refused: PlanError = with(&more).refusal_of(HOST);
        assert!(refused.to_string().contains(said), "{more}: {refused}");
    }
}
