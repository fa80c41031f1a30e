//! Databases and rows against a server that lives in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{Engine, Policy, SqlValue};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::observed::Told;
use email_engine_protocol::secret::{SecretBytes, SecretRef};

use super::*;
use crate::host::{Answer, Databases, SeenCell};
use crate::inventory::Inventory;
use crate::reconciler::plan::tests::config;
use crate::resources::{ContentError, ensure};

pub(crate) fn database() -> Resource {
    resource(
        "database:mysql/shop",
        OnRemove::Delete,
        Spec::Database(DatabaseSpec {
            engine: Engine::Mysql,
            name: "shop".to_owned(),
            charset: "utf8mb4".to_owned(),
            collation: "utf8mb4_bin".to_owned(),
            user: "shop".to_owned(),
            auth: DatabaseAuth::Peer,
        }),
    )
}

pub(crate) fn row(name: &str, quota: i64) -> Resource {
    resource(
        &format!("sql_row:shop.server/{name}"),
        OnRemove::Disable,
        Spec::SqlRow(SqlRowSpec {
            engine: Engine::Mysql,
            database: "shop".to_owned(),
            table: "server".to_owned(),
            keys: vec![cell("name", SqlValue::Text(name.to_owned()))],
            values: vec![cell("quota", SqlValue::Integer(quota))],
            initial: Vec::new(),
            deactivate: vec![cell("quota", SqlValue::Integer(0))],
        }),
    )
}

pub(crate) fn script(name: &str) -> Resource {
    resource(
        &format!("sql_script:{name}"),
        OnRemove::Leave,
        Spec::SqlScript(SqlScriptSpec {
            engine: Engine::Mysql,
            database: "shop".to_owned(),
            reads: Vec::new(),
            writes: vec!["server".to_owned()],
            keeps: Vec::new(),
            given: Vec::new(),
            wanted: "SELECT name FROM server".to_owned(),
            statements: vec!["DELETE FROM server".to_owned()],
            told: None,
        }),
    )
}

fn resource(id: &str, on_remove: OnRemove, spec: Spec) -> Resource {
    Resource {
        id: ResourceId::new(id).unwrap(),
        spec,
        on_remove,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

fn cell(column: &str, value: SqlValue) -> SqlCell {
    SqlCell {
        column: column.to_owned(),
        value,
    }
}

#[derive(Debug, Default)]
struct Memory {
    is_down: bool,
    has_database: bool,
    has_table: bool,
    /// A column that the table does not have.
    lacks: Option<&'static str>,
    rows: BTreeMap<String, BTreeMap<String, String>>,
    writes: usize,
    /// What a script has to do, and whether it cannot.
    wanted: Option<&'static str>,
    refuses: bool,
    told: Vec<&'static str>,
}

/// A server whose other end the test holds.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Memory>>);

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    fn reached<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> Result<T, SqlError> {
        self.with(|memory| {
            if memory.is_down {
                return Err(SqlError::Down {
                    engine: Engine::Mysql,
                    reason: "it was stopped".to_owned(),
                });
            }
            Ok(look(memory))
        })
    }

    fn table<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> Result<T, SqlError> {
        if !self.reached(|memory| memory.has_table)? {
            return Err(SqlError::Absent("there is no table shop.server".to_owned()));
        }
        self.reached(look)
    }
}

impl Databases for Shared {
    fn differs(&mut self, _: &DatabaseSpec, _: Option<&str>) -> Result<Vec<String>, SqlError> {
        self.reached(|memory| {
            if memory.has_database {
                Vec::new()
            } else {
                vec!["missing".to_owned()]
            }
        })
    }

    fn make(&mut self, _: &DatabaseSpec, _: Option<&str>) -> Result<(), SqlError> {
        self.reached(|memory| {
            memory.has_database = true;
            memory.writes += 1;
        })
    }

    fn drop_empty(&mut self, _: Engine, name: &str, _: &str) -> Result<(), SqlError> {
        if self.reached(|memory| memory.has_table)? {
            let text = format!("database {name} is left: it has 1 tables");
            return Err(SqlError::Refused(text));
        }
        self.reached(|memory| memory.has_database = false)
    }

    fn row(
        &mut self,
        place: &RowPlace,
        columns: &[SqlCell],
    ) -> Result<Option<Vec<SeenCell>>, SqlError> {
        let lacks = self.table(|memory| memory.lacks)?;
        if columns.iter().any(|cell| lacks == Some(&cell.column)) {
            return Err(SqlError::NoColumn("Unknown column".to_owned()));
        }
        self.table(|memory| {
            let row = memory.rows.get(&place.keys[0].value.to_string())?;
            let seen = |cell: &SqlCell| row.get(&cell.column).map(|text| text.clone().into_bytes());
            Some(columns.iter().map(seen).collect())
        })
    }

    fn write(
        &mut self,
        place: &RowPlace,
        values: &[SqlCell],
        initial: Option<&[SqlCell]>,
    ) -> Result<(), SqlError> {
        self.table(|memory| {
            let key = place.keys[0].value.to_string();
            if initial.is_some() || memory.rows.contains_key(&key) {
                let row = memory.rows.entry(key).or_default();
                let cells = values
                    .iter()
                    .map(|cell| (cell.column.clone(), cell.value.to_string()));
                row.extend(cells);
                memory.writes += 1;
            }
        })
    }

    fn delete(&mut self, place: &RowPlace) -> Result<(), SqlError> {
        self.table(|memory| {
            memory.rows.remove(&place.keys[0].value.to_string());
        })
    }

    fn ask(&mut self, _: &SqlScriptSpec) -> Result<Answer, SqlError> {
        self.table(|memory| Answer {
            wanted: memory.wanted.map(str::to_owned),
            told: Told::new(memory.told.iter().map(|one| vec![(*one).to_owned()])),
        })
    }

    fn run(&mut self, _: &SqlScriptSpec) -> Result<(), SqlError> {
        self.table(|memory| {
            memory.writes += 1;
            if memory.refuses {
                let text = "nothing is changed, because this would be left: a campaign";
                return Err(SqlError::Refused(text.to_owned()));
            }
            memory.wanted = None;
            Ok(())
        })?
    }
}

pub(crate) struct Nothing;

impl Contents for Nothing {
    fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
        unreachable!("{hash}")
    }

    fn secret(&self, secret: &SecretRef) -> Result<SecretBytes, ContentError> {
        unreachable!("{secret:?}")
    }

    fn is_secret(&self, secret: &SecretRef, _: &[u8]) -> Result<bool, ContentError> {
        unreachable!("{secret:?}")
    }

    fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, ContentError> {
        unreachable!("{} bytes", bytes.len())
    }

    fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        unreachable!("{} bytes", sealed.len())
    }
}

