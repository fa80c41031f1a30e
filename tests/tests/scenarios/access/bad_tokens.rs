//! Tokens that are no good: expired, of another cluster, with another pin. Each is refused at once with a
//! clear word and an exit code of its own, and nothing changes on either side.

use std::process::Output;
use std::time::{Duration, Instant};

use email_engine_tests::{AgentProcess, Fleet, samples, wait_for};
use serde_json::{Value, json};

/// A token that is refused at once must not be retried until it ends.
const AT_ONCE: Duration = Duration::from_secs(50);

/// Waits for all that the cluster does by itself for a fleet without agents.
async fn at_rest(fleet: &Fleet) {
    fleet.vouched_for(&["api1", "mailwizz1"]).await;
    wait_for("the host that sends shall have a certificate", async || {
        let config = fleet
            .api()
            .get("/hosts/pmta1/config")
            .await
            .body
            .to_string();
        let has_one = config.contains("/etc/pmta/tls/submission-1.pem");
        has_one.then_some(()).ok_or(config)
    })
    .await;
}

/// What an intruder could have changed.
async fn everything(fleet: &Fleet) -> Vec<Value> {
    let mut all = vec![];
    for path in ["/hosts", "/tokens", "/tenants", "/ips"] {
        all.push(fleet.api().get(path).await.ok());
    }
    let cluster = fleet.api().get("/cluster").await.ok();
    let nodes = cluster["nodes"].as_array().unwrap().iter();
    all.push(nodes.map(|node| node["id"].clone()).collect());
    let audit = fleet.api().get("/audit?limit=100").await.ok();
    let by_others = audit.as_array().unwrap().iter().filter(|entry| {
        // The cluster stocks keys, vouches and plans by itself.
        let command = entry["command"].as_str().unwrap();
        !["set-targets", "stock-keys"].contains(&command) && !command.starts_with("set-submission-")
    });
    all.push(by_others.map(|entry| entry["object"].clone()).collect());
    all
}

fn enrol(fleet: &Fleet, name: &str, token: &str) -> (Option<i32>, String) {
    let mut agent = AgentProcess::new(name, &fleet.dir().join(name));
    agent.start(Some(token));
    let status = agent.daemon().wait_exit("its token is no good");
    assert!(!agent.data_dir().join("identity/identity").exists());
    (status.code(), agent.daemon().log_tail())
}

fn join(fleet: &Fleet, name: &str, token: &str) -> Output {
    let node = fleet.node_at(name);
    let mut command = node.command("join");
    command.env("EMAIL_ENGINE_JOIN_TOKEN", token);
    let begun = Instant::now();
    let output = command.output().unwrap();
    assert!(begun.elapsed() < AT_ONCE, "it tried again and again");
    assert!(!node.data_dir().join("endpoints.json").exists());
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn host() -> Value {
    json!({ "host": { "host": "pmta1", "role": "powermta" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_ca_pin_is_told_at_once_by_agent_and_coordinator() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let for_host = fleet.token(&host(), false).await;
    let for_node = fleet.token(&json!("node"), false).await;
    at_rest(&fleet).await;
    let before = everything(&fleet).await;

    let (code, log) = enrol(&fleet, "lured", &samples::token_with_another_pin(&for_host));
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("not the one that the token pins"), "{log}");

    let output = join(
        &fleet,
        "nodes/lured",
        &samples::token_with_another_pin(&for_node),
    );
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("not the one that the token pins"));
    assert_eq!(everything(&fleet).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_cluster_lets_nobody_in() {
    let ours = Fleet::single().await;
    ours.apply(&samples::fleet(0)).await;
    let theirs = Fleet::single().await;
    theirs.apply(&samples::fleet(0)).await;
    let node = ours.token(&json!("node"), false).await;
    let foreign = theirs.token(&json!("node"), false).await;
    let foreign_host = theirs.token(&host(), false).await;
    at_rest(&ours).await;
    at_rest(&theirs).await;
    let before = (everything(&ours).await, everything(&theirs).await);

    let mixed = samples::token_with_endpoints_of(&foreign, &node);
    let output = join(&ours, "nodes/foreign", &mixed);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));

    // Even when their pin is replaced by ours, it says another cluster.
    let forged = samples::token_with_pin_of(&mixed, &node);
    let output = join(&ours, "nodes/forged", &forged);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("cluster"), "{}", said(&output));

    // And when it says our cluster, too, nobody here knows it.
    let forged = samples::token_with_cluster_of(&samples::token_with_pin_of(&mixed, &node), &node);
    let output = join(&ours, "nodes/forged-whole", &forged);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let forged = samples::token_with_endpoints_of(&foreign_host, &node);
    let forged = samples::token_with_pin_of(&forged, &node);
    let forged = samples::token_with_cluster_of(&forged, &node);
    let (code, log) = enrol(&ours, "forged", &forged);
    assert_eq!(code, Some(3), "{log}");
    let after = (everything(&ours).await, everything(&theirs).await);
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_refused_with_its_end() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let for_host = fleet.short_token(&host(), 5).await;
    let for_node = fleet.short_token(&json!("node"), 5).await;
    wait_for("both tokens have ended", async || {
        let tokens = fleet.api().get("/tokens").await.ok();
        let all = tokens.as_array().unwrap();
        if all.iter().all(|token| token["state"] == "expired") {
            Ok(())
        } else {
            Err(tokens)
        }
    })
    .await;
    at_rest(&fleet).await;
    let before = everything(&fleet).await;

    let (code, log) = enrol(&fleet, "late", &for_host);
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("the token ended at"), "{log}");
    let output = join(&fleet, "nodes/late", &for_node);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("this token ended at"));

    // Whoever changes the date in the token's text has not changed the cluster's mind.
    let prolonged = samples::token_that_ends_later(&for_node);
    let output = join(&fleet, "nodes/prolonged", &prolonged);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("TokenExpired"), "{}", said(&output));
    assert_eq!(everything(&fleet).await, before);
}
