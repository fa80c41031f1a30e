//! Packages from elsewhere, and what runs when, on a real host: a signed repository that the host's own list
//! names is read by the executor, which has no network of its own, and by the real apt; a package comes of
//! it; another key brings nothing and takes nothing away; a job of cron runs; and all of it goes.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use email_engine_tests::lab::{Guest, ground};
use email_engine_tests::mail::alone;
use email_engine_tests::{Fleet, Operator, samples, wait_until};
use serde_json::json;

use super::agent::{self, EXECUTOR};

const COORDINATOR: &str = "203.0.113.1";
const HOST: &str = "api1";
const SOURCE: &str = "/etc/apt/sources.list.d/email-engine-vendor.sources";
const KEYRING: &str = "/etc/apt/keyrings/email-engine-vendor.asc";
const TABLE: &str = "/etc/cron.d/sample";
const LIST: &str = "/etc/email-engine/allow.toml";

/// What this host may be given, but for a source of packages.
const ALLOWED: &str =
    "paths = [\"/etc/email-engine/api/\", \"/etc/cron.d/sample\"]\npackages = [\"sample\"]\n";
const AND_ITS_SOURCE: &str = "package_repositories = [\"http://203.0.113.1:8080/debian/\"]\n";

const KEPT: &str = r#"
[[directory]]
path = "/etc/email-engine/api"
mode = "0750"
owner = "root"
group = "root"
on_remove = "leave"
"#;

const MORE: &str = r#"
[[package]]
name = "sample"
on_remove = "delete"
after = ["package_repository:vendor"]

[[cron_job]]
name = "sample"
schedule = "* * * * *"
user = "root"
command = "date +at-%s > /opt/ran"
on_remove = "delete"

[[package_repository]]
name = "vendor"
on_remove = "delete"

[package_repository.apt]
uris = ["http://203.0.113.1:8080/debian/"]
suites = ["stable"]
components = ["main"]
key = "api/vendor.asc"
"#;

/// Serves a folder at a port of the world until it is dropped.
struct Served(Child);

impl Served {
    fn start(folder: &Path) -> Self {
        let words = ["-m", "http.server", "--bind", COORDINATOR, "--directory"];
        let child = Command::new("python3")
            .args(words)
            .arg(folder)
            .arg("8080")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn packages_come_from_a_signed_repository_that_the_host_lists_and_a_job_runs() {
    let Some(base) = ground() else { return };
    alone(&[COORDINATOR], async move {
        let fleet = agent::fleet_at(COORDINATOR).await;
        fleet.apply(&samples::fleet(1)).await;
        let operator = Operator::of(&fleet);
        let folder = operator.folder();
        let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/lab/sources/make");
        let made = Command::new(make).arg(folder).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let _served = Served::start(&folder.join("served"));
        let key = |who: &str| fs::read_to_string(folder.join(format!("{who}.asc"))).unwrap();

        let all = format!("{KEPT}{MORE}");
        release(&fleet, &all, &key("vendor")).await;
        let guest = Guest::boot(HOST, &base, &["192.0.2.30"], COORDINATOR).await;
        guest.run(&[
            "sh",
            "-c",
            "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*",
        ]);
        agent::put(&guest, LIST, ALLOWED.as_bytes(), 0o644);
        agent::install(&guest, &fleet.host_token(HOST, "api").await);
        fleet
            .host_says(HOST, "no entry of `package_repositories`")
            .await;
        for path in [SOURCE, KEYRING, TABLE] {
            assert!(!guest.file(path).exists(), "{path}");
        }

        let list = format!("{ALLOWED}{AND_ITS_SOURCE}");
        agent::put(&guest, LIST, list.as_bytes(), 0o644);
        guest.run(&["systemctl", "restart", EXECUTOR]);
        fleet
            .host_converged(HOST, "its list names the source")
            .await;
        assert_eq!(installed(&guest), "install ok installed 1.0");
        let good = fs::read_to_string(guest.file(SOURCE)).unwrap();
        assert_eq!(
            fs::read_to_string(guest.file(KEYRING)).unwrap(),
            key("vendor")
        );
        is_repaired(&guest, &good).await;

        let ran = guest.file("/opt/ran");
        wait_until("cron runs the job", async || {
            fs::metadata(&ran).is_ok_and(|it| it.len() > 0)
        })
        .await;
        let ran = fs::read_to_string(&ran).unwrap();
        assert!(ran.starts_with("at-1"), "{ran}");

        release(&fleet, &all, &key("stranger")).await;
        fleet.host_says(HOST, "NO_PUBKEY").await;
        assert_eq!(fs::read_to_string(guest.file(SOURCE)).unwrap(), good);
        assert_eq!(
            fs::read_to_string(guest.file(KEYRING)).unwrap(),
            key("vendor")
        );
        assert_eq!(installed(&guest), "install ok installed 1.0");

        release(&fleet, &all, &key("vendor")).await;
        fleet.host_converged(HOST, "it has its own key again").await;
        goes(&fleet, &guest).await;
    });
}

/// What somebody changes comes back, without the repository.
async fn is_repaired(guest: &Guest, good: &str) {
    guest.run(&[
        "sh",
        "-c",
        &format!("echo 'Trusted: yes' >> {SOURCE}; chmod 666 {KEYRING}"),
    ]);
    wait_until("both files are as they were", async || {
        let mode = guest.run(&["stat", "-c", "%a %U", KEYRING]);
        fs::read_to_string(guest.file(SOURCE)).is_ok_and(|now| now == good)
            && mode.trim() == "644 root"
    })
    .await;
}

/// With the operator's word all of it goes.
async fn goes(fleet: &Fleet, guest: &Guest) {
    release(fleet, KEPT, "none").await;
    fleet.host_says(HOST, "nobody allowed").await;
    let path = format!("/hosts/{HOST}/allow-removal");
    fleet.api().post(&path, &json!({})).await.ok();
    wait_until(
        "both files, the table and the package are gone",
        async || {
            let there = [SOURCE, KEYRING, TABLE].map(|path| guest.file(path).exists());
            there == [false; 3] && !installed(guest).contains("ok installed")
        },
    )
    .await;
    fleet.host_converged(HOST, "all of it is gone").await;
}

/// What dpkg says.
fn installed(guest: &Guest) -> String {
    let words = ["dpkg-query", "-W", "-f=${Status} ${Version}", "sample"];
    let output = guest.try_run(&words).unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Gives the host another role file, and the key that it names.
async fn release(fleet: &Fleet, role: &str, key: &str) {
    let files = [("api/role.toml", role), ("api/vendor.asc", key)];
    fleet.give_files(HOST, &files).await;
}