fn machine(folder: &std::path::Path) -> (Machine, Shared) {
    let shared = Shared::default();
    let mut machine = Machine::with_programs(folder);
    machine.databases = Box::new(shared.clone());
    (machine, shared)
}

fn owned(resources: &[Resource], applied: bool) -> Vec<(Thing, Item)> {
    let mut inventory = Inventory::default();
    inventory.claim(&config(resources.to_vec()));
    if applied {
        for resource in resources {
            inventory.mark_applied(resource);
        }
    }
    inventory.orphans(&config(Vec::new()))
}

#[test]
fn a_row_waits_for_its_table_and_is_made_when_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (mut machine, server) = machine(dir.path());
    let one = row("one", 5);
    for (down, said) in [
        (true, "no mysql server answers"),
        (false, "there is no table"),
    ] {
        server.with(|memory| memory.is_down = down);
        let finding = observe(&mut machine, &Nothing, &one);
        let Finding::Waits(reason) = &finding else {
            panic!("{finding:?}");
        };
        assert!(reason.contains(said), "{reason}");
        let ensured = ensure(&mut machine, &Nothing, &one).unwrap();
        assert!(!ensured.changed && ensured.finding.waits());
    }
    server.with(|memory| memory.has_table = true);
    assert!(ensure(&mut machine, &Nothing, &one).unwrap().changed);
    assert!(!ensure(&mut machine, &Nothing, &one).unwrap().changed);
    assert_eq!(server.with(|memory| memory.writes), 1);
    let finding = observe(&mut machine, &Nothing, &row("one", 6));
    assert_eq!(finding, Finding::Differs("quota differ".to_owned()));
}

#[test]
fn what_somebody_else_set_is_told_and_left_while_the_rest_is_kept_right() {
    let dir = tempfile::tempdir().unwrap();
    let (mut machine, server) = machine(dir.path());
    server.with(|memory| memory.has_table = true);
    let shared = |quota| {
        let mut one = row("one", quota);
        if let Spec::SqlRow(spec) = &mut one.spec {
            spec.values
                .push(cell("warmup_plan_id", SqlValue::Unclaimed));
        }
        one
    };
    let set = |column: &str, value: &str| {
        server.with(|memory| {
            let row = memory.rows.get_mut("\"one\"").unwrap();
            row.insert(column.to_owned(), value.to_owned());
        });
    };
    let held = || server.with(|memory| memory.rows["\"one\""].clone());
    assert!(ensure(&mut machine, &Nothing, &shared(5)).unwrap().changed);
    assert!(
        !held().contains_key("warmup_plan_id"),
        "it is not ours to write"
    );
    set("warmup_plan_id", "0");
    assert_eq!(observe(&mut machine, &Nothing, &shared(5)), Finding::Right);
    set("warmup_plan_id", "3");
    set("quota", "90");
    let ensured = ensure(&mut machine, &Nothing, &shared(5)).unwrap();
    let Finding::Noted(reason) = &ensured.finding else {
        panic!("{ensured:?}");
    };
    let claim: Claim = reason.parse().unwrap();
    assert_eq!((&*claim.column, &*claim.value), ("warmup_plan_id", "3"));
    let held = held();
    assert_eq!((&*held["quota"], &*held["warmup_plan_id"]), ("5", "3"));
    // An application that has no such column yet.
    server.with(|memory| memory.lacks = Some("warmup_plan_id"));
    assert_eq!(observe(&mut machine, &Nothing, &shared(5)), Finding::Right);
}

