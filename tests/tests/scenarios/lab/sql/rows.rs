//! Rows in a database whose owner is hostile: what they put there gets nothing of the server's own rights.

use email_engine_tests::lab::{Guest, databases};
use email_engine_tests::mail::alone;
use email_engine_tests::{samples, wait_for};

use super::super::agent;

const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "api1";

/// The only things that this host may be given.
const ALLOWED: &str = r#"
packages = ["mariadb-server"]
services = ["mariadb.service"]
databases = ["mysql/shop"]
database_users = ["mysql/shop"]
tables = ["mysql/shop.server"]
"#;

const ROLE: &str = r#"
[[package]]
name = "mariadb-server"
on_remove = "leave"

[[service]]
unit = "mariadb.service"
on_notify = "restart"
on_remove = "leave"

[[database]]
engine = "mysql"
name = "shop"
charset = "utf8mb4"
collation = "utf8mb4_unicode_ci"
login = "password"

[[sql_row]]
name = "one"
engine = "mysql"
database = "shop"
table = "server"
on_remove = "delete"
keys.name = { text = "one" }
values.quota = { integer = "50" }
"#;

/// What an owner can make: something that does as much as whoever comes by may do.
const TRAP: &str = "\
CREATE TABLE loot (what TEXT) $$
CREATE FUNCTION steal() RETURNS INT MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
    INSERT INTO shop.loot SELECT CONCAT(User, Host) FROM mysql.user;
    RETURN 50;
END";

/// In the table's place, for whoever reads.
const VIEW: &str = "\
RENAME TABLE server TO real_server $$
CREATE SQL SECURITY INVOKER VIEW server AS SELECT name, steal() AS quota FROM real_server";

const TABLE_AGAIN: &str = "DROP VIEW server $$ RENAME TABLE real_server TO server";

/// For whoever writes.
const TRIGGER: &str = "\
CREATE TRIGGER springs BEFORE INSERT ON server FOR EACH ROW SET NEW.quota = steal()";

/// Statements stand between `$$`, because some have a `;` of their own.
fn sql(guest: &Guest, words: &[&str], text: &str) -> Result<String, String> {
    let statements = format!("DELIMITER $$\n{text}\n$$\n");
    agent::put(guest, "/srv/statements", statements.as_bytes(), 0o600);
    let words = words.join(" ");
    let call = format!("mariadb --batch --skip-column-names {words} < /srv/statements");
    let output = guest.try_run(&["sh", "-c", &call])?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// As the server's administrator.
fn ask(guest: &Guest, text: &str) -> String {
    sql(guest, &["shop"], text).unwrap()
}

/// As the owner of the database, who is given a password for it.
fn owner(guest: &Guest, text: &str) {
    sql(
        guest,
        &["--user=owner", "--password=hostile1", "shop"],
        text,
    )
    .unwrap();
}

async fn quota_is(guest: &Guest, wanted: &str, why: &str) {
    wait_for(&format!("the row is {wanted}: {why}"), async || {
        match sql(
            guest,
            &["shop"],
            "SELECT quota FROM server WHERE name = 'one'",
        ) {
            Ok(seen) if seen == wanted => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[test]
fn whoever_owns_a_table_gets_nothing_of_the_rights_of_the_one_who_keeps_a_row_in_it() {
    let Some(base) = databases() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(1)).await;
        fleet.give_files(HOST, &[("api/role.toml", ROLE)]).await;
        let guest = Guest::boot(HOST, &base, &["192.0.2.30"], COORDINATOR).await;
        let allow = "/etc/email-engine/allow.toml";
        agent::put(&guest, allow, ALLOWED.as_bytes(), 0o644);
        agent::install(&guest, &fleet.host_token(HOST, "api").await);
        fleet.host_converged(HOST, "its agent was let in").await;

        let all = "CREATE USER owner@localhost IDENTIFIED BY 'hostile1' $$ \
                   GRANT ALL PRIVILEGES ON shop.* TO owner@localhost";
        ask(&guest, all);
        let table = "CREATE TABLE server (name VARCHAR(40) PRIMARY KEY, quota INT NOT NULL)";
        owner(&guest, table);
        quota_is(&guest, "50", "its table is there").await;
        is_limited(&guest);

        owner(&guest, TRAP);
        owner(&guest, VIEW);
        fleet
            .host_says(HOST, "is no table but of the kind VIEW")
            .await;
        assert_eq!(ask(&guest, "SELECT COUNT(*) FROM loot"), "0");
        // It would have worked on the administrator.
        ask(&guest, "SELECT * FROM server");
        assert_ne!(ask(&guest, "SELECT COUNT(*) FROM loot"), "0");
        owner(&guest, "DELETE FROM loot");
        owner(&guest, TABLE_AGAIN);

        owner(&guest, "UPDATE server SET quota = 7");
        quota_is(&guest, "50", "it was changed").await;
        owner(&guest, TRIGGER);
        owner(&guest, "DELETE FROM server");
        fleet.host_says(HOST, "denied").await;
        assert_eq!(ask(&guest, "SELECT COUNT(*) FROM loot"), "0");
        owner(&guest, "DROP TRIGGER springs");
        quota_is(&guest, "50", "nothing is in its way any more").await;
        is_limited(&guest);
        fleet.host_converged(HOST, "its row is right").await;
    });
}

/// One account for the one table, which may do nothing else.
fn is_limited(guest: &Guest) {
    let names = ask(
        guest,
        "SELECT User FROM mysql.user WHERE User LIKE 'email%'",
    );
    assert_eq!(names.lines().count(), 1, "{names}");
    let grants = ask(guest, &format!("SHOW GRANTS FOR '{names}'@'localhost'"));
    let heads: Vec<&str> = grants
        .lines()
        .map(|line| line.split(" TO ").next().unwrap())
        .collect();
    let own = "GRANT SELECT, INSERT, UPDATE, DELETE ON `shop`.`server`";
    assert_eq!(heads, ["GRANT USAGE ON *.*", own]);
}
