//! An agent that is killed anywhere leaves every file old or new, and goes on where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use email_engine_agent::host::Cabinet;
use email_engine_agent::inventory::{Inventory, Thing};
use email_engine_agent::ledger::Ledger;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::HostPath;
use email_engine_protocol::generation::Generation;
use email_engine_tests::{AgentProcess, DEADLINE, Fleet, has_converged, samples, wait_until};
use serde_json::{Value, json};

const HOST: &str = "pmta1";
const ROUNDS: u64 = 6;
/// Between two questions to the cluster, so that they do not hold up the watch over files.
const ASKED_EVERY: Duration = Duration::from_millis(100);
const KEY: &[u8] = b"PRIVATE KEY";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_anywhere_leaves_files_whole_and_converges_after_its_restart() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(2)).await;
    fleet.start_agents(&[HOST]).await;
    fleet.converged("its first document was applied").await;
    let mut floor = floor_of(&fleet.agents[HOST]);
    let mut random = 0x5eed_u64;
    for round in 0..ROUNDS {
        let count = if round % 2 == 0 { 3 } else { 2 };
        let mut document = samples::fleet(count);
        document["tenants"][0]["inbound_mailbox"] = json!(format!("box{round}@example.org"));
        let agent = fleet.agents.get_mut(HOST).unwrap();
        let old = contents(&agent.root());
        let before = stamps(agent);
        let left = fleet.host(HOST).await["target"].clone();
        fleet.apply_pruning(&document).await;

        let changes = 1 + next(&mut random) % 10;
        changed_or_converged(&fleet, before, changes, &left).await;
        let agent = fleet.agents.get_mut(HOST).unwrap();
        agent.kill();
        check_after_crash(agent, &old, &mut floor);
        // And once more while it starts again.
        let lines = log_lines(agent);
        agent.start(None);
        kill_after_lines(agent, lines + 1 + next(&mut random) % 3);
        check_after_crash(agent, &old, &mut floor);

        if round % 2 == 1 {
            // It takes a host whose dead connections are taken over five times for two machines and
            // keeps it out for a minute; a node that starts anew knows of none.
            let node = fleet.nodes.get_mut(&1).unwrap();
            node.stop();
            node.start().await;
        }
        let agent = fleet.agents.get_mut(HOST).unwrap();
        agent.start(None);
        let why = format!("it was killed twice in round {round}");
        fleet.host_converged(HOST, &why).await;
        // What was removed goes when the host has said twice that nothing is in its queue.
        let folder = fleet.agents[HOST].file("/etc/pmta/dkim");
        wait_until("what was removed has drained", async || {
            fs::read_dir(&folder).is_ok_and(|entries| entries.count() == count)
        })
        .await;
        fleet.host_converged(HOST, &why).await;
        check_converged(&fleet.agents[HOST]);
    }
}

/// The next of a fixed row of numbers: the same points every time, as far as the machine allows.
fn next(random: &mut u64) -> usize {
    *random = random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*random >> 40).unwrap()
}

type Stamp = (PathBuf, u64, i64, i64);

/// Every version of a file that is there: one that was replaced is another.
fn stamps(agent: &AgentProcess) -> BTreeSet<Stamp> {
    let mut found = BTreeSet::new();
    for folder in [agent.root(), agent.data_dir().join("executor")] {
        for (path, meta) in files(&folder) {
            found.insert((path, meta.ino(), meta.mtime(), meta.mtime_nsec()));
        }
    }
    found
}

/// Waits for so many versions of files that were not there before. Some are there for a moment only
/// and may be missed: no more are to come once the host has left its former target and converged.
async fn changed_or_converged(
    fleet: &Fleet,
    mut seen: BTreeSet<Stamp>,
    changes: usize,
    left: &Value,
) {
    let begin = Instant::now();
    let mut asked = begin;
    let wanted = seen.len() + changes;
    while seen.len() < wanted {
        assert!(begin.elapsed() < DEADLINE, "fewer than {changes} changes");
        seen.extend(stamps(&fleet.agents[HOST]));
        if asked.elapsed() < ASKED_EVERY {
            continue;
        }
        let view = fleet.host(HOST).await;
        if view["running"] != *left && has_converged(&view) {
            return;
        }
        asked = Instant::now();
    }
}