#[test]
fn a_script_waits_for_its_tables_runs_while_it_is_needed_and_tells_what_it_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (mut machine, server) = machine(dir.path());
    let script = script("one");
    server.with(|memory| memory.wanted = Some("campaign 7 is to be paused"));
    let ensured = ensure(&mut machine, &Nothing, &script).unwrap();
    assert!(!ensured.changed && ensured.finding.waits());
    server.with(|memory| memory.has_table = true);
    let wanted = "campaign 7 is to be paused".to_owned();
    let finding = observe(&mut machine, &Nothing, &script);
    assert_eq!(finding, Finding::Differs(wanted));
    server.with(|memory| memory.refuses = true);
    let error = ensure(&mut machine, &Nothing, &script).unwrap_err();
    assert!(error.to_string().contains("nothing is changed"), "{error}");
    server.with(|memory| (memory.refuses, memory.told) = (false, vec!["campaign\n7"]));
    let ensured = ensure(&mut machine, &Nothing, &script).unwrap();
    let told = Told::new([vec!["campaign 7".to_owned()]]);
    assert_eq!(
        (ensured.changed, ensured.finding),
        (true, Finding::Tells(told))
    );
    assert!(!ensure(&mut machine, &Nothing, &script).unwrap().changed);
    assert_eq!(server.with(|memory| memory.writes), 2);
    server.with(|memory| memory.told.clear());
    assert_eq!(observe(&mut machine, &Nothing, &script), Finding::Right);
    // What it did stays when it is not wanted any more.
    for (thing, item) in owned(&[script], true) {
        remove(&mut machine, &thing, &item).unwrap();
    }
    assert_eq!(server.with(|memory| memory.writes), 2);
}

#[test]
fn what_is_let_go_is_switched_off_and_a_full_database_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (mut machine, server) = machine(dir.path());
    server.with(|memory| (memory.has_database, memory.has_table) = (true, true));
    ensure(&mut machine, &Nothing, &row("one", 5)).unwrap();
    let quota = || server.with(|memory| memory.rows["\"one\""]["quota"].clone());
    for (thing, item) in owned(&[row("one", 5), row("never", 1)], true) {
        remove(&mut machine, &thing, &item).unwrap();
    }
    assert_eq!(quota(), "0");
    assert_eq!(
        server.with(|memory| memory.rows.len()),
        1,
        "none is made to be let go"
    );
    let (thing, item) = owned(&[database()], true).remove(0);
    let error = remove(&mut machine, &thing, &item).unwrap_err().to_string();
    assert!(error.contains("it has 1 tables"), "{error}");
    server.with(|memory| memory.has_table = false);
    remove(&mut machine, &thing, &item).unwrap();
    assert!(!server.with(|memory| memory.has_database));
}

#[test]
fn a_server_that_is_gone_keeps_nobody_who_never_wrote_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut machine, server) = machine(dir.path());
    server.with(|memory| memory.is_down = true);
    let (thing, item) = owned(&[row("one", 5)], false).remove(0);
    remove(&mut machine, &thing, &item).unwrap();
    let (thing, item) = owned(&[row("one", 5)], true).remove(0);
    let error = remove(&mut machine, &thing, &item).unwrap_err().to_string();
    assert!(error.contains("no mysql server answers"), "{error}");
}

#[test]
fn a_row_with_another_end_and_a_database_with_another_user_are_the_same_things() {
    let mut inventory = Inventory::default();
    let before = config(vec![database(), row("one", 5)]);
    inventory.claim(&before);
    let (mut other, mut renamed) = (row("one", 5), database());
    if let Spec::SqlRow(spec) = &mut other.spec {
        spec.deactivate[0].value = SqlValue::Integer(-1);
    }
    if let Spec::Database(spec) = &mut renamed.spec {
        spec.user = "other".to_owned();
    }
    let after = config(vec![renamed, other]);
    assert!(inventory.orphans(&after).is_empty());
    assert!(inventory.claim(&after) && inventory.len() == 2);
    assert!(!inventory.claim(&after));
    let gone = inventory.orphans(&config(Vec::new()));
    let farewell = gone.iter().find_map(|(thing, _)| match thing {
        Thing::SqlRow { farewell, .. } => Some(farewell[0].value.clone()),
        _ => None,
    });
    assert_eq!(farewell, Some(SqlValue::Integer(-1)));
}
