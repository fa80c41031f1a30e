//! Changes that race lose nothing.

use std::collections::BTreeSet;

use email_engine_tests::{Fleet, samples};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_edit_racing_a_target_loses_nothing_and_converges() {
    let fleet = Fleet::converged_with(3, 2).await;
    let api = fleet.api();
    let edits = async {
        for round in 1..=10 {
            let mut tenant = samples::tenant();
            tenant["name"] = json!(format!("Client One, edit {round}"));
            api.put("/tenants/client-1", &tenant).await.ok();
        }
    };
    let additions = async {
        for number in 3..=12 {
            api.post("/ips", &samples::identity(number)).await.ok();
        }
    };
    tokio::join!(edits, additions);

    fleet.converged("edits and additions raced").await;
    let tenant = api.get("/tenants/client-1").await.ok();
    assert_eq!(tenant["name"], "Client One, edit 10");
    let config = std::fs::read_to_string(fleet.agents["pmta1"].file("/etc/pmta/config")).unwrap();
    for number in 1..=12 {
        assert!(
            config.contains(&format!("mail{number}.example.net")),
            "identity {number} is lost"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proposals_never_take_one_dkim_key() {
    let mut fleet = Fleet::three().await;
    fleet.apply(&samples::fleet(1)).await;
    let nodes: Vec<u64> = fleet.nodes.keys().copied().collect();
    fleet.leader().await;

    let additions = (2..=21).map(|number| {
        let api = fleet.api_of(nodes[number % nodes.len()]);
        tokio::spawn(async move { api.post("/ips", &samples::identity(number)).await.ok() })
    });
    for addition in additions.collect::<Vec<_>>() {
        addition.await.unwrap();
    }

    let domains = fleet.api().get("/domains").await.ok();
    let keys: Vec<String> = domains
        .as_array()
        .unwrap()
        .iter()
        .map(dkim_record)
        .collect();
    assert_eq!(keys.len(), 21);
    assert_eq!(
        keys.iter().collect::<BTreeSet<_>>().len(),
        21,
        "a DKIM key was given twice"
    );
}

fn dkim_record(domain: &Value) -> String {
    let records = domain["records"].as_array().unwrap();
    let record = records
        .iter()
        .find(|record| record["name"].as_str().unwrap().contains("._domainkey."));
    record.unwrap()["value"].as_str().unwrap().to_owned()
}
