//! Databases and rows on a real host with MariaDB and PostgreSQL: made once, kept, repaired, and nobody
//! else's touched.

use std::path::PathBuf;

use email_engine_tests::lab::{Guest, databases};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, samples, wait_for};
use serde_json::json;

use super::super::agent;

const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "api1";
const PASSWORD: &str = "/etc/email-engine/api/password";

/// The only things that this host may be given.
const ALLOWED: &str = r#"
paths = ["/etc/email-engine/api/"]
packages = ["mariadb-server", "postgresql"]
services = ["mariadb.service", "postgresql.service"]
databases = ["mysql/shop", "postgresql/shop"]
database_users = ["mysql/shop", "postgresql/shop"]
tables = ["mysql/shop.server", "postgresql/shop.server"]
"#;

/// Quotes of every kind, a way out of a statement, and a sign of four bytes.
const HOSTILE: &str = r#"it's \"so\" `x` \\ '; DROP TABLE server; -- 😀 %_"#;

fn role(engine: &str, parts: &[&str]) -> String {
    let (package, unit, charset, collation) = match engine {
        "mysql" => (
            "mariadb-server",
            "mariadb.service",
            "utf8mb4",
            "utf8mb4_unicode_ci",
        ),
        _ => ("postgresql", "postgresql.service", "UTF8", "C.UTF-8"),
    };
    let database = format!(
        r#"
[[directory]]
path = "/etc/email-engine/api"
mode = "0750"
owner = "root"
group = "root"
on_remove = "leave"

[[package]]
name = "{package}"
on_remove = "leave"

[[service]]
unit = "{unit}"
on_notify = "restart"
on_remove = "leave"

[[file]]
path = "{PASSWORD}"
secret = "database-password"
database = "{engine}/shop"
mode = "0600"
owner = "root"
group = "root"
on_remove = "delete"

[[database]]
engine = "{engine}"
name = "shop"
charset = "{charset}"
collation = "{collation}"
login = "password"
"#
    );
    let row = |name: &&str| {
        // NUL is something that PostgreSQL cannot hold.
        let odd = if engine == "mysql" {
            "a\\u0000b"
        } else {
            "a b"
        };
        format!(
            r#"
[[sql_row]]
name = "{name}"
engine = "{engine}"
database = "shop"
table = "server"
on_remove = "deactivate"
keys.name = {{ text = "{name}" }}
values.active = {{ bool = "true" }}
values.note = {{ text = "{HOSTILE}" }}
values.odd = {{ text = "{odd}" }}
values.price = {{ decimal = "1234567890.50" }}
values.quota = {{ integer = "50" }}
values.settings = {{ json = '{{ "b": [1, null], "a": "é" }}' }}
values.meta = {{ php = '{{ "headers": [{{ "name": "X", "value": "é\"\u0027" }}] }}' }}
initial.added = {{ now = true }}
deactivate.active = {{ bool = "false" }}
"#
        )
    };
    let rows: String = parts.iter().map(row).collect();
    format!("{database}{rows}")
}

/// A table as an application's installer makes it, with a row of its own.
const TABLE: &str = "CREATE TABLE server (id SERIAL PRIMARY KEY, name VARCHAR(40) NOT NULL, \
     active BOOLEAN NOT NULL, note VARCHAR(200), odd VARCHAR(20), price DECIMAL(20,4), \
     quota INTEGER NOT NULL, settings JSON, meta TEXT, added TIMESTAMP NOT NULL, \
     theirs VARCHAR(20) DEFAULT 'untouched'); \
     INSERT INTO server (name, active, quota, added, theirs) \
     VALUES ('foreign', true, 7, now(), 'mine');";

/// How one product is asked as its administrator.
struct Product<'a> {
    guest: &'a Guest,
    engine: &'static str,
}

