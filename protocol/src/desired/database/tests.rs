//! What is refused before any host sees it.

use super::super::{Disposition, OnRemove, Policy};
use super::*;
use crate::id::{ClusterId, HostId, Role};
use crate::limits;

fn resource(id: &str, spec: Spec) -> Resource {
    Resource {
        id: ResourceId::new(id).unwrap(),
        spec,
        on_remove: OnRemove::Leave,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

fn checked(resources: Vec<Resource>) -> Result<(), String> {
    let config = HostConfig {
        cluster: ClusterId([1; 16]),
        host: HostId::new("mailwizz1").unwrap(),
        role: Role::Mailwizz,
        disposition: Disposition::Active,
        resources,
        large_removal: false,
        accounting: None,
    };
    config.check().map_err(|error| error.to_string())
}

fn database(name: &str, user: &str, collation: &str) -> Spec {
    Spec::Database(DatabaseSpec {
        engine: Engine::Mysql,
        name: name.to_owned(),
        charset: "utf8mb4".to_owned(),
        collation: collation.to_owned(),
        user: user.to_owned(),
        auth: DatabaseAuth::Peer,
    })
}

fn cell(column: &str, value: SqlValue) -> SqlCell {
    SqlCell {
        column: column.to_owned(),
        value,
    }
}

fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

fn row(change: impl FnOnce(&mut SqlRowSpec)) -> Result<(), String> {
    let mut spec = SqlRowSpec {
        engine: Engine::Postgresql,
        database: "shop".to_owned(),
        table: "server".to_owned(),
        keys: vec![cell("name", text("one"))],
        values: vec![cell("quota", SqlValue::Integer(5))],
        initial: vec![cell("added", SqlValue::Now)],
        deactivate: Vec::new(),
    };
    change(&mut spec);
    let mut made = resource("sql_row:one", Spec::SqlRow(spec.clone()));
    if !spec.deactivate.is_empty() {
        made.on_remove = OnRemove::Disable;
    }
    checked(vec![made])
}

fn script(change: impl FnOnce(&mut SqlScriptSpec)) -> Result<(), String> {
    let mut spec = SqlScriptSpec {
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
            value: "[]".to_owned(),
        }],
        wanted: "SELECT 1 FROM offer".to_owned(),
        statements: vec!["DELETE FROM offer".to_owned()],
        told: None,
    };
    change(&mut spec);
    checked(vec![resource("sql_script:one", Spec::SqlScript(spec))])
}

#[test]
fn scripts_are_bounded_and_change_rows_alone() {
    assert_eq!(script(|_| ()), Ok(()));
    type Change = fn(&mut SqlScriptSpec);
    let changes: [(&str, Change); 14] = [
        ("engine is", |script| script.engine = Engine::Postgresql),
        ("database is", |script| script.database = "mysql".to_owned()),
        ("tables is", |script| script.reads = vec!["a`b".to_owned()]),
        ("tables is", |script| {
            script.reads = vec!["offer".to_owned()]
        }),
        ("tables is", |script| {
            script.writes = vec!["b".to_owned(), "a".to_owned()];
        }),
        ("keeps is", |script| script.keeps[0].columns.clear()),
        ("given is", |script| script.given[0].name = "a b".to_owned()),
        ("at most 4194304", |script| {
            script.given[0].value = "x".repeat(limits::SQL_GIVEN_BYTES + 1);
        }),
        ("wanted is", |script| {
            script.wanted = "DELETE FROM offer".to_owned()
        }),
        ("told is", |script| {
            script.told = Some("SHOW TABLES".to_owned())
        }),
        ("statements is", |script| script.statements.clear()),
        // It would end the transaction.
        ("statements is", |script| {
            script.statements = vec!["DROP TABLE offer".to_owned()];
        }),
        ("statements is", |script| {
            script.statements = vec!["DELETE FROM offer;".to_owned()];
        }),
        ("statements is", |script| {
            script.statements = vec![format!("DELETE FROM {}", "x".repeat(16 * 1024))];
        }),
    ];
    for (said, change) in changes {
        let error = script(change).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
    }
    let made = |at: u32| {
        let mut one = None;
        script(|spec| {
            spec.told = Some("SELECT 1".to_owned());
            one = Some(spec.clone());
        })
        .unwrap();
        resource(&format!("sql_script:{at}"), Spec::SqlScript(one.unwrap()))
    };
    assert_eq!(checked((0..2).map(made).collect()), Ok(()));
    let error = checked((0..3).map(made).collect()).unwrap_err();
    assert!(error.contains("scripts that tell"), "{error}");
    let mut gone = made(0);
    gone.on_remove = OnRemove::Delete;
    assert!(checked(vec![gone]).unwrap_err().contains("not taken back"));
}

