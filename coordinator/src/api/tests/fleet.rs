//! Applying documents, adding identities.

use serde_json::{Value, json};

use super::testbed::Testbed;

fn document() -> Value {
    json!({
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
        "ips": [{"address": "198.51.100.1", "domain": "mail1.example.com", "tenant": "red"}]
    })
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let testbed = Testbed::new();
    let before = testbed.fleet.state();
    let ask = testbed
        .ask("operator", "POST", "/api/v1/fleet?dry_run=true")
        .json(document());
    let answered = ask.send().await.gives(200);
    assert_eq!(answered.body["applied"], false);
    assert_eq!(answered.body["changes"].as_array().unwrap().len(), 2);
    assert_eq!(testbed.fleet.log_length(), 0);
    assert!(testbed.fleet.state() == before);
}

#[tokio::test]
async fn the_same_document_twice_writes_no_log_entry() {
    let testbed = Testbed::new();
    let apply = || {
        testbed
            .ask("operator", "POST", "/api/v1/fleet")
            .json(document())
            .send()
    };
    let first = apply().await.gives(200);
    assert_eq!(first.body["applied"], true);
    let (log, revision) = (testbed.fleet.log_length(), testbed.fleet.state().revision);
    let second = apply().await.gives(200);
    assert_eq!(second.body["applied"], false);
    assert_eq!(second.body["changes"], json!([]));
    assert_eq!(testbed.fleet.log_length(), log);
    assert_eq!(second.body["revision"], revision);
}

#[tokio::test]
async fn a_mistyped_parameter_never_becomes_a_change() {
    let testbed = Testbed::new();
    let ask = testbed
        .ask("operator", "POST", "/api/v1/fleet?dryrun=true")
        .json(document());
    let answered = ask.send().await.refuses(400, "unknown-parameter");
    assert!(answered.text.contains("dry_run"), "{}", answered.text);
    assert_eq!(testbed.fleet.log_length(), 0);
}

#[tokio::test]
async fn added_identities_answer_with_the_records_to_publish() {
    let testbed = Testbed::new();
    testbed
        .ask("operator", "POST", "/api/v1/fleet")
        .json(document())
        .send()
        .await
        .gives(200);
    let one = json!({"ip": "198.51.100.2", "domain": "mail2.example.com", "tenant": "red"});
    let added = testbed
        .ask("red-operator", "POST", "/api/v1/ips")
        .json(one.clone())
        .send()
        .await;
    let added = added.gives(201);
    assert_eq!(added.body[0]["records"][0]["value"], "198.51.100.2");
    let again = testbed
        .ask("operator", "POST", "/api/v1/ips")
        .json(one)
        .send()
        .await;
    let again = again.refuses(409, "already-exists");
    assert_eq!(again.body["field"], "address");
    let shown = testbed
        .ask("viewer", "GET", "/api/v1/ips/198.51.100.2")
        .send()
        .await
        .gives(200);
    assert_eq!(shown.body["domain"], "mail2.example.com");
}

#[tokio::test]
async fn one_bad_identity_of_a_hundred_and_none_is_added() {
    let testbed = Testbed::new();
    testbed
        .ask("operator", "POST", "/api/v1/fleet")
        .json(document())
        .send()
        .await
        .gives(200);
    let ips: Vec<Value> = (1..=100)
        .map(|n| {
            // The 57th takes the domain of the first.
            let domain = if n == 57 { 1 } else { n };
            json!({
                "address": format!("203.0.113.{n}"),
                "domain": format!("m{domain}.example.com"),
                "vmta": format!("vmta-{n}"),
                "tenant": "red"
            })
        })
        .collect();
    let ask = testbed
        .ask("operator", "POST", "/api/v1/ips")
        .json(Value::Array(ips));
    let refused = ask.send().await.refuses(409, "duplicate");
    let field = refused.body["field"].as_str().unwrap();
    assert!(field.starts_with("[56]."), "{field}");
    assert_eq!(testbed.fleet.state().identities.len(), 1);
}

#[tokio::test]
async fn a_backup_streams_as_octets() {
    let testbed = Testbed::new();
    let backup = testbed
        .ask("admin", "GET", "/api/v1/cluster/backup")
        .send()
        .await
        .gives(200);
    assert_eq!(backup.text, "onetwo");
    assert_eq!(backup.headers["content-type"], "application/octet-stream");
}
