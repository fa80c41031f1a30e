//! A host does not lose much of what it has unless an operator said so.

use std::fs;

use serde_json::{Value, json};

use email_engine_tests::{Fleet, wait_for, wait_until};

/// Twelve identities; while the host's agent is away, eleven of them are retired one by one, without
/// the word that much may go. What it finds on its return is one target that removes most of it.
async fn host_that_shall_lose_much() -> Fleet {
    let mut fleet = Fleet::converged_with(1, 12).await;
    fleet.agents.get_mut("pmta1").unwrap().kill();
    for number in 2..=12 {
        // Given up: nobody can say that its queue is empty while the agent is away.
        let path = format!("/ips/198.51.100.{number}?now=true&last=true");
        fleet.api().delete(&path).await.ok();
    }
    let api = fleet.api();
    wait_until("the host's target has one identity left", async || {
        let config = api.get("/hosts/pmta1/config").await.ok();
        let resources = config["resources"].as_array().unwrap();
        let keys = resources.iter().filter(|resource| {
            let id = resource["id"].as_str().unwrap();
            id.starts_with("file:/etc/pmta/dkim/")
        });
        keys.count() == 1
    })
    .await;
    fleet.agents.get_mut("pmta1").unwrap().start(None);
    fleet
}

fn keys(fleet: &Fleet) -> Vec<String> {
    let folder = fleet.agents["pmta1"].file("/etc/pmta/dkim");
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn refused_in_status(fleet: &Fleet) -> Value {
    wait_for("the status says what was refused, and why", async || {
        let status = fleet.api().get("/status").await.ok();
        let reasons = status["reasons"].to_string();
        let is_told = reasons.contains("pmta1") && reasons.contains("over 30 %");
        if is_told { Ok(status) } else { Err(reasons) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_operators_word_much_is_not_removed_and_with_it_it_goes() {
    let fleet = host_that_shall_lose_much().await;
    let config = fleet.agents["pmta1"].file("/etc/pmta/config");
    let status = refused_in_status(&fleet).await;
    assert_eq!(status["state"], "degraded");
    assert_eq!(keys(&fleet).len(), 12, "something was removed");
    // The refused target is not half applied either: the configuration is still the one before.
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("mail12.example.net"));
    let view = fleet.host("pmta1").await;
    assert_ne!(view["running"], view["target"]);
    assert_eq!(view["attempted"]["generation"], view["target"]);

    fleet
        .api()
        .post("/hosts/pmta1/allow-removal", &json!({}))
        .await
        .ok();
    fleet.host_converged("pmta1", "much may go now").await;
    assert_eq!(keys(&fleet).len(), 1);
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("mail1.example.net") && !text.contains("mail12.example.net"));
}
