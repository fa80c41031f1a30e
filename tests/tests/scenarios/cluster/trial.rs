//! `email-engine trial`: everything on one machine, and again from the same folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use email_engine_tests::{Daemon, binary, samples, wait_for, wait_until};
use serde_json::Value;

fn trial(dir: &Path) -> Output {
    Command::new(binary("email-engine"))
        .args(["trial", "--once", "--nodes", "1", "--dir"])
        .arg(dir)
        .output()
        .unwrap()
}

#[test]
fn a_trial_converges_shows_its_hosts_and_starts_again_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trial");
    for (round, emptied) in [("first", false), ("second", false), ("third", true)] {
        if emptied {
            // As after a reinstallation of the machine: a new agent takes the place of the old one.
            std::fs::remove_dir_all(dir.join("hosts/pmta1/agent")).unwrap();
        }
        let ended = trial(&dir);
        let said = String::from_utf8_lossy(&ended.stdout);
        let noted = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{round}: {said}\n{noted}");
        for host in ["pmta1", "mailwizz1", "api1"] {
            let row = |line: &str| line.contains(host) && line.contains("converged");
            assert!(
                said.lines().any(row),
                "{round}: no row of {host}: {said}\n{noted}"
            );
        }
        assert!(noted.contains("all processes ended"), "{round}: {noted}");
    }
    assert!(dir.join("hosts/pmta1/root/etc/pmta/config").exists());
    assert_eq!(
        std::fs::read_to_string(dir.join(".gitignore")).unwrap(),
        "*\n"
    );
}

#[test]
fn what_cannot_be_a_cluster_or_a_first_fleet_founds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trial");
    let file = folder.path().join("fleet.toml");
    let mut fleet = samples::fleet(2);
    fleet["ips"][1]["address"] = fleet["ips"][0]["address"].clone();
    std::fs::write(&file, toml::to_string(&fleet).unwrap()).unwrap();
    let refused = |arguments: &[&str], code: i32| {
        let ended = Command::new(binary("email-engine"))
            .args(["trial", "--once", "--dir"])
            .arg(&dir)
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    let text = refused(&["--fleet", file.to_str().unwrap()], 1);
    assert!(text.contains("fleet.toml: "), "{text}");
    assert!(text.contains("ips[1].address"), "{text}");
    let text = refused(&["--nodes", "4"], 64);
    assert!(text.contains("accepted: 1, 3, 5 or 7"), "{text}");
    assert!(!dir.join("admin.toml").exists() && !dir.join("nodes/1").exists());

    // The folder of a trial of three, as far as is asked for: two of them cannot just be left out.
    for name in [
        "admin.toml",
        "nodes/1.joined",
        "nodes/2.joined",
        "nodes/3.joined",
    ] {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
    }
    let text = refused(&["--nodes", "1"], 1);
    assert!(text.contains("has 3 nodes, not 1"), "{text}");
}

/// A trial that stays up, and everything that it says.
struct Running {
    dir: PathBuf,
    daemon: Daemon,
    log: PathBuf,
}

impl Running {
    /// Starts one and waits until all of it is up.
    async fn start(dir: &Path) -> Self {
        let mut command = Command::new(binary("email-engine"));
        command.args(["trial", "--nodes", "1", "--dir"]).arg(dir);
        let log = dir.with_extension("log");
        let daemon = Daemon::start("trial", command, &log);
        let dir = dir.to_owned();
        let mut running = Self { dir, daemon, log };
        running.says("It stays up until Ctrl-C").await;
        running
    }

    async fn says(&mut self, words: &str) {
        wait_until(&format!("the trial says {words:?}"), async || {
            assert!(
                self.daemon.is_running(),
                "it ended:\n{}",
                self.daemon.log_tail()
            );
            std::fs::read_to_string(&self.log).unwrap().contains(words)
        })
        .await;
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("email-engine"));
        command.env("EMAIL_ENGINE_CONTEXT", self.dir.join("admin.toml"));
        command.args(arguments).output().unwrap()
    }

    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

const EXAMPLE: &str = include_str!("../../../../deploy/examples/sos-holidays.toml");

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_comes_while_the_trial_runs_gets_its_agent() {
    let folder = tempfile::tempdir().unwrap();
    let mut trial = Running::start(&folder.path().join("trial")).await;
    let file = folder.path().join("fleet.toml");
    let further = "[[hosts]]\nid = \"api2\"\nrole = \"api\"\ntenant = \"sos-holidays\"\n\
                   addresses = [\"198.51.100.31\"]\n";
    std::fs::write(&file, format!("{EXAMPLE}\n{further}")).unwrap();
    trial.prints(&["apply", "-f", file.to_str().unwrap()]);
    trial.says("agent api2: starting, its host is new").await;
    let shown = wait_for("the whole fleet has converged, api2 with it", async || {
        let ended = trial.run(&["status", "--output", "json"]);
        let status: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        let done = ended.status.success() && status["state"] == "converged";
        done.then_some(status).ok_or_else(|| format!("{ended:?}"))
    })
    .await;
    let hosts = shown["hosts"].as_array().unwrap();
    let api2 = hosts.iter().find(|host| host["id"] == "api2").unwrap();
    assert_eq!(api2["convergence"], "converged");
    assert!(
        trial
            .dir
            .join("hosts/api2/root/etc/email-engine/api")
            .exists()
    );
    let ended = trial.daemon.stop();
    assert!(ended.success(), "{ended:?}");
    assert!(trial.daemon.log_tail().contains("all processes ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_whose_key_was_revoked_names_the_file_and_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trial");
    let admin = dir.join("admin.toml");
    let names_both = format!(
        "the key in {} is not accepted: it was revoked or replaced; put a valid admin key there",
        admin.display()
    );
    let mut running = Running::start(&dir).await;
    let fresh = folder.path().join("fresh-key");
    let fresh_file = fresh.to_str().unwrap();
    running.prints(&[
        "keys", "create", "fresh", "--role", "admin", "--out", fresh_file,
    ]);
    let keys: Value =
        serde_json::from_str(&running.prints(&["keys", "list", "--output", "json"])).unwrap();
    let own = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["id"] != "fresh");
    let own = own.unwrap()["id"].as_str().unwrap();
    running.prints(&["keys", "revoke", own, "--yes"]);
    running.says(&names_both).await;
    assert!(running.daemon.stop().success());

    let ended = trial(&dir);
    let noted = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(noted.contains(&names_both), "{noted}");

    // The cure is one.
    let text = std::fs::read_to_string(&admin).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("api_key"))
        .unwrap();
    let fresh = std::fs::read_to_string(&fresh).unwrap();
    let cured = text.replace(line, &format!("api_key = \"{}\"", fresh.trim()));
    std::fs::write(&admin, cured).unwrap();
    let ended = trial(&dir);
    assert!(ended.status.success(), "{ended:?}");
}