#[test]
fn databases_and_users_are_ones_own_and_never_the_servers() {
    let good = "utf8mb4_unicode_ci";
    assert_eq!(
        checked(vec![resource("a", database("mailwizz", "mw_1", good))]),
        Ok(())
    );
    let long = "a".repeat(33);
    for bad in [
        "",
        "mysql",
        "root",
        "sys",
        "pg_x",
        "template1",
        "A",
        "1a",
        "a-b",
        "a`b",
        "a\"b",
        "a'b",
        "a b",
        "a\0",
        "é",
        &long,
    ] {
        for spec in [database(bad, "app", good), database("app", bad, good)] {
            let error = checked(vec![resource("a", spec)]).unwrap_err();
            assert!(error.contains("keeps for itself"), "{bad:?}: {error}");
        }
    }
    for bad in ["", "a;b", "a'b", "a b"] {
        let error = checked(vec![resource("a", database("app", "app", bad))]).unwrap_err();
        assert!(error.contains("collation is"), "{bad:?}: {error}");
    }
    let mut disabled = resource("a", database("app", "app", good));
    disabled.on_remove = OnRemove::Disable;
    assert!(checked(vec![disabled]).unwrap_err().contains("or leave"));
}

#[test]
fn nothing_has_two_masters() {
    let good = "utf8mb4_bin";
    for second in [database("one", "b", good), database("two", "a", good)] {
        let both = vec![
            resource("1", database("one", "a", good)),
            resource("2", second),
        ];
        let error = checked(both).unwrap_err();
        assert!(error.contains("claimed by 1 and 2"), "{error}");
    }
}

#[test]
fn columns_are_named_plainly_once_and_in_order() {
    assert_eq!(row(|_| ()), Ok(()));
    assert_eq!(row(|row| row.values[0].column = "_A9".to_owned()), Ok(()));
    for bad in ["", "1a", "a b", "a`", "a\"", "a'; --", "a.b", "é", "a\0"] {
        let error = row(|row| row.values[0].column = bad.to_owned()).unwrap_err();
        assert!(error.contains("values is"), "{bad:?}: {error}");
        let error = row(|row| row.table = bad.to_owned()).unwrap_err();
        assert!(error.contains("table is"), "{bad:?}: {error}");
    }
    type Change = fn(&mut SqlRowSpec);
    let changes: [(&str, Change); 9] = [
        ("keys is", |row| row.keys.clear()),
        ("keys is", |row| row.keys[0].value = SqlValue::Null),
        ("values is", |row| row.values[0].column = "name".to_owned()),
        ("values is", |row| row.values[0].value = SqlValue::Now),
        ("NUL", |row| row.values[0].value = text("a\0b")),
        ("a decimal number", |row| {
            row.values[0].value = SqlValue::Decimal("1e5".to_owned());
        }),
        ("a JSON text", |row| {
            row.values[0].value = SqlValue::Json("{".to_owned());
        }),
        ("at most 65536", |row| {
            row.values[0].value = text(&"x".repeat(limits::SQL_ROW_BYTES));
        }),
        ("deactivate is", |row| {
            row.deactivate = vec![cell("name", text("gone"))];
        }),
    ];
    for (said, change) in changes {
        let error = row(change).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
    }
    let many = |row: &mut SqlRowSpec| {
        let names = (0..=limits::SQL_COLUMNS).map(|at| format!("c{at:03}"));
        row.values = names.map(|name| cell(&name, SqlValue::Null)).collect();
    };
    assert!(row(many).unwrap_err().contains("at most 64 columns"));
}

#[test]
fn a_row_that_is_to_be_deactivated_says_how() {
    assert_eq!(
        row(|row| row.deactivate = vec![cell("quota", SqlValue::Integer(0))]),
        Ok(())
    );
    let mut made = resource("a", database("app", "app", "utf8mb4_bin"));
    made.spec = Spec::SqlRow(SqlRowSpec {
        engine: Engine::Mysql,
        database: "app".to_owned(),
        table: "t".to_owned(),
        keys: vec![cell("id", SqlValue::Integer(1))],
        values: Vec::new(),
        initial: Vec::new(),
        deactivate: Vec::new(),
    });
    made.on_remove = OnRemove::Disable;
    assert!(checked(vec![made]).unwrap_err().contains("columns to set"));
}

#[test]
fn long_texts_are_shown_by_their_beginning() {
    assert_eq!(text("it's").to_string(), "\"it's\"");
    let long = text(&"é".repeat(100)).to_string();
    assert_eq!(long, format!("\"{}\"...", "é".repeat(60)));
}
