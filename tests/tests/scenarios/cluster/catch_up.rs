//! Snapshots, restarts and a node that lagged behind further than the log reaches back.

use email_engine_tests::{Fleet, samples, wait_until};
use serde_json::json;

const PURGED: &str = "email_engine_raft_purged_index";
const SENT: &str = "email_engine_raft_snapshots_sent_total";
const INSTALLED: &str = "email_engine_raft_snapshots_installed_total";

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_restart_and_a_lagging_node_catch_up() {
    let mut fleet = Fleet::prepared(3, |_, node| {
        node.set("RAFT_SNAPSHOT_AFTER_LOGS", "20");
        node.set("RAFT_KEEP_LOGS", "5");
    })
    .await;
    fleet.apply(&samples::fleet(2)).await;
    let leader = fleet.leader().await;
    let lagging = *fleet.nodes.keys().find(|node| **node != leader).unwrap();
    let held = fleet.api_of(lagging).get("/cluster").await.ok();
    let held = held["last_index"].as_u64().unwrap();
    fleet.nodes.get_mut(&lagging).unwrap().kill();

    // Several snapshots' worth of entries, of which the log keeps five.
    for round in 0..120 {
        rename(&fleet, leader, round).await;
    }
    // A leader keeps what it is sending until the silent node's answer is overdue. One that ends before that
    // purges at its next snapshot, which nothing here would bring.
    let others: Vec<u64> = fleet.nodes.keys().copied().collect();
    for node in others.iter().filter(|node| **node != lagging) {
        let api = fleet.api_of(*node);
        wait_until("nobody has what the lagging node lacks", async || {
            api.metric(PURGED).await > held as f64
        })
        .await;
    }
    for node in fleet.nodes.values_mut() {
        node.kill();
    }
    for node in others.iter().filter(|node| **node != lagging) {
        fleet.nodes.get_mut(node).unwrap().start().await;
    }
    fleet.leader().await;

    fleet.nodes.get_mut(&lagging).unwrap().start().await;
    let api = fleet.api_of(lagging);
    wait_until("the lagging node has the last change", async || {
        let answer = api.try_get("/tenants/client-1?consistency=stale").await;
        answer.is_ok_and(|answer| answer.body["name"] == "round 119")
    })
    .await;
    wait_until("it was sent a snapshot", async || {
        api.metric(INSTALLED).await >= 1.0
    })
    .await;
    wait_until("the leader says so too", async || {
        let mut sent = 0.0;
        for node in others.iter().filter(|node| **node != lagging) {
            sent += fleet.api_of(*node).metric(SENT).await;
        }
        sent >= 1.0
    })
    .await;

    // From the snapshot on it follows the log, also after a restart of its own.
    fleet.nodes.get_mut(&lagging).unwrap().kill();
    fleet.nodes.get_mut(&lagging).unwrap().start().await;
    let leader = fleet.leader().await;
    rename(&fleet, leader, 120).await;
    let api = fleet.api_of(lagging);
    assert_eq!(api.get("/tenants/client-1").await.ok()["name"], "round 120");
}

async fn rename(fleet: &Fleet, node: u64, round: u32) {
    let mut tenant = samples::tenant();
    tenant["name"] = json!(format!("round {round}"));
    let renamed = fleet.api_of(node).put("/tenants/client-1", &tenant).await;
    renamed.ok();
}
