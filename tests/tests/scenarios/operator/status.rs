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
    let operator = Operator::of(&fleet);
    let shown = operator.prints(3, &["status"]);
    assert!(shown.starts_with("Fleet: converging\n"), "{shown}");
    let answer = operator.prints(3, &["status", "--output", "json"]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["state"], "converging", "{answer}");

    fleet.start_agents(&samples::HOSTS).await;
    fleet.converged("all agents are there").await;
    let after = fleet.api().get("/status").await.ok();
    assert_eq!(
        (&after["state"], reasons(&after).as_str()),
        (&json!("converged"), "[]")
    );
    let shown = operator.prints(0, &["status"]);
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some("Fleet: converged"), "{shown}");
    let cluster = lines.next().unwrap();
    let expected = "Cluster: 1 voting of 1 nodes, leader node 1, term ";
    assert!(cluster.starts_with(expected), "{shown}");
    assert_eq!(lines.next(), Some("Identities: 1"), "{shown}");
    let hosts = lines.filter(|line| line.ends_with("  converged"));
    let hosts: Vec<_> = hosts.map(|line| line.split_whitespace().next()).collect();
    assert_eq!(hosts, [Some("api1"), Some("mailwizz1"), Some("pmta1")]);
    assert_eq!(operator.answer(&["status"])["state"], "converged");
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

    let operator = Operator::at(&fleet, left);
    let text = operator.prints(4, &["status"]);
    let first = text.lines().next().unwrap();
    let says_so = format!("Fleet: degraded (as node {left} has it: no leader's word, may be old)");
    assert_eq!(first, says_so, "{text}");
    let answer = operator.prints(4, &["status", "--output", "json"]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["state"], "degraded", "{answer}");
    // A change does not pretend to be one.
    let file = operator.file("fleet.toml", &samples::fleet(2));
    let refused = operator.notes(5, &["apply", "-f", file, "--request-timeout", "11"]);
    assert!(refused.starts_with("error: no quorum"), "{refused}");
    let cluster = operator.answer(&["cluster", "status"]);
    assert!(cluster["leader"].is_null(), "it answers, too: {cluster}");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_on_a_host_is_said_by_name_and_reason() {
    let mut fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(1)).await;
    fleet.start_agents(&["pmta1"]).await;
    fleet
        .host_converged("pmta1", "it shall go wrong next")
        .await;
    let operator = Operator::of(&fleet);
    let path = "etc/pmta/config";
    let file = fleet.agents["pmta1"].file(path);
    // Somebody undoes every repair, until the agent makes the next one only later.
    let spoil = || std::fs::write(&file, "# not what was declared\n").unwrap();
    let named = format!("file:/{path}");
    wait_for("the host's trouble is in its view", async || {
        spoil();
        let host = operator.answer(&["hosts", "show", "pmta1"]);
        let trouble = host["trouble"].to_string();
        trouble
            .contains(&named)
            .then_some(())
            .ok_or_else(|| host.to_string())
    })
    .await;
    let status = wait_for("status gives the reason", async || {
        spoil();
        let status = operator.run(&["status"]);
        let text = String::from_utf8(status.stdout).unwrap();
        text.contains(&format!("pmta1: {named} "))
            .then(|| text.clone())
            .ok_or(text)
    })
    .await;
    assert!(!status.contains(" 0 failed"), "{status}");
}
