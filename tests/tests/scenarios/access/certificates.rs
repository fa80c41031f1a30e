//! Certificates are renewed while everything goes on; who slept past the end comes back by itself.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use email_engine_agent::identity::IdentityStore;
use email_engine_protocol::time::Timestamp;
use email_engine_tests::{Fleet, samples, wait_for, wait_until};
use serde_json::json;

/// Short enough to be slept through.
const SHORT: u64 = 16;
/// Renewed at its half: a machine that stalls for less than twenty seconds loses nothing.
const LONG: u64 = 40;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

fn count(path: &std::path::Path, needle: &str) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.contains(needle)).count()
}

async fn fleet(nodes: u64, life: u64) -> Fleet {
    let life = [("CERTIFICATE_LIFE_SECONDS", life.to_string())];
    let life = life.each_ref().map(|(key, value)| (*key, value.as_str()));
    let mut fleet = Fleet::configured(nodes, &life).await;
    fleet.apply(&samples::fleet(0)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet.converged("its first document was applied").await;
    fleet
}

/// End of the certificate that an agent has on disk.
fn end_of_certificate(fleet: &Fleet, host: &str) -> Timestamp {
    let store = IdentityStore::open(&fleet.agents[host].data_dir()).unwrap();
    store.load().unwrap().unwrap().validity.not_after
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_drop_neither_session_nor_cluster() {
    let mut fleet = fleet(3, LONG).await;
    let agent = fleet.agents["pmta1"].log();
    let begun = count(&agent, "session begins");
    let mut written = 1;
    // The nodes' first certificates are older than the agent's, so they end before it.
    let end = end_of_certificate(&fleet, "pmta1");
    wait_until(
        "the first certificates of all are past their end",
        async || {
            // Writes go on meanwhile, each on another node.
            let node = fleet.nodes.keys().nth(written % 3).copied().unwrap();
            let tenant = json!({ "id": format!("tenant-{written}"), "name": "One of many" });
            fleet.api_of(node).post("/tenants", &tenant).await.ok();
            written += 1;
            now() > end
        },
    )
    .await;
    assert!(
        end_of_certificate(&fleet, "pmta1") > now(),
        "it was renewed"
    );
    for node in fleet.nodes.values() {
        assert!(count(&node.log(), "own certificate renewed") >= 1);
    }
    let said = fs::read_to_string(&agent).unwrap();
    assert_eq!(count(&agent, "session begins"), begun, "{said}");
    fleet.host_converged("pmta1", "nothing was lost").await;
    let tenants = fleet.api().get("/tenants").await.ok();
    assert_eq!(
        tenants.as_array().unwrap().len(),
        written,
        "acknowledged writes"
    );

    // New connections work under the new certificates: a node and an agent start again.
    let leader = fleet.leader().await;
    let follower = fleet
        .nodes
        .keys()
        .copied()
        .find(|node| *node != leader)
        .unwrap();
    let node = fleet.nodes.get_mut(&follower).unwrap();
    node.stop();
    node.start().await;
    fleet.agents.get_mut("pmta1").unwrap().kill();
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    fleet
        .api_of(follower)
        .post("/ips", &samples::identity(1))
        .await
        .ok();
    fleet
        .host_converged("pmta1", "it and a node started again")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_slept_past_the_end_of_its_certificate_comes_back() {
    let mut fleet = fleet(1, SHORT).await;
    let view = fleet.host("pmta1").await;
    fleet.agents.get_mut("pmta1").unwrap().kill();
    let end = end_of_certificate(&fleet, "pmta1");
    let node = fleet.nodes[&1].log();
    wait_until("its certificate is past its end", async || now() > end).await;
    fleet.api().post("/ips", &samples::identity(1)).await.ok();
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    wait_for("the node renews it by its old key", async || {
        if count(&node, "certificate renewed past its end") > 0 {
            Ok(())
        } else {
            Err(fs::read_to_string(&node).unwrap_or_default())
        }
    })
    .await;
    let after = fleet.host_converged("pmta1", "it came back").await;
    assert_ne!(after["running"], view["running"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_cluster_that_slept_past_the_end_of_its_certificates_comes_back() {
    let mut fleet = fleet(3, SHORT).await;
    for node in fleet.nodes.values_mut() {
        node.kill();
    }
    let end = now().plus(SHORT * 1000 + 1000);
    wait_until("all certificates are past their end", async || now() > end).await;
    for node in fleet.nodes.values_mut() {
        node.start().await;
    }
    fleet.leader().await;
    fleet.api().post("/ips", &samples::identity(1)).await.ok();
    fleet
        .host_converged("pmta1", "cluster and agent came back")
        .await;
}

/// A host that renewed its certificate after the backup, which is given.
async fn fleet_ahead_of_its_backup() -> (Fleet, PathBuf) {
    let fleet = fleet(1, SHORT).await;
    let backup = fleet.dir().join("backup");
    fs::write(&backup, fleet.download("/cluster/backup").await).unwrap();
    let agent = fleet.agents["pmta1"].log();
    let renewed = count(&agent, "certificate renewed");
    wait_until(
        "the agent has a certificate that the backup does not know",
        async || count(&agent, "certificate renewed") >= renewed + 2,
    )
    .await;
    (fleet, backup)
}

/// How often the restored cluster let a host in again.
async fn readmissions(fleet: &Fleet) -> usize {
    let audit = fleet.api().get("/audit?limit=200").await.ok();
    let entries = audit.as_array().unwrap().iter();
    entries
        .filter(|entry| entry["command"] == "readmit-host")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_renewed_after_the_backup_follows_the_restored_cluster() {
    let (mut fleet, backup) = fleet_ahead_of_its_backup().await;
    let agent = fleet.agents["pmta1"].log();
    let begun = count(&agent, "session begins");
    fleet.restore(&backup).await;
    fleet.api().post("/ips", &samples::identity(1)).await.ok();
    let view = fleet
        .host_converged("pmta1", "the cluster was restored")
        .await;
    assert_eq!(view["running"]["epoch"], 2);
    assert!(count(&agent, "session begins") > begun);
    assert_eq!(readmissions(&fleet).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_renewed_after_the_backup_and_slept_past_the_end_comes_back_too() {
    let (mut fleet, backup) = fleet_ahead_of_its_backup().await;
    fleet.agents.get_mut("pmta1").unwrap().kill();
    let end = end_of_certificate(&fleet, "pmta1");
    wait_until("its certificate is past its end", async || now() > end).await;
    fleet.restore(&backup).await;
    fleet.api().post("/ips", &samples::identity(1)).await.ok();
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    let view = fleet.host_converged("pmta1", "it came back").await;
    assert_eq!(view["running"]["epoch"], 2);
    let node = fleet.nodes[&2].log();
    assert!(count(&node, "certificate renewed past its end") >= 1);
    assert_eq!(readmissions(&fleet).await, 1);
}