impl Product<'_> {
    fn sql(&self, database: &str, text: &str) -> Result<String, String> {
        let mariadb = [
            "mariadb",
            "--batch",
            "--skip-column-names",
            database,
            "-e",
            text,
        ];
        let postgresql = [
            "runuser", "-u", "postgres", "--", "psql", "-X", "-A", "-t", "-d", database, "-c", text,
        ];
        let words = if self.engine == "mysql" {
            &mariadb[..]
        } else {
            &postgresql
        };
        let output = self.guest.try_run(words)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn ask(&self, text: &str) -> String {
        self.sql("shop", text).unwrap()
    }

    /// Whether the user of the database gets in by the password that lies on the host.
    fn logs_in(&self) -> Result<(), String> {
        let script = if self.engine == "mysql" {
            format!("MYSQL_PWD=$(cat {PASSWORD}) mariadb -u shop shop -e 'SELECT 1'")
        } else {
            format!("PGPASSWORD=$(cat {PASSWORD}) psql -h 127.0.0.1 -U shop shop -c 'SELECT 1'")
        };
        let output = self.guest.try_run(&["sh", "-c", &script])?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// The row that is kept, as far as a look can tell.
    fn row(&self, name: &str) -> Result<String, String> {
        let quota = "SELECT quota, theirs, active FROM server WHERE name = ";
        let row = self.sql("shop", &format!("{quota}'{name}'"))?;
        let row = row.replace(['\t', '|'], " ");
        Ok(match (row.strip_suffix(" t"), row.strip_suffix(" f")) {
            (Some(row), _) => format!("{row} 1"),
            (_, Some(row)) => format!("{row} 0"),
            _ => row,
        })
    }

    async fn is_row(&self, name: &str, wanted: &str, why: &str) {
        wait_for(
            &format!("row {name} is {wanted}: {why}"),
            async || match self.row(name) {
                Ok(row) if row == wanted => Ok(()),
                other => Err(other),
            },
        )
        .await;
    }

    /// What the user may do, beside what makes it one.
    fn rights(&self) -> String {
        if self.engine == "mysql" {
            let grants = "SELECT COUNT(*) FROM information_schema.SCHEMA_PRIVILEGES \
                          WHERE GRANTEE LIKE '%shop%' AND TABLE_SCHEMA <> 'shop'";
            self.ask(grants)
        } else {
            let more = "SELECT count(*) FROM pg_authid WHERE rolname = 'shop' AND rolcreatedb";
            self.ask(more)
        }
    }

    fn writes(&self) -> u64 {
        let count = if self.engine == "mysql" {
            "SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN \
             ('COM_INSERT', 'COM_UPDATE', 'COM_GRANT', 'COM_REVOKE', 'COM_ALTER_USER', \
             'COM_ALTER_DB', 'COM_CREATE_DB', 'COM_CREATE_USER')"
        } else {
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables WHERE relname IN \
             ('server', 'pg_authid', 'pg_auth_members', 'pg_database')"
        };
        self.ask(count).parse().unwrap()
    }
}

#[test]
fn a_database_of_mariadb_and_its_rows_come_stay_and_are_nobodys_ruin() {
    let Some(base) = databases() else { return };
    alone(&[COORDINATOR], async move {
        comes_and_stays(base, "mysql").await;
    });
}

#[test]
fn a_database_of_postgresql_and_its_rows_come_stay_and_are_nobodys_ruin() {
    let Some(base) = databases() else { return };
    alone(&[COORDINATOR], async move {
        comes_and_stays(base, "postgresql").await;
    });
}

async fn comes_and_stays(base: PathBuf, engine: &'static str) {
    let fleet = agent::fleet_at(COORDINATOR).await;
    fleet.apply(&samples::fleet(1)).await;
    fleet
        .give_files(HOST, &[("api/role.toml", &role(engine, &["one", "two"]))])
        .await;
    let guest = Guest::boot(HOST, &base, &["192.0.2.30"], COORDINATOR).await;
    let allow = "/etc/email-engine/allow.toml";
    agent::put(&guest, allow, ALLOWED.as_bytes(), 0o644);
    agent::tells_of_passes(&guest);
    agent::install(&guest, &fleet.host_token(HOST, "api").await);
    // Rows wait for a table without making the host wrong.
    fleet.host_converged(HOST, "its agent was let in").await;
    let product = Product {
        guest: &guest,
        engine,
    };
    wait_for("the database is there, and its user gets in", async || {
        product.logs_in()
    })
    .await;
    // A row that waits is unknown, not wrong.
    assert_eq!(fleet.host(HOST).await["counts"]["unknown"], 2);

    product.sql("shop", TABLE).unwrap();
    product
        .is_row("one", "50 untouched 1", "its table is there")
        .await;
    product
        .is_row("two", "50 untouched 1", "its table is there")
        .await;
    holds_hostile_values(&product);
    stays_as_it_is(&product).await;
    drifts(&product).await;
    goes_down_and_comes_back(&fleet, &product).await;

    // Removed from the role: switched off, and left.
    fleet
        .give_files(HOST, &[("api/role.toml", &role(engine, &["one"]))])
        .await;
    product
        .is_row("two", "50 untouched 0", "it is no longer wanted")
        .await;
    product.is_row("one", "50 untouched 1", "it still is").await;
    product
        .is_row("foreign", "7 mine 1", "it is somebody else's")
        .await;
}

/// What was bound is what is there, to the byte.
fn holds_hostile_values(product: &Product<'_>) {
    let hex = |column: &str| {
        let text = if product.engine == "mysql" {
            format!("SELECT HEX({column}) FROM server WHERE name = 'one'")
        } else {
            format!(
                "SELECT upper(encode(convert_to({column}, 'UTF8'), 'hex')) FROM server \
                 WHERE name = 'one'"
            )
        };
        let text = product.ask(&text);
        data_encoding::HEXUPPER.decode(text.as_bytes()).unwrap()
    };
    let unescaped: String = serde_json::from_str(&format!("\"{HOSTILE}\"")).unwrap();
    assert_eq!(String::from_utf8(hex("note")).unwrap(), unescaped);
    let odd = if product.engine == "mysql" {
        "a\0b"
    } else {
        "a b"
    };
    assert_eq!(hex("odd"), odd.as_bytes());
    // As PHP itself reads it.
    let meta = hex("meta");
    agent::put(product.guest, "/srv/meta", &meta, 0o600);
    let read = "echo json_encode(unserialize(file_get_contents('/srv/meta')), 256);";
    let said = product.guest.run(&["php", "-r", read]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        said,
        json!({ "headers": [{ "name": "X", "value": "é\"'" }] })
    );
    let price = product.ask("SELECT price FROM server WHERE name = 'one'");
    assert_eq!(price, "1234567890.5000");
}

/// Passes that find everything right write nothing.
async fn stays_as_it_is(product: &Product<'_>) {
    let settled = wait_for("the server has come to rest", async || {
        let before = product.writes();
        agent::passes(product.guest).await;
        let after = product.writes();
        if before == after {
            Ok(after)
        } else {
            Err(after - before)
        }
    })
    .await;
    agent::passes(product.guest).await;
    assert_eq!(product.writes(), settled);
}

/// What somebody changes comes back, and what is not ours stays as they want it.
async fn drifts(product: &Product<'_>) {
    let more = if product.engine == "mysql" {
        "GRANT SELECT ON mysql.* TO 'shop'@'localhost'"
    } else {
        "ALTER ROLE shop CREATEDB"
    };
    product.ask(more);
    wait_for(
        "what the user may do elsewhere is taken back",
        async || match product.rights() {
            rights if rights == "0" => Ok(()),
            other => Err(other),
        },
    )
    .await;
    let password = if product.engine == "mysql" {
        "ALTER USER 'shop'@'localhost' IDENTIFIED BY 'another'"
    } else {
        "ALTER ROLE shop PASSWORD 'another'"
    };
    product.ask(password);
    wait_for("the user has its password again", async || {
        product.logs_in()
    })
    .await;
    product.ask("UPDATE server SET quota = 9999, theirs = 'changed' WHERE name = 'one'");
    product
        .is_row("one", "50 changed 1", "a column was changed")
        .await;
    product.ask("UPDATE server SET theirs = 'untouched'");
    product.ask("UPDATE server SET theirs = 'mine' WHERE name = 'foreign'");
    product.ask("DELETE FROM server WHERE name = 'two'");
    product
        .is_row("two", "50 untouched 1", "it was deleted")
        .await;
    // A database of somebody else's.
    product.ask("CREATE DATABASE theirs");
    product.ask("DROP DATABASE theirs");
}

/// While the server is down that is said; what was changed meanwhile is right when it is back.
async fn goes_down_and_comes_back(fleet: &Fleet, product: &Product<'_>) {
    let unit = if product.engine == "mysql" {
        "mariadb.service"
    } else {
        "postgresql@15-main.service"
    };
    product.ask("UPDATE server SET quota = 8 WHERE name = 'one'");
    product.guest.run(&["systemctl", "stop", unit]);
    if product.engine == "postgresql" {
        wait_for("the host says that no server answers", async || {
            let said = fleet.host(HOST).await.to_string();
            if said.contains("no postgresql server answers") {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await;
        product.guest.run(&["systemctl", "start", unit]);
    }
    // The service of MariaDB is the role's, so that it is started again.
    product
        .is_row("one", "50 untouched 1", "its server is back")
        .await;
    fleet.host_converged(HOST, "its server is back").await;
}
