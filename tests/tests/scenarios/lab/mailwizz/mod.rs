//! A bare host becomes one that serves the application: from the operator's archive to a page, a row and a
//! run of cron, and it stays so.

mod quotas;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use email_engine_tests::lab::{Guest, web};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, Operator, samples, wait_for};
use serde_json::{Value, json};

use super::agent;

const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "mailwizz1";
const ADDRESS: &str = "192.0.2.10";
const NAME: &str = "news.example.com";
const ROOT: &str = "/var/www/mailwizz";
const SITE: &str = "/etc/nginx/sites-available/mailwizz.conf";
const PASSWORD: &str = "/etc/email-engine/mailwizz/database-password";
const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stand-ins/mailwizz/pack");

/// What whoever sets the application up does in the wizard, from the host itself.
const WIZARD: &str = r#"
$words = http_build_query(['name' => 'mailwizz', 'user' => 'mailwizz', 'password' => trim(file_get_contents($argv[1]))]);
$call = ['http' => ['method' => 'POST', 'content' => $words, 'header' => 'Content-Type: application/x-www-form-urlencoded']];
echo file_get_contents('http://127.0.0.1/install/index.php', false, stream_context_create($call));
"#;

#[test]
fn a_bare_host_serves_the_application_of_the_operators_archive_and_goes_on_serving_it() {
    let Some(base) = web() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(2)).await;
        let guest = Guest::boot(HOST, &base, &[ADDRESS], COORDINATOR).await;
        agent::tells_of_passes(&guest);
        agent::install(&guest, &fleet.host_token(HOST, "mailwizz").await);
        // Before the archive is there, for all the rest.
        fleet.host_converged(HOST, "its agent was let in").await;
        assert!(!guest.file(SITE).exists());

        upload(&fleet);
        served(&guest, 302, "the archive was uploaded").await;
        is_empty_and_shut(&guest).await;
        set_up(&guest);
        answers(&guest).await;
        runs_its_jobs(&guest);
        has_its_delivery_servers(&guest).await;
        fleet
            .host_converged(HOST, "the application is set up")
            .await;
        nothing_is_open(&guest);
        stays_as_it_is(&guest).await;
        drifts(&guest).await;
        quotas::count_by_utc(&guest).await;
        quotas::are_kept_or_that_is_said(&fleet, &guest).await;
        is_shut_for_good(&fleet, &guest).await;

        guest.reboot().await;
        served(&guest, 200, "it was rebooted").await;
        assert_eq!(page("/customer/").await.body["app"], "customer");
        fleet.host_converged(HOST, "it was rebooted").await;
        has_names(&fleet, &guest).await;
    });
}

fn upload(fleet: &Fleet) {
    let operator = Operator::of(fleet);
    let archive = operator.folder().join("mailwizz.zip");
    let packed = Command::new(PACK).arg(&archive).status().unwrap();
    assert!(packed.success());
    // Rows of somebody's are no part of it.
    let dump = operator.folder().join("backup.sql");
    std::fs::write(&dump, "-- MariaDB dump 10.19\n").unwrap();
    let put = ["artifact", "put", "backup.sql", "--use", "mailwizz"];
    let refused = operator.notes(1, &put);
    assert!(refused.contains("--import-data"), "{refused}");
    let _ = operator.prints(0, &["artifact", "put", "mailwizz.zip", "--use", "mailwizz"]);
}

/// What a visitor sees.
#[derive(Debug)]
struct Page {
    status: u16,
    headers: BTreeMap<String, String>,
    text: String,
    body: Value,
}

async fn ask(method: &str, path: &str) -> Result<Page, String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())?;
    let method = method.parse().map_err(|_| "no method")?;
    let answer = client
        .request(method, format!("http://{ADDRESS}{path}"))
        .send()
        .await
        .map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let headers = answer.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let text = answer.text().await.map_err(|error| error.to_string())?;
    let body = serde_json::from_str(&text).unwrap_or_default();
    Ok(Page {
        status,
        headers,
        text,
        body,
    })
}

async fn page(path: &str) -> Page {
    ask("GET", path).await.unwrap()
}