fn log_lines(agent: &AgentProcess) -> usize {
    fs::read_to_string(agent.log()).unwrap().lines().count()
}

fn kill_after_lines(agent: &mut AgentProcess, lines: usize) {
    let begin = Instant::now();
    while log_lines(agent) < lines {
        assert!(begin.elapsed() < DEADLINE, "it says too little");
        std::thread::yield_now();
    }
    agent.kill();
}

/// What must be so at any moment.
fn check_after_crash(
    agent: &AgentProcess,
    old: &BTreeMap<PathBuf, Vec<u8>>,
    floor: &mut Generation,
) {
    let now = floor_of(agent);
    assert!(now >= *floor, "the floor went back from {floor} to {now}");
    *floor = now;
    let bodies: BTreeSet<String> = files(&agent.data_dir().join("executor/ledger/bodies"))
        .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let owned = owned_files(agent);
    for (path, meta) in files(&agent.root()) {
        let bytes = fs::read(&path).unwrap();
        let shown = path.display();
        if is_temporary(&path) {
            assert_eq!(meta.permissions().mode() & 0o7, 0, "{shown} is open to all");
            continue;
        }
        let is_old = old.get(&path) == Some(&bytes);
        let is_new = bodies.contains(&ContentHash::of(&bytes).to_string());
        assert!(is_old || is_new || is_whole_key(&bytes), "{shown} is half");
        assert!(owned.contains(&path), "{shown} is not in the inventory");
    }
    for (path, _) in files(&agent.data_dir()) {
        assert!(!holds_key(&path), "{} holds a key", path.display());
    }
}

fn check_converged(agent: &AgentProcess) {
    let folders = ["/etc/pmta/dkim", "/etc/pmta/tls"].map(|folder| agent.file(folder));
    for parent in [agent.root(), agent.data_dir()] {
        for (path, _) in files(&parent) {
            assert!(!is_temporary(&path), "{} is left", path.display());
            let is_key = folders.iter().any(|folder| path.starts_with(folder));
            assert_eq!(holds_key(&path), is_key, "{}", path.display());
        }
    }
}

fn floor_of(agent: &AgentProcess) -> Generation {
    let cabinet = Cabinet::open(&agent.data_dir().join("executor")).unwrap();
    let ledger = Ledger::open(cabinet).unwrap();
    ledger.page().floor().unwrap().generation
}

fn owned_files(agent: &AgentProcess) -> BTreeSet<PathBuf> {
    let cabinet = Cabinet::open(&agent.data_dir().join("executor")).unwrap();
    let inventory = Inventory::read(&cabinet).unwrap();
    let path = |path: &HostPath| agent.file(path.as_str());
    inventory
        .iter()
        .filter(|(thing, _)| matches!(thing, Thing::File(_)))
        .filter_map(|(thing, _)| thing.path().map(path))
        .collect()
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(folder)
        .map(|(path, _)| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.starts_with(".email-engine.")
}

fn is_whole_key(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.starts_with("-----BEGIN") && text.trim_end().ends_with("PRIVATE KEY-----")
}

fn holds_key(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.windows(KEY.len()).any(|window| window == KEY)
}

/// Every regular file below a folder; one that goes meanwhile is left out.
fn files(folder: &Path) -> impl Iterator<Item = (PathBuf, Metadata)> + use<> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match fs::symlink_metadata(entry.path()) {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) if meta.is_file() => found.push((entry.path(), meta)),
                _ => {}
            }
        }
    }
    found.into_iter()
}
