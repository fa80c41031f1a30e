//! Snapshots, restarts and a node that lagged behind.

use email_engine_tests::{Fleet, samples, wait_until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_restart_and_a_lagging_node_catch_up() {
    let mut fleet = Fleet::three().await;
    for node in fleet.nodes.values_mut() {
        node.set("RAFT_SNAPSHOT_AFTER_LOGS", "20");
        node.stop();
        node.start().await;
    }
    fleet.apply(&samples::fleet(2)).await;
    let leader = fleet.leader().await;
    let lagging = *fleet.nodes.keys().find(|node| **node != leader).unwrap();
    fleet.nodes.get_mut(&lagging).unwrap().kill();

    // Several snapshots' worth of entries. The log keeps enough of them for the lagging node; that a
    // node too far behind is sent the snapshot itself is shown beside Raft, over QUIC in one process.
    for round in 0..120 {
        let mut tenant = samples::tenant();
        tenant["name"] = json!(format!("round {round}"));
        fleet
            .api_of(leader)
            .put("/tenants/client-1", &tenant)
            .await
            .ok();
    }
    for node in fleet.nodes.values_mut() {
        node.kill();
        node.start().await;
    }

    fleet.leader().await;
    let api = fleet.api_of(lagging);
    wait_until("the lagging node has the last change", async || {
        let answer = api.try_get("/tenants/client-1?consistency=stale").await;
        answer.is_ok_and(|answer| answer.body["name"] == "round 119")
    })
    .await;
}
