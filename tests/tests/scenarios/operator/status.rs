//! `status` is one word, and the reasons for it: converged, converging or degraded.

use email_engine_tests::{Fleet, Operator, samples, wait_for};
use serde_json::{Value, json};

fn reasons(status: &Value) -> String {
    status["reasons"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_converging_until_every_host_runs_its_target_and_then_converged() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    let before = fleet.api().get("/status").await.ok();
    assert_eq!(before["state"], "converging", "{before}");
    assert!(
        reasons(&before).contains("pmta1: waits for its agent to enrol"),
        "{before}"
    );
    let shown = Operator::at(&fleet, 1).run(&["status"]);
    assert_eq!(shown.status.code(), Some(3), "{shown:?}");

    fleet.start_agents(&samples::HOSTS).await;
    fleet.converged("all agents are there").await;
    let after = fleet.api().get("/status").await.ok();
    assert_eq!(
        (&after["state"], reasons(&after).as_str()),
        (&json!("converged"), "[]")
    );
    let shown = Operator::at(&fleet, 1).run(&["status", "--output", "json"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let printed: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(printed["state"], "converged");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_the_state_is_degraded_and_called_one_nodes_own() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(1)).await;
    let left = fleet.leader().await;
    let nodes: Vec<u64> = fleet.nodes.keys().copied().collect();
    for node in nodes.into_iter().filter(|node| *node != left) {
        fleet.nodes.get_mut(&node).unwrap().kill();
    }
    let alone = fleet.api_of(left);
    let status = wait_for("the node has noticed that it is alone", async || {
        let status = alone.try_get("/status?consistency=stale").await?.body;
        let noticed = status["cluster"]["leader"].is_null();
        noticed
            .then(|| status.clone())
            .ok_or_else(|| status.to_string())
    })
    .await;
    assert_eq!(
        (&status["state"], &status["stale"]),
        (&json!("degraded"), &json!(true))
    );
    assert!(reasons(&status).contains("no leader"), "{status}");

    let shown = Operator::at(&fleet, left).run(&["status"]);
    assert_eq!(shown.status.code(), Some(4), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let first = text.lines().next().unwrap();
    let says_so = format!("Fleet: degraded (as node {left} has it: no leader's word, may be old)");
    assert_eq!(first, says_so, "{text}");
    let shown = Operator::at(&fleet, left).run(&["status", "--output", "json"]);
    let printed: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (&printed["state"], &printed["stale"]),
        (&json!("degraded"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_planned_is_a_reason_on_every_node() {
    let fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(1)).await;
    let api = fleet.api();
    // A bundle without the role of its host.
    let files = json!({ "files": { "nothing/role.toml": "" } });
    let bundle = api.post("/bundles", &files).await.ok()["bundle"].clone();
    let release = json!({ "hosts": ["api1"], "bundle": bundle });
    api.post("/releases", &release).await.ok();
    for node in fleet.nodes.keys() {
        let node = fleet.api_of(*node);
        let status = wait_for("the leader has tried to plan the host", async || {
            let status = node.try_get("/status").await?.body;
            let said = reasons(&status).contains("api1: cannot be planned and keeps what it has: ");
            said.then(|| status.clone())
                .ok_or_else(|| status.to_string())
        })
        .await;
        assert_eq!(status["state"], "degraded", "{status}");
        assert!(reasons(&status).contains("api/role.toml"), "{status}");
        let hosts = status["hosts"].as_array().unwrap();
        let broken: Vec<_> = hosts
            .iter()
            .filter(|it| it.get("plan_error").is_some())
            .collect();
        assert_eq!(broken.len(), 1, "{status}");
    }
}
