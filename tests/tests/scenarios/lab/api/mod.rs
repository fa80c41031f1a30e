//! A bare host becomes one that serves a tenant's API: from the operator's bundle to an answer over TLS, a job
//! through cache and database and figures in Prometheus; it stays so, says what is not well, and a new bundle
//! takes its place.

mod unwell;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use email_engine_tests::lab::{Guest, api};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, Operator, samples, wait_for};
use serde_json::{Value, json};

use super::agent;
use unwell::{goes_on_when_an_override_is_broken, says_what_is_not_well};

const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "api1";
const ADDRESS: &str = "192.0.2.30";
const NAME: &str = "api.example.com";
const FOLDER: &str = "/etc/email-engine/api";
const PACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stand-ins/api-bundle/pack");
const MAILWIZZ_KEY: &str = "0f3b0f3b0f3b0f3b0f3b0f3b0f3b0f3b0f3b0f3b";
const SERVICES: [&str; 3] = ["web", "worker", "scheduler"];

#[test]
fn a_bare_host_serves_the_api_of_the_operators_bundle_and_goes_on_serving_it() {
    let Some(base) = api() else { return };
    alone(&[COORDINATOR], async move {
        let listen = format!("{COORDINATOR}:7443");
        let settings = [
            ("MODE", "real"),
            ("AGENT_LISTEN", listen.as_str()),
            ("API_LISTEN", listen.as_str()),
            ("DKIM_STOCK", "1"),
        ];
        let fleet = Fleet::configured(1, &settings).await;
        fleet.apply(&document(true)).await;
        let guest = Guest::boot(HOST, &base, &[ADDRESS], COORDINATOR).await;
        agent::tells_of_passes(&guest);
        agent::install(&guest, &fleet.host_token(HOST, "api").await);
        fleet.host_converged(HOST, "its agent was let in").await;

        upload(&fleet, "1");
        is_served(&guest, "1", "the bundle was uploaded").await;
        secrets_are_where_they_belong(&fleet, &guest).await;
        // With the one that has its secrets last.
        fleet
            .host_converged(HOST, "its services have their secrets")
            .await;
        does_jobs(&guest).await;
        nothing_is_open(&guest);
        fleet.host_converged(HOST, "it has all that it needs").await;
        stays_as_it_is(&guest).await;
        lets_in_what_it_shall(&guest).await;
        // Prometheus looks three times a minute.
        is_watched(&guest).await;

        guest.reboot().await;
        is_served(&guest, "1", "it was rebooted").await;
        upload(&fleet, "2");
        is_served(&guest, "2", "a new bundle was uploaded").await;
        starts_are_noted(&guest).await;
        says_what_is_not_well(&fleet, &guest).await;
        goes_on_when_an_override_is_broken(&fleet, &guest).await;
    });
}

fn document(firewall: bool) -> Value {
    let mut document = samples::fleet(2);
    let firewall = if firewall { "on" } else { "off" };
    document["hosts"][2]["labels"] = json!({ "web-names": NAME, "firewall": firewall });
    document
}

fn upload(fleet: &Fleet, version: &str) {
    let operator = Operator::of(fleet);
    let bundle = operator.folder().join("bundle.tar.gz");
    let packed = Command::new(PACK)
        .arg(&bundle)
        .arg(version)
        .status()
        .unwrap();
    assert!(packed.success());
    let put = ["artifact", "put", "bundle.tar.gz", "--use", "api-bundle"];
    let _ = operator.prints(0, &put);
}

