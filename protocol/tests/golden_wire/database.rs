//! Databases of the host, a row and a script: one of each kind.

use email_engine_protocol::bytes::Commitment;
use email_engine_protocol::desired::{
    DatabaseAuth, DatabaseSpec, Engine, KeptTable, OnRemove, Policy, Resource, Spec, SqlCell,
    SqlGiven, SqlRowSpec, SqlScriptSpec, SqlValue,
};
use email_engine_protocol::id::SecretId;
use email_engine_protocol::secret::SecretRef;

use super::samples::resource;

pub(crate) fn all() -> Vec<Resource> {
    let secret = SecretRef {
        id: SecretId::new("database/mailwizz1/mailwizz").unwrap(),
        version: 3,
        commitment: Commitment([7; 32]),
    };
    let database = |engine, name: &str, auth| {
        let spec = DatabaseSpec {
            engine,
            name: name.to_owned(),
            charset: "utf8mb4".to_owned(),
            collation: "utf8mb4_unicode_ci".to_owned(),
            user: name.to_owned(),
            auth,
        };
        let id = format!("database:{name}");
        resource(&id, Spec::Database(spec), OnRemove::Leave, Policy::Enforce)
    };
    let cell = |column: &str, value| SqlCell {
        column: column.to_owned(),
        value,
    };
    let row = SqlRowSpec {
        engine: Engine::Mysql,
        database: "mailwizz".to_owned(),
        table: "mw_delivery_server".to_owned(),
        keys: vec![cell("name", SqlValue::Text("one".to_owned()))],
        values: vec![
            cell("daily_quota", SqlValue::Integer(50)),
            cell("hidden", SqlValue::Bool(false)),
        ],
        initial: vec![cell("date_added", SqlValue::Now)],
        deactivate: vec![cell("status", SqlValue::Text("inactive".to_owned()))],
    };
    let row = Spec::SqlRow(row);
    let id = "sql_row:mailwizz/mw_delivery_server/one";
    vec![
        database(Engine::Mysql, "mailwizz", DatabaseAuth::Password(secret)),
        database(Engine::Postgresql, "www_data", DatabaseAuth::Peer),
        resource(id, row, OnRemove::Disable, Policy::Enforce),
    ]
}

pub(crate) fn script() -> Resource {
    let spec = SqlScriptSpec {
        engine: Engine::Mysql,
        database: "shop".to_owned(),
        reads: vec!["price".to_owned()],
        writes: vec!["offer".to_owned()],
        keeps: vec![KeptTable {
            name: "seen".to_owned(),
            columns: "id INT PRIMARY KEY".to_owned(),
        }],
        given: vec![SqlGiven {
            name: "out".to_owned(),
            value: "[7]".to_owned(),
        }],
        wanted: "SELECT id FROM offer".to_owned(),
        statements: vec!["DELETE FROM offer".to_owned()],
        told: Some("SELECT id FROM seen".to_owned()),
    };
    resource(
        "sql_script:shop/offers",
        Spec::SqlScript(spec),
        OnRemove::Leave,
        Policy::Enforce,
    )
}
