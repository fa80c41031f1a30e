//! Bad fleet documents change nothing and say which field, which value, and what would be accepted.

use email_engine_tests::{Fleet, samples};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_document_is_named_and_changes_nothing() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(2)).await;
    let before = (everything(&fleet).await, changes(&fleet).await);

    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut document = samples::fleet(3);
        change(&mut document);
        document
    };
    let faults = [
        (
            "duplicate",
            with(&|d| d["ips"][2]["domain"] = json!("mail1.example.net")),
        ),
        (
            "brand-domain",
            with(&|d| d["ips"][2]["domain"] = json!("example.org")),
        ),
        ("wrong-role", with(&|d| d["ips"][2]["host"] = json!("api1"))),
        (
            "not-found",
            with(&|d| d["ips"][2]["tenant"] = json!("nobody")),
        ),
        (
            "not-found",
            with(&|d| d["ips"][2]["host"] = json!("nowhere")),
        ),
        (
            "bad-field",
            with(&|d| d["ips"][2]["address"] = json!("198.51.100.300")),
        ),
        (
            "bad-field",
            with(&|d| d["ips"][2]["address"] = json!("2001:db8::g")),
        ),
        (
            "bad-field",
            with(&|d| d["ips"][2]["address"] = json!("2001:db8::1::2")),
        ),
        (
            "bad-field",
            with(&|d| d["hosts"][1]["addresses"] = json!(["2001:db8:::20"])),
        ),
        (
            "bad-field",
            with(&|d| d["ips"][2]["domain"] = json!("no dots")),
        ),
        (
            "bad-field",
            with(&|d| d["ips"][2]["colour"] = json!("blue")),
        ),
        (
            "bad-field",
            with(&|d| d["hosts"][0]["role"] = json!("mail")),
        ),
    ];
    for (code, document) in faults {
        let refused = fleet.api().post("/fleet", &document).await;
        assert!((400..500).contains(&refused.status), "{code}: {refused:?}");
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(
            refused.body["detail"].as_str().unwrap().len() > 20,
            "{refused:?}"
        );
    }
    let after = (everything(&fleet).await, changes(&fleet).await);
    assert_eq!(after, before, "something changed");
}

/// Every change that a key made: each has a revision, so an equal list is an equal revision, but for
/// what the cluster does by itself.
async fn changes(fleet: &Fleet) -> Vec<serde_json::Value> {
    let audit = fleet.api().get("/audit?limit=1000").await.ok();
    let entries = audit.as_array().unwrap().iter();
    let by_keys = entries.filter(|entry| entry["actor"].as_str().unwrap().starts_with("key "));
    by_keys.cloned().collect()
}

/// What was declared; targets and the stock of keys move by themselves.
async fn everything(fleet: &Fleet) -> Vec<serde_json::Value> {
    let mut all = vec![];
    for path in ["/tenants", "/ips", "/settings", "/releases"] {
        all.push(fleet.api().get(path).await.ok());
    }
    let hosts = fleet.api().get("/hosts").await.ok();
    for host in hosts.as_array().unwrap() {
        all.push(json!([
            host["id"],
            host["role"],
            host["tenant"],
            host["addresses"]
        ]));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_is_refused_readably_over_either_protocol() {
    let fleet = Fleet::single().await;
    let body = json!({ "tenants": [], "padding": "x".repeat(17 * 1024 * 1024) });
    let expected = (413, "body-too-large");
    let refused = fleet.api().try_post("/fleet", &body, "too-large").await;
    let answer = refused.expect("HTTP/2 gives the answer while a client still sends");
    assert_eq!((answer.status, answer.code()), expected, "{answer:?}");
    // Over HTTP/1.1 the connection may be closed meanwhile; both are refusals.
    let old = fleet.api().http1(fleet.ca_pem());
    if let Ok(answer) = old.try_post("/fleet", &body, "too-large-1").await {
        assert_eq!((answer.status, answer.code()), expected, "{answer:?}");
    }
    assert_eq!(fleet.api().get("/tenants").await.ok(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let fleet = Fleet::single().await;
    let answer = fleet
        .api()
        .post("/fleet?dry_run=true", &samples::fleet(2))
        .await
        .ok();
    assert_eq!(answer["applied"], false);
    assert_eq!(
        answer["changes"].as_array().unwrap().len(),
        6,
        "1 tenant, 3 hosts, 2 identities"
    );
    let hosts = answer["hosts"].as_array().unwrap();
    let names: Vec<_> = hosts.iter().map(|host| &host["host"]).collect();
    assert_eq!(names, ["api1", "mailwizz1", "pmta1"]);
    let shown = answer["hosts"].to_string();
    assert!(
        shown.contains("smtp-source-host 198.51.100.1 mail1.example.net"),
        "{shown}"
    );
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    assert_eq!(fleet.api().get("/ips").await.ok(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_never_removes_what_the_document_omits_unless_told_to_prune() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(3)).await;
    let kept = fleet.apply(&samples::fleet(1)).await;
    assert_eq!(kept["changes"], json!([]));
    let plan = fleet
        .api()
        .post("/fleet?prune=true&dry_run=true", &samples::fleet(1))
        .await
        .ok();
    assert_eq!(plan["changes"].as_array().unwrap().len(), 2, "{plan}");
    assert!(
        plan["changes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|line| line["action"] == "remove")
    );
    fleet
        .api()
        .post("/fleet?prune=true", &samples::fleet(1))
        .await
        .ok();
    assert_eq!(
        fleet.api().get("/ips").await.ok().as_array().map(Vec::len),
        Some(1)
    );
}