/// Asks by the host's name, and takes any certificate.
async fn ask(
    method: &str,
    path: &str,
    key: &str,
    body: &'static str,
) -> Result<(u16, Value), String> {
    let said = |error: reqwest::Error| format!("{error:?}");
    let host = ADDRESS.parse().map_err(|_| "no address")?;
    // Port 0 is that of the scheme.
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .resolve(NAME, SocketAddr::new(host, 0))
        .build()
        .map_err(said)?;
    let method = method.parse().map_err(|_| "no method")?;
    let path = match path.starts_with("http") {
        true => path.to_owned(),
        false => format!("https://{NAME}{path}"),
    };
    let request = client.request(method, path).header("x-api-key", key);
    let answer = request.body(body).send().await.map_err(said)?;
    let status = answer.status().as_u16();
    let text = answer.text().await.map_err(said)?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

async fn is_served(guest: &Guest, version: &str, why: &str) {
    wait_for(&format!("the API answers: {why}"), async || {
        match ask("GET", "/", "", "").await {
            Ok((200, body)) if body["version"] == version => Ok(()),
            other => {
                let units = ["systemctl", "--no-pager", "--failed"];
                let failed = guest.try_run(&units).map(|output| output.stdout);
                let failed = failed.map(|text| String::from_utf8_lossy(&text).into_owned());
                Err((other, failed))
            }
        }
    })
    .await;
}

/// The value of a file with one variable.
fn variable(guest: &Guest, file: &str, name: &str) -> String {
    let text = fs::read_to_string(guest.file(&format!("{FOLDER}/{file}"))).unwrap();
    let value = text.strip_prefix(&format!("{name}=")).unwrap();
    value.strip_suffix('\n').unwrap().to_owned()
}

/// What was made and what an operator gave: in files of root's alone, known to the service, and said nowhere
/// else.
async fn secrets_are_where_they_belong(fleet: &Fleet, guest: &Guest) {
    let operator = Operator::of(fleet);
    let file = operator.folder().join("key.txt");
    fs::write(&file, format!("{MAILWIZZ_KEY}\n")).unwrap();
    let set = [
        "tenants",
        "secret",
        "set",
        "client-1",
        "mailwizz-api-key",
        "--from-file",
        "key.txt",
    ];
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = operator.notes(1, &set);
    assert!(refused.contains("chmod 600"), "{refused}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let said = operator.prints(0, &set).to_string();
    assert!(!said.contains(MAILWIZZ_KEY), "{said}");
    let key = variable(guest, "client_1.api-key.env", "API_KEY");
    let environment = wait_for("the service has its secrets", async || {
        match ask("GET", "/environment", &key, "").await {
            Ok((200, body)) if body["secrets"].as_array().map(Vec::len) == Some(3) => Ok(body),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(
        ask("GET", "/environment", "another", "").await.unwrap().0,
        401
    );
    let names = &environment["names"];
    for (name, value) in [
        ("IP1", "198.51.100.1"),
        ("DOMAIN2", "mail2.example.net"),
        ("SENDER1", "contact@mail1.example.net"),
        ("WARMUP_ENABLED", "true"),
        ("WARMUP_INITIAL_QUOTA", "50"),
        ("WARMUP_WEEKS", "6"),
        ("WARMUP_DAILY_INCREASE_PERCENT", "20"),
    ] {
        assert_eq!(names[name], value, "{names}");
    }
    assert_eq!(
        variable(guest, "client_1.mailwizz.env", "MAILWIZZ_API_KEY"),
        MAILWIZZ_KEY
    );
    let password = variable(guest, "client_1.postgres.env", "POSTGRES_PASSWORD");
    let modes = format!("stat -c '%a %U:%G' {FOLDER}/*.env | sort -u");
    assert_eq!(guest.run(&["sh", "-c", &modes]).trim(), "600 root:root");

    let config = fleet.api().get("/hosts/api1/config").await.ok().to_string();
    let log = guest.run(&["journalctl", "--output=cat"]);
    let processes = guest.run(&["ps", "axww", "-o", "args"]);
    for secret in [key.as_str(), password.as_str(), MAILWIZZ_KEY] {
        for (place, text) in [
            ("config", &config),
            ("log", &log),
            ("processes", &processes),
        ] {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
    }
}

/// From the web service through the cache to the worker, and by it into the database.
async fn does_jobs(guest: &Guest) {
    let key = variable(guest, "client_1.api-key.env", "API_KEY");
    assert_eq!(ask("POST", "/jobs", &key, "one").await.unwrap().0, 202);
    let state = wait_for("the job is done", async || {
        let (_, body) = ask("GET", "/state", &key, "").await?;
        match body["done"].as_array() {
            Some(done) if done.contains(&json!(["worker", "one"])) => Ok(body),
            _ => Err(body.to_string()),
        }
    })
    .await;
    assert_eq!(state["user"], "api_client_1");
    assert_eq!(state["database"], "api_client_1");
    assert_eq!(state["waiting"], 0);
}

/// Nobody's but the service's own user runs it, nothing is everybody's to write, and nobody from outside
/// reaches cache, database or exporters of these.
fn nothing_is_open(guest: &Guest) {
    let find = "find /etc/nginx /etc/email-engine /etc/redis /etc/prometheus /opt /run/email-engine-api-web \
                /run/email-engine-api-worker /var/lib/private ! -type l -perm /0002; \
                find /opt ! -user root";
    assert_eq!(guest.run(&["sh", "-c", find]), "");
    let users = SERVICES.map(|service| {
        let unit = format!("email-engine-api-{service}@client_1.service");
        let script = format!("stat -c %u /proc/$(systemctl show -P MainPID {unit})");
        let user = guest.run(&["sh", "-c", &script]);
        user.trim().parse::<u32>().unwrap()
    });
    // One that systemd made for as long as they run.
    assert!((61_184..=65_519).contains(&users[0]), "{users:?}");
    assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
    for file in ["client_1.env", "client_1.api-key.env"] {
        let file = format!("{FOLDER}/{file}");
        let read = guest.try_run(&["runuser", "-u", "www-data", "--", "cat", &file]);
        assert!(
            !read.unwrap().status.success(),
            "the web server reads {file}"
        );
    }
    let listening = guest.run(&["ss", "-Hltn"]);
    for line in listening.lines() {
        let local = line.split_whitespace().nth(3).unwrap_or_default();
        let (address, port) = local.rsplit_once(':').unwrap_or_default();
        let is_loopback = ["127.0.0.1", "[::1]"].contains(&address);
        let is_meant = ["80", "443"].contains(&port) || local == format!("{ADDRESS}:9100");
        assert!(is_loopback || is_meant, "{listening}");
    }
}

/// Prometheus takes what was written, and reads all that it is told to.
async fn is_watched(guest: &Guest) {
    let folder = "/etc/email-engine/monitoring";
    guest.run(&[
        "promtool",
        "check",
        "config",
        &format!("{folder}/prometheus.yml"),
    ]);
    guest.run(&[
        "promtool",
        "check",
        "rules",
        &format!("{folder}/alerts.yml"),
    ]);
    let query = "import json,sys,urllib.parse,urllib.request\n\
                 url='http://127.0.0.1:9090/api/v1/query?query='+urllib.parse.quote(sys.argv[1])\n\
                 for row in json.load(urllib.request.urlopen(url))['data']['result']:\n    \
                 print(row['metric'].get('job'), row['metric'].get('host'), row['value'][1])";
    let ask = |text: &str| -> Result<String, String> {
        let output = guest.try_run(&["python3", "-c", query, text])?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    wait_for("everything is read", async || {
        let seen = ask("up")?;
        let wanted = [
            "prometheus None 1",
            "worker None 1",
            "postgres api1 1",
            "redis api1 1",
            "node api1 1",
            "coordinator None 1",
        ];
        match wanted
            .iter()
            .all(|line| seen.lines().any(|one| one == *line))
        {
            true => Ok(()),
            false => Err(seen),
        }
    })
    .await;
    for (text, wanted) in [
        ("pg_up", "postgres api1 1"),
        ("redis_memory_max_bytes", "redis api1 536870912"),
        ("api_jobs_done_total", "worker None 1"),
        ("email_engine_raft_has_leader", "coordinator None 1"),
    ] {
        wait_for(&format!("Prometheus knows {text}"), async || {
            let seen = ask(text)?;
            if seen.trim() == wanted {
                Ok(())
            } else {
                Err(seen)
            }
        })
        .await;
    }
}

/// When what serves was written last, and which processes serve.
fn written(guest: &Guest) -> String {
    let script = "find /etc/nginx /etc/email-engine /etc/redis /etc/systemd /etc/default /opt /usr/local/share \
                  -printf '%p %T@ %m %u\\n' | sort; cat /run/nginx.pid; \
                  pgrep -l 'nginx|redis|^web$|^worker$|^scheduler$|prometheus' | sort";
    guest.run(&["sh", "-c", script])
}

async fn stays_as_it_is(guest: &Guest) {
    agent::passes(guest).await;
    let before = written(guest);
    agent::passes(guest).await;
    assert_eq!(written(guest), before);
}

/// From elsewhere the web server answers, and what is not for everybody does not; keys are not taken in the
/// clear.
async fn lets_in_what_it_shall(guest: &Guest) {
    let table = guest.run(&["nft", "list", "table", "inet", "email_engine"]);
    assert!(table.contains("policy drop"), "{table}");
    let clear = ask("GET", &format!("http://{NAME}/"), "", "")
        .await
        .unwrap();
    assert_eq!(clear.0, 308);
    let open = |port: u16| {
        let address: SocketAddr = format!("{ADDRESS}:{port}").parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(2)).is_ok()
    };
    assert!(open(443));
    // Read by API hosts alone; this is none.
    for port in [9100, 5432, 6379, 9090] {
        assert!(!open(port), "{port}");
    }
}

/// What a service keeps in its own folder outlives reboots and bundles.
async fn starts_are_noted(guest: &Guest) {
    let key = variable(guest, "client_1.api-key.env", "API_KEY");
    wait_for("the new scheduler has started", async || {
        let (_, body) = ask("GET", "/state", &key, "").await?;
        let done = body["done"].as_array().cloned().unwrap_or_default();
        let noted: Vec<&str> = done.iter().filter_map(|row| row[1].as_str()).collect();
        let last = noted.iter().rev().find(|what| what.contains(" start "));
        match last {
            Some(last) if last.starts_with("2 start ") && *last != "2 start 1" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
