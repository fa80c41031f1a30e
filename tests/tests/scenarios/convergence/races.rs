//! Changes that race lose nothing.

use std::collections::BTreeSet;

use email_engine_tests::{DKIM_STOCK, Fleet, samples};
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
    fleet.stock_is_full().await;

    // For those that are there first, and then for each that is made.
    let count = DKIM_STOCK as usize + 5;
    let additions = (2..=count).map(|number| {
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
    assert_eq!(keys.len(), count);
    assert_eq!(
        keys.iter().collect::<BTreeSet<_>>().len(),
        count,
        "a DKIM key was given twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_documents_at_the_same_moment_all_succeed_and_are_one_change() {
    let mut fleet = Fleet::three().await;
    fleet.leader().await;
    let nodes: Vec<u64> = fleet.nodes.keys().copied().collect();
    let document = samples::fleet(2);

    let applies = (0..6).map(|number| {
        let api = fleet.api_of(nodes[number % nodes.len()]);
        let (document, key) = (document.clone(), format!("equal-{number}"));
        tokio::spawn(async move {
            let answer = api.try_post("/fleet", &document, &key).await.unwrap();
            (key, answer)
        })
    });
    let mut done = 0;
    let mut keys = Vec::new();
    for apply in applies.collect::<Vec<_>>() {
        let (key, answer) = apply.await.unwrap();
        done += usize::from(answer.ok()["applied"] == true);
        keys.push(key);
    }
    assert_eq!(done, 1, "more than one of them changed something");

    let api = fleet.api();
    assert_eq!(api.get("/ips").await.ok().as_array().unwrap().len(), 2);
    let audit = api.get("/audit?limit=1000").await.ok();
    let made = |command: &str| {
        let entries = audit.as_array().unwrap().iter();
        entries.filter(|entry| entry["command"] == command).count()
    };
    assert_eq!(
        (
            made("create-tenant"),
            made("add-host"),
            made("add-identity")
        ),
        (1, 3, 2)
    );
    let again = fleet.apply(&document).await;
    assert_eq!(again["changes"], json!([]), "not what one apply makes");
    // Whoever repeats a request that lost the race is told that all is well, not that it lost.
    for key in keys {
        api.try_post("/fleet", &document, &key).await.unwrap().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_identities_swap_their_domains_in_one_document() {
    let fleet = Fleet::converged_with(1, 2).await;
    let mut document = samples::fleet(2);
    document["ips"][0]["domain"] = json!("mail2.example.net");
    document["ips"][1]["domain"] = json!("mail1.example.net");
    let plan = fleet
        .api()
        .post("/fleet?dry_run=true", &document)
        .await
        .ok();
    assert_eq!(plan["changes"].as_array().unwrap().len(), 2, "{plan}");
    let applied = fleet.apply(&document).await;
    assert_eq!(applied["applied"], true);

    fleet
        .converged("two identities swapped their domains")
        .await;
    let config = std::fs::read_to_string(fleet.agents["pmta1"].file("/etc/pmta/config")).unwrap();
    for source in [
        "smtp-source-host 198.51.100.1 mail2.example.net",
        "smtp-source-host 198.51.100.2 mail1.example.net",
    ] {
        assert!(config.contains(source), "{source} is missing in:\n{config}");
    }
    assert!(
        !config.contains("moving-"),
        "a step between is seen:\n{config}"
    );
    let keys = std::fs::read_dir(fleet.agents["pmta1"].file("/etc/pmta/dkim")).unwrap();
    assert_eq!(keys.count(), 2, "one DKIM key per identity");
}

fn dkim_record(domain: &Value) -> String {
    let records = domain["records"].as_array().unwrap();
    let record = records
        .iter()
        .find(|record| record["name"].as_str().unwrap().contains("._domainkey."));
    record.unwrap()["value"].as_str().unwrap().to_owned()
}
