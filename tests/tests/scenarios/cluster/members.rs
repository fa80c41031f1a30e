//! Nodes are added, promoted and removed through the API; a number is never used again.

use email_engine_tests::{Fleet, samples, wait_until};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_number_is_never_used_again() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(1)).await;
    let leader = fleet.leader().await;
    let gone = *fleet.nodes.keys().find(|node| **node != leader).unwrap();

    fleet
        .api_of(leader)
        .delete(&format!("/cluster/nodes/{gone}"))
        .await
        .ok();
    fleet.nodes.get_mut(&gone).unwrap().kill();
    let removed = fleet.nodes.remove(&gone).unwrap();
    wait_until("the removed node is on record as removed", async || {
        let cluster = fleet.api_of(leader).get("/cluster").await.ok();
        role_of(&cluster, gone) == "removed"
    })
    .await;
    drop(removed);

    let fresh = fleet.add_node().await;
    assert_eq!(fresh, 4, "numbers go up only");
    fleet.promote(fresh).await;
    let cluster = fleet.api().get("/cluster").await.ok();
    assert_eq!(role_of(&cluster, fresh), "voter");
    assert_eq!(
        fleet.api_of(fresh).get("/tenants/client-1").await.status,
        200
    );
}

fn role_of(cluster: &Value, node: u64) -> String {
    let nodes = cluster["nodes"].as_array().unwrap();
    let view = nodes.iter().find(|view| view["id"] == node).unwrap();
    view["role"].as_str().unwrap().to_owned()
}
