//! Nodes are added, promoted and removed through the API; a number is never used again.

use email_engine_tests::{Fleet, samples, wait_until};
use serde_json::{Value, json};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_wiped_wholly_comes_back_only_under_a_new_number() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(0)).await;
    let leader = fleet.leader().await;
    let gone = *fleet.nodes.keys().find(|node| **node != leader).unwrap();
    let mut node = fleet.nodes.remove(&gone).unwrap();
    node.stop();
    std::fs::remove_dir_all(node.data_dir()).unwrap();

    // It does not start by itself: nothing says who it is.
    let alone = node.command("run").output().unwrap();
    assert_eq!(alone.status.code(), Some(1), "{alone:?}");
    let token = fleet.token(&json!("node"), false).await;
    let mut join = node.command("join");
    join.env("EMAIL_ENGINE_JOIN_TOKEN", token);
    node.run(join);
    node.start().await;
    let fresh = gone.max(3) + 1;
    wait_until("it is on record under a new number", async || {
        let cluster = fleet.api_of(leader).get("/cluster").await.ok();
        role_of(&cluster, fresh) == "learner"
    })
    .await;
    let cluster = fleet.api_of(leader).get("/cluster").await.ok();
    assert_eq!(
        role_of(&cluster, gone),
        "voter",
        "the old seat is empty: {cluster}"
    );

    let api = fleet.api_of(leader);
    api.delete(&format!("/cluster/nodes/{gone}")).await.ok();
    fleet.nodes.insert(fresh, node);
    fleet.promote(fresh).await;
    let cluster = fleet.api_of(fresh).get("/cluster").await.ok();
    let roles = (role_of(&cluster, gone), role_of(&cluster, fresh));
    assert_eq!(
        roles,
        ("removed".to_owned(), "voter".to_owned()),
        "{cluster}"
    );
    fleet
        .api_of(fresh)
        .post("/ips", &samples::identity(1))
        .await
        .ok();
}

fn role_of(cluster: &Value, node: u64) -> String {
    let nodes = cluster["nodes"].as_array().unwrap();
    let view = nodes.iter().find(|view| view["id"] == node);
    view.map_or_else(String::new, |view| {
        view["role"].as_str().unwrap().to_owned()
    })
}