/// Whoever asks is sent on by the application itself, or answered.
async fn served(guest: &Guest, status: u16, why: &str) {
    wait_for(
        &format!("the application answers: {why}"),
        async || match ask("GET", "/").await {
            Ok(page) if page.status == status => Ok(()),
            other => {
                let units = ["systemctl", "--no-pager", "--failed"];
                let failed = guest.try_run(&units).map(|output| output.stdout);
                Err((
                    other,
                    failed.map(|text| String::from_utf8_lossy(&text).into_owned()),
                ))
            }
        },
    )
    .await;
}

fn sql(guest: &Guest, text: &str) -> Result<String, String> {
    let words = [
        "mariadb",
        "--batch",
        "--skip-column-names",
        "mailwizz",
        "-e",
        text,
    ];
    let output = guest.try_run(&words)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Before anybody set it up: no table, and the wizard is for who is on the host.
async fn is_empty_and_shut(guest: &Guest) {
    wait_for("its database is there", async || sql(guest, "SELECT 1")).await;
    let tables = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mailwizz'";
    assert_eq!(sql(guest, tables).unwrap(), "0");
    let sets = "SELECT @@character_set_database, @@collation_database";
    assert_eq!(sql(guest, sets).unwrap(), "utf8mb4\tutf8mb4_unicode_ci");
    let sent_on = page("/").await;
    assert_eq!(
        sent_on.headers["location"], "/install/index.php",
        "{sent_on:?}"
    );
    for path in ["/install", "/install/", "/install/index.php"] {
        assert_eq!(page(path).await.status, 403, "{path}");
    }
}

fn set_up(guest: &Guest) {
    let said = guest.run(&["php", "-r", WIZARD, PASSWORD]);
    assert_eq!(said.trim(), "installed");
}

/// Every way in reaches the application, and nothing else does.
async fn answers(guest: &Guest) {
    for (method, path, app) in [
        ("GET", "/", "frontend"),
        ("GET", "/lists/abc/subscribe?x=1", "frontend"),
        ("GET", "/customer/campaigns", "customer"),
        ("GET", "/backend/index.php/settings", "backend"),
        ("PUT", "/api/campaigns/abc", "api"),
        ("DELETE", "/api/index.php/lists/abc", "api"),
    ] {
        let page = ask(method, path).await.unwrap();
        assert_eq!(
            (page.status, &page.body["app"]),
            (200, &json!(app)),
            "{path}: {page:?}"
        );
        assert_eq!(page.body["method"], method, "{path}");
        assert_eq!(page.body["path"], path);
        assert_eq!(page.body["user"], "mailwizz");
        assert_eq!(page.body["runs_programs"], false);
        assert!(!page.headers.contains_key("x-powered-by"), "{page:?}");
    }
    // What an upload might be.
    let planted = format!("{ROOT}/frontend/assets/files/evil.php");
    agent::put(guest, &planted, b"<?php echo 'run';", 0o644);
    agent::put(guest, &format!("{ROOT}/.env"), b"secret", 0o644);
    for path in [
        "/frontend/assets/files/evil.php",
        "/frontend/assets/files/evil.php/x",
        "/.env",
        "/apps/init.php",
        "/apps/common/config/main-custom.php",
        "/apps/common/data/install-sql/schema.sql",
        "/install/../apps/init.php",
    ] {
        let page = page(path).await;
        assert_eq!(page.status, 404, "{path}: {page:?}");
        assert!(!page.text.contains("run"), "{path}");
    }
    let file = page("/frontend/assets/files/index.html").await;
    assert_eq!(file.status, 200);
    std::fs::remove_file(guest.file(&planted)).unwrap();
    std::fs::remove_file(guest.file(&format!("{ROOT}/.env"))).unwrap();
}

/// What cron runs, as cron does: by the shell, as the user that stands before it.
fn runs_its_jobs(guest: &Guest) {
    let table = guest.run(&["cat", "/etc/cron.d/mailwizz"]);
    let jobs: Vec<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(jobs.len(), 8);
    for job in jobs {
        let mut words = job.splitn(7, ' ').skip(5);
        let (user, command) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(user, "mailwizz");
        guest.run(&["runuser", "-u", user, "--", "sh", "-c", command]);
    }
    let log = guest.run(&["cat", &format!("{ROOT}/apps/common/runtime/console.log")]);
    for command in ["send-campaigns", "queue", "bounce-handler", "daily"] {
        assert!(log.contains(&format!("mailwizz {command}\n")), "{log}");
    }
}

/// The rows of the fleet's identities, in the table that the wizard made.
async fn has_its_delivery_servers(guest: &Guest) {
    let name = "name = 'vmta-mail1-example-net (Email-Engine)'";
    let columns = "type, hostname, port, from_email, force_from, use_for, signing_enabled, \
                   daily_quota > 0, status, max_connection_messages";
    let row = wait_for("an identity has its row", async || {
        let row = sql(
            guest,
            &format!("SELECT {columns} FROM mw_delivery_server WHERE {name}"),
        )?;
        if row.is_empty() {
            Err("none".to_owned())
        } else {
            Ok(row)
        }
    })
    .await;
    let wanted =
        "smtp-pmta 192.0.2.20 2525 contact@mail1.example.net always campaigns no 1 active 50";
    assert_eq!(row.replace('\t', " "), wanted);
    // As PHP itself reads it.
    let hex = format!("SELECT HEX(meta_data) FROM mw_delivery_server WHERE {name}");
    let hex = sql(guest, &hex).unwrap();
    let read = "echo json_encode(unserialize(hex2bin($argv[1])));";
    let meta: Value = serde_json::from_str(&guest.run(&["php", "-r", read, &hex])).unwrap();
    let headers = meta["additional_headers"].as_array().unwrap();
    assert_eq!(headers[0]["name"], "X-Force-Return-Path");
    assert_eq!(
        headers[1],
        json!({ "name": "X-Virtual-MTA", "value": "vmta-mail1-example-net" })
    );
    wait_for("all identities have theirs", async || {
        match page("/customer/").await.body["servers"].as_u64() {
            Some(2) => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// The operator's word that the application is set up.
async fn is_shut_for_good(fleet: &Fleet, guest: &Guest) {
    let mut document = samples::fleet(2);
    document["hosts"][0]["labels"] = json!({ "mailwizz-wizard": "closed" });
    fleet.apply(&document).await;
    let wizard = guest.file(&format!("{ROOT}/install"));
    wait_for("the wizard is gone", async || {
        match (wizard.exists(), ask("GET", "/install/").await) {
            (false, Ok(page)) if page.status == 404 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // Nobody brings it back: not the archive that it came with, nor whoever unpacks it by hand.
    agent::passes(guest).await;
    assert!(!wizard.exists());
    std::fs::create_dir(&wizard).unwrap();
    wait_for("what somebody put there goes as well", async || {
        if wizard.exists() {
            Err("it is there")
        } else {
            Ok(())
        }
    })
    .await;
}

/// Asks the host by whatever name stands in the address, and takes any certificate.
async fn named(url: &str) -> Result<(u16, String), String> {
    let said = |error: reqwest::Error| error.to_string();
    let host = ADDRESS.parse().map_err(|_| "no address")?;
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true);
    for name in [NAME, "other.example.com"] {
        // Port 0 is that of the scheme.
        client = client.resolve(name, SocketAddr::new(host, 0));
    }
    let answer = client
        .build()
        .map_err(said)?
        .get(url)
        .send()
        .await
        .map_err(said)?;
    Ok((answer.status().as_u16(), answer.text().await.map_err(said)?))
}

/// Under its names it is served over TLS, by a certificate that says that it stands in for one; and under
/// no other name.
async fn has_names(fleet: &Fleet, guest: &Guest) {
    let mut document = samples::fleet(2);
    document["hosts"][0]["labels"] = json!({ "mailwizz-wizard": "closed", "web-names": NAME });
    fleet.apply(&document).await;
    let customer = format!("https://{NAME}/customer/");
    wait_for("it is served over TLS", async || {
        match named(&customer).await {
            Ok((200, text)) if text.contains("customer") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let stranger = named("https://other.example.com/customer/").await;
    assert!(stranger.is_err(), "by another name: {stranger:?}");
    let key = guest.run(&[
        "stat",
        "-c",
        "%a %U",
        "/etc/email-engine/mailwizz/tls/key.pem",
    ]);
    assert_eq!(key.trim(), "600 root");
    // The way of whoever issues certificates, and of nobody else into the folder beside it.
    let challenge = "/var/www/email-engine-acme/.well-known/acme-challenge/token";
    let put = format!("install -D -m 0644 /dev/stdin {challenge} <<<answer");
    guest.run(&["bash", "-c", &put]);
    let place = format!("http://{NAME}/.well-known");
    let token = format!("{place}/acme-challenge/token");
    // For a moment after a reload the workers of before still take what comes to port 80.
    wait_for("the answer is served", async || match named(&token).await {
        Ok((200, text)) if text == "answer\n" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let hidden = named(&format!("{place}/x")).await.unwrap();
    assert_eq!(hidden.0, 404);
    let view = fleet.host_converged(HOST, "it has names").await;
    // The certificate, for which nobody has agreed to any terms.
    assert_eq!(view["counts"]["unknown"], 1, "{view}");
}

/// Nothing is everybody's to write, the code is nobody's but root's, and PHP's workers are not root's.
fn nothing_is_open(guest: &Guest) {
    let find = "find /var/www/mailwizz /etc/nginx /etc/php /etc/email-engine ! -type l -perm /0002; \
                find /var/www/mailwizz -name '*.php' ! -user root ! -name main-custom.php";
    assert_eq!(guest.run(&["sh", "-c", find]), "");
    let read = guest
        .try_run(&["runuser", "-u", "nobody", "--", "ls", ROOT])
        .unwrap();
    assert!(!read.status.success(), "strangers on the host look in");
    let write = format!("test ! -w {ROOT}/index.php && test -w {ROOT}/apps/common/runtime");
    guest.run(&["runuser", "-u", "mailwizz", "--", "sh", "-c", &write]);
    let mode = guest.run(&["stat", "-c", "%a %U:%G", PASSWORD]);
    assert_eq!(mode.trim(), "600 root:root");
}

/// When what is served was written last, and who serves it.
fn written(guest: &Guest) -> String {
    let script = "find /etc/nginx /etc/php /etc/cron.d /var/www/mailwizz /usr/local/share -printf '%p %T@ %m %u\\n' \
                  | grep -v '/runtime'; cat /run/nginx.pid; pgrep nginx | sort; \
                  mariadb -N -e \"SELECT last_updated, quota.v FROM mailwizz.mw_delivery_server, \
                  (SELECT SUM(VARIABLE_VALUE) v FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN \
                  ('COM_INSERT', 'COM_UPDATE', 'COM_GRANT', 'COM_ALTER_USER', 'COM_CREATE_USER')) quota\"";
    guest.run(&["sh", "-c", script])
}

async fn stays_as_it_is(guest: &Guest) {
    agent::passes(guest).await;
    let before = written(guest);
    agent::passes(guest).await;
    assert_eq!(written(guest), before);
}

/// What somebody changes comes back, and the web server goes by it.
async fn drifts(guest: &Guest) {
    let wanted = std::fs::read_to_string(guest.file(SITE)).unwrap();
    let workers = || guest.run(&["sh", "-c", "pgrep -P $(cat /run/nginx.pid) | sort"]);
    let before = workers();
    guest.run(&[
        "sh",
        "-c",
        &format!("echo 'server {{ listen 81; }}' >> {SITE}"),
    ]);
    wait_for(
        "the site is as declared",
        async || match std::fs::read_to_string(guest.file(SITE)) {
            Ok(text) if text == wanted => Ok(()),
            other => Err(other),
        },
    )
    .await;
    wait_for("the web server has read it again", async || {
        let now = workers();
        if now != before && !now.is_empty() {
            Ok(())
        } else {
            Err(now)
        }
    })
    .await;
    guest.run(&["rm", "/etc/nginx/sites-enabled/default"]);
    guest.run(&["chmod", "0777", &format!("{ROOT}/apps/common/config")]);
    guest.run(&["systemctl", "stop", "php8.2-fpm.service"]);
    let config = format!("stat -c %a {ROOT}/apps/common/config");
    wait_for("all of it is back", async || {
        let mode = guest.run(&["sh", "-c", &config]);
        match (mode.trim(), ask("GET", "/customer/").await) {
            ("750", Ok(page)) if page.body["app"] == "customer" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
