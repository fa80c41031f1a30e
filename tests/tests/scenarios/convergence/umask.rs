//! Whatever umask they were started with, nothing private of nodes and agents becomes readable, and
//! nothing that they make on a host gets another mode than it shall have.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use email_engine_tests::{AgentProcess, Fleet, every_file, samples, wait_until};
use serde_json::Value;

const PURGED: &str = "email_engine_raft_purged_index";

#[tokio::test(flavor = "multi_thread")]
async fn under_an_open_umask_nothing_private_is_readable_and_nothing_managed_writable() {
    modes_under("000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_closed_umask_what_others_must_read_is_readable() {
    modes_under("077").await;
}

async fn modes_under(umask: &'static str) {
    let mut fleet = Fleet::prepared(1, |_, node| {
        node.under_umask(umask);
        node.set("RAFT_SNAPSHOT_AFTER_LOGS", "10");
        node.set("RAFT_KEEP_LOGS", "5");
    })
    .await;
    fleet.apply(&samples::fleet(2)).await;
    for host in samples::HOSTS {
        let role = fleet.host(host).await["role"].as_str().unwrap().to_owned();
        let token = fleet.host_token(host, &role).await;
        let mut agent = AgentProcess::new(host, &fleet.host_dir(host));
        // As on a new machine: whatever is above its files it makes itself.
        fs::remove_dir(agent.root()).unwrap();
        agent.under_umask(umask);
        agent.start(Some(&token));
        fleet.agents.insert(host.to_owned(), agent);
    }
    fleet.converged("its agents were let in").await;
    let api = fleet.api();
    for number in 1..=20 {
        api.post("/tenants", &samples::further_tenant(number))
            .await
            .ok();
    }
    wait_until("a snapshot was taken and the log cut", async || {
        api.metric(PURGED).await > 0.0
    })
    .await;
    // Renewed and restarted, it writes its files again.
    let node = fleet.nodes.get_mut(&1).unwrap();
    node.stop();
    node.start().await;
    fleet.leader().await;

    let mut wanted = BTreeMap::new();
    for host in fleet.agents.keys() {
        let config = fleet.api().get(&format!("/hosts/{host}/config")).await.ok();
        wanted.insert(host.clone(), config);
    }
    // What is written while it is looked at may be gone when it is read.
    fleet.nodes.get_mut(&1).unwrap().stop();
    for agent in fleet.agents.values_mut() {
        agent.kill();
    }
    let data = fleet.nodes[&1].data_dir();
    assert_private(&data);
    let written = every_file(&data);
    for kind in ["identity", "raft"] {
        let below = written
            .iter()
            .filter(|file| file.starts_with(data.join(kind)));
        assert!(below.count() > 1, "{kind}: {written:?}");
    }
    for (host, agent) in &fleet.agents {
        assert_private(&agent.data_dir());
        assert_as_wanted(agent, &wanted[host]["resources"]);
    }
}

fn mode(path: &Path) -> u32 {
    let meta = fs::symlink_metadata(path);
    let meta = meta.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    meta.permissions().mode() & 0o7777
}

/// A folder that is closed to others, and no file in it that would be open without that.
fn assert_private(folder: &Path) {
    assert_eq!(mode(folder), 0o700, "{}", folder.display());
    let files = every_file(folder);
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let mode = mode(&file);
        // Certificates are public, and are written as such; what a state brings is not looked into.
        let is_brought = file
            .parent()
            .is_some_and(|parent| parent.ends_with("bodies"));
        let bytes = fs::read(&file).unwrap();
        let public = !is_brought && bytes.starts_with(b"-----BEGIN CERTIFICATE-----");
        let open = if public { 0o044 } else { 0 };
        assert_eq!(mode & 0o077, open, "{mode:04o} {}", file.display());
    }
}

/// Every managed file and folder has its mode, and what had to be made above them is for all to pass.
fn assert_as_wanted(agent: &AgentProcess, resources: &Value) {
    let specs = resources.as_array().unwrap().iter();
    let specs = specs.filter_map(|resource| {
        let spec = &resource["spec"];
        let spec = [&spec["file"], &spec["directory"]]
            .into_iter()
            .find(|spec| spec.is_object())?;
        let wanted = u32::try_from(spec["mode"].as_u64().unwrap()).unwrap();
        Some((agent.file(spec["path"].as_str().unwrap()), wanted))
    });
    let wanted: BTreeMap<_, _> = specs.collect();
    assert!(wanted.len() > 2, "{resources}");
    let mut made = 0;
    for (path, wanted_mode) in &wanted {
        let found = mode(path);
        assert_eq!(found, *wanted_mode, "{found:04o} {}", path.display());
        let root = agent.root();
        let above = path.ancestors().skip(1).take_while(|above| *above != root);
        for folder in above.filter(|folder| !wanted.contains_key(*folder)) {
            let found = mode(folder);
            assert_eq!(found, 0o755, "{found:04o} {}", folder.display());
            made += 1;
        }
        assert_eq!(mode(&root), 0o755, "the sandbox itself");
    }
    assert!(made > 0, "nothing was made above {wanted:?}");
}
