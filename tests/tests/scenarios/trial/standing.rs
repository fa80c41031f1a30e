//! A trial that stays up: what it suggests, what it survives, what it takes up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use email_engine_tests::{Endpoints, samples, wait_for, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Running, command_line, once};

#[tokio::test(flavor = "multi_thread")]
async fn one_command_gives_three_nodes_whose_leader_the_hosts_do_not_miss() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("trial");
    let mut trial = Running::start(&dir, &[]).await;
    let context = fs::metadata(dir.join("admin.toml")).unwrap();
    assert_eq!(context.permissions().mode() & 0o7777, 0o600);
    let status = wait_for("all of it has converged", async || trial.converged()).await;
    assert_eq!(status["ips"], 5, "{status}");
    let nodes = status["cluster"]["nodes"].as_array().unwrap();
    assert!(nodes.iter().all(|node| node["role"] == "voter"));
    assert_eq!(nodes.len(), 3, "{status}");

    // What it says to try works as it stands.
    let suggested = Suggestions::of(&trial.said());
    let rendered = suggested.run(" config render --host pmta1");
    assert!(rendered.contains("http-mgmt-port "), "{rendered}");
    let leader = suggested.leader();
    let process = Path::new("/proc").join(leader.pid.to_string());
    let line = command_line(&process);
    assert!(line.contains(suggested.killed()), "{line}");

    let pid = Pid::from_raw(i32::try_from(leader.pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let file = dir.join("hosts/pmta1/root/etc/pmta/config");
    let good = fs::read(&file).unwrap();
    let spoil = suggested.find("echo broken > ");
    shell(spoil.split_once(';').unwrap().0);
    wait_until("the edited file is back", async || {
        fs::read(&file).is_ok_and(|now| now == good)
    })
    .await;
    let term = |status: &serde_json::Value| status["cluster"]["term"].as_u64();
    let after = wait_for("the fleet has converged under another leader", async || {
        let after = trial.converged()?;
        let moved = term(&after) > term(&status);
        moved
            .then(|| after.clone())
            .ok_or_else(|| after.to_string())
    })
    .await;
    assert_eq!(after["reasons"], json!([]), "{after}");
    trial
        .says("was killed by signal 9; starting it again")
        .await;
    trial.interrupt();
}

/// What a trial says to try.
struct Suggestions(Vec<String>);

impl Suggestions {
    fn of(said: &str) -> Self {
        let (_, lines) = said.split_once("To try, in another terminal:\n").unwrap();
        let commands = lines.lines().filter_map(|line| line.strip_prefix("  "));
        Self(commands.map(str::to_owned).collect())
    }

    fn find(&self, part: &str) -> &str {
        let found = self.0.iter().find(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no {part:?} in {:?}", self.0))
    }

    /// Types the one that has this part, after the first: that names the context.
    fn run(&self, part: &str) -> String {
        let script = format!(
            "{}\n{}",
            self.find("export EMAIL_ENGINE_CONTEXT="),
            self.find(part)
        );
        shell(&script)
    }

    /// Where a process with this in its command line is the leader.
    fn killed(&self) -> &str {
        let line = self.find("pkill -KILL -f ");
        line.strip_prefix("pkill -KILL -f ").unwrap()
    }

    fn leader(&self) -> Endpoints {
        let config = PathBuf::from(self.killed());
        let endpoints = config.with_extension("").join("endpoints.json");
        serde_json::from_slice(&fs::read(endpoints).unwrap()).unwrap()
    }
}

fn shell(script: &str) -> String {
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_comes_while_the_trial_runs_gets_its_agent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.toml");
    let file = file.to_str().unwrap();
    let mut fleet = samples::fleet(2);
    fs::write(file, toml::to_string(&fleet).unwrap()).unwrap();
    let dir = folder.path().join("trial");
    let mut trial = Running::start(&dir, &["--nodes", "1", "--fleet", file]).await;
    let config = fs::read_to_string(dir.join("hosts/pmta1/root/etc/pmta/config")).unwrap();
    assert!(config.contains("mail2.example.net"), "the file was applied");

    fleet["hosts"].as_array_mut().unwrap().push(json!(
        { "id": "api2", "role": "api", "tenant": "client-1", "addresses": ["192.0.2.31"] }
    ));
    fs::write(file, toml::to_string(&fleet).unwrap()).unwrap();
    trial.prints(&["apply", "-f", file]);
    trial.says("agent api2: starting, its host is new").await;
    let shown = wait_for("the whole fleet has converged, api2 with it", async || {
        trial.converged()
    })
    .await;
    let hosts = shown["hosts"].as_array().unwrap();
    let api2 = hosts.iter().find(|host| host["id"] == "api2").unwrap();
    assert_eq!(api2["convergence"], "converged");
    assert!(dir.join("hosts/api2/root/etc/email-engine/api").exists());
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
    let mut running = Running::start(&dir, &["--nodes", "1"]).await;
    let fresh = folder.path().join("fresh-key");
    let fresh_file = fresh.to_str().unwrap();
    running.prints(&[
        "keys", "create", "fresh", "--role", "admin", "--out", fresh_file,
    ]);
    let keys = running.answers(&["keys", "list"]);
    let own = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["id"] != "fresh");
    let own = own.unwrap()["id"].as_str().unwrap();
    running.prints(&["keys", "revoke", own, "--yes"]);
    running.says(&names_both).await;
    assert!(running.daemon.stop().success());

    let ended = once(&dir, &["--nodes", "1"]);
    let noted = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(noted.contains(&names_both), "{noted}");

    // The cure is one.
    let text = fs::read_to_string(&admin).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("api_key"))
        .unwrap();
    let fresh = fs::read_to_string(&fresh).unwrap();
    let cured = text.replace(line, &format!("api_key = \"{}\"", fresh.trim()));
    fs::write(&admin, cured).unwrap();
    let ended = once(&dir, &["--nodes", "1"]);
    assert!(ended.status.success(), "{ended:?}");
}
