//! Applying documents, adding identities, and how the cluster itself stands.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use email_engine_protocol::id::NodeId;

use super::memory::heard;
use super::testbed::Testbed;
use crate::command::fixture::{node_token, redeem_node};
use crate::command::{Command, SetNode};
use crate::raft::{Hearing, NoWord, PeerContact};

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
async fn what_an_identity_is_called_is_defaulted_and_every_name_can_be_given() {
    let testbed = Testbed::new();
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    ask.json(document()).send().await.gives(200);
    let given = json!({
        "address": "198.51.100.3", "domain": "mail3.example.com", "tenant": "red", "host": "pmta1",
        "hostname": "out3.example.net", "sender": "news", "display_name": "Red", "return_path": "back",
        "selector": "s2026", "purpose": "notification", "pool": "red-alerts", "vmta": "vmta-red-3",
        "zone": "example.com",
    });
    let plain = json!({"address": "198.51.100.2", "domain": "mail2.example.com", "tenant": "red"});
    let ask = testbed.ask("operator", "POST", "/api/v1/ips");
    ask.json(json!([plain, given])).send().await.gives(201);
    let shown = async |address: &str| {
        let path = format!("/api/v1/ips/{address}");
        testbed
            .ask("viewer", "GET", &path)
            .send()
            .await
            .gives(200)
            .body
    };
    let whole = shown("198.51.100.3").await;
    for (name, value) in given.as_object().unwrap() {
        assert_eq!(whole[name], *value, "{name}");
    }
    let whole = shown("198.51.100.2").await;
    for (name, value) in [
        ("hostname", "mail2.example.com"),
        ("host", "pmta1"),
        ("sender", "contact"),
        ("return_path", "bounce"),
        ("selector", "mail"),
        ("purpose", "marketing"),
        ("vmta", "vmta-mail2-example-com"),
        ("zone", "mail2.example.com"),
    ] {
        assert_eq!(whole[name], value, "{name}");
    }
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

/// So many new identities.
fn many(count: u32) -> Value {
    let one = |n: u32| {
        json!({
            "address": format!("2001:db8::{n:x}"),
            "domain": format!("m{n}.red.example.com"),
            "tenant": "red"
        })
    };
    (1..=count).map(one).collect()
}

#[tokio::test]
async fn a_thousand_identities_come_in_one_call_and_one_more_is_refused() {
    let testbed = Testbed::new();
    testbed
        .ask("operator", "POST", "/api/v1/fleet")
        .json(document())
        .send()
        .await
        .gives(200);
    let before = testbed.fleet.log_length();
    let add = |count: u32| {
        let ask = testbed.ask("operator", "POST", "/api/v1/ips");
        ask.json(many(count)).send()
    };
    let refused = add(1_001).await.refuses(422, "invalid").body;
    assert_eq!(refused["field"], "body");
    assert_eq!(refused["value"], "1001");
    assert_eq!(refused["accepted"], "1 to 1000 identities");
    assert_eq!(testbed.fleet.log_length(), before);
    assert_eq!(testbed.fleet.state().identities.len(), 1);

    let added = add(1_000).await.gives(201).body;
    assert_eq!(added.as_array().unwrap().len(), 1_000);
    assert_eq!(added[999]["domain"], "m1000.red.example.com");
    let state = testbed.fleet.state();
    assert_eq!(state.identities.len(), 1_001);
    assert_eq!(testbed.fleet.log_length(), before + 1, "all or none");
    let rows = state.identities.values();
    let keys: BTreeSet<String> = rows.map(|row| row.dkim_public.clone()).collect();
    assert_eq!(keys.len(), 1_001, "each has a key of its own");
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

/// Three voters of which the leader hears these.
fn three_voters(testbed: &Testbed, contacts: Vec<PeerContact>) {
    for node in 2..=3_u8 {
        let token = format!("n{node}");
        let fleet = &testbed.fleet;
        fleet
            .apply(Command::IssueToken(node_token(&token)))
            .unwrap();
        fleet.apply(redeem_node(&token, node)).unwrap();
        let vote = SetNode {
            node: NodeId(node.into()),
            role: email_engine_protocol::api::MemberRole::Voter,
            endpoints: None,
            supports_version: None,
        };
        fleet.apply(Command::SetNode(vote)).unwrap();
    }
    *testbed.fleet.contacts.lock().unwrap() = Ok(contacts);
}

async fn status(testbed: &Testbed, key: &str) -> Value {
    let ask = testbed.ask(key, "GET", "/api/v1/status");
    ask.send().await.gives(200).body
}

#[tokio::test]
async fn a_voter_that_does_not_answer_degrades_the_fleet_and_is_named_until_it_answers() {
    let testbed = Testbed::new();
    let silent = PeerContact {
        hearing: Hearing::Unreachable,
        silent_millis: 61_000,
        ..heard(3)
    };
    three_voters(&testbed, vec![heard(1), heard(2), silent]);
    let told = status(&testbed, "viewer").await;
    assert_eq!(told["state"], "degraded");
    let reason = "node 3: votes, and has not answered the leader since 2026-11-21T05:58:59.000Z; \
                  nothing can be changed when one more is lost";
    assert_eq!(told["reasons"], json!([reason]));
    let node = |at: usize| told["cluster"]["nodes"][at].clone();
    let now = "2026-11-21T06:00:00.000Z";
    let known = |value: Value| json!({"known": {"value": value, "at": now}});
    assert_eq!(node(1)["contact"], known(json!({"heard": {"last": now}})));
    assert_eq!(node(1)["matched_index"], 5, "told by the leader");
    let since = "2026-11-21T05:58:59.000Z";
    let unreachable = known(json!({"unreachable": {"since": since}}));
    assert_eq!(node(2)["contact"], unreachable);
    // Where nodes are is not a tenant's business, and whether they answer neither.
    let tenant = status(&testbed, "red-operator").await;
    assert_eq!(
        (&tenant["state"], &tenant["reasons"]),
        (&json!("converged"), &json!([]))
    );

    // A learner that is down costs nobody a vote; a leader that is new has no word yet.
    let not_yet = PeerContact {
        hearing: Hearing::NotYet,
        ..silent
    };
    *testbed.fleet.contacts.lock().unwrap() = Ok(vec![heard(1), heard(2), not_yet]);
    let told = status(&testbed, "viewer").await;
    assert_eq!(
        (&told["state"], &told["reasons"]),
        (&json!("converged"), &json!([]))
    );
    let contact = &told["cluster"]["nodes"][2]["contact"];
    assert_eq!(contact["unknown"]["since"], since, "{contact}");
}

#[tokio::test]
async fn without_the_leaders_word_it_is_unknown_whether_a_node_answers() {
    let testbed = Testbed::new();
    let no_word = NoWord {
        reason: "the leader does not say: no answer within 1s".to_owned(),
        since_millis: 2_000,
    };
    three_voters(&testbed, Vec::new());
    *testbed.fleet.contacts.lock().unwrap() = Err(no_word);
    let told = status(&testbed, "viewer").await;
    assert_eq!(told["state"], "degraded");
    let reason = "which nodes answer is unknown: the leader does not say: no answer within 1s";
    assert_eq!(told["reasons"], json!([reason]));
    testbed
        .fleet
        .has_leader
        .store(false, std::sync::atomic::Ordering::Relaxed);
    let ask = testbed.ask("viewer", "GET", "/api/v1/cluster");
    let told = ask.send().await.gives(200);
    for node in told.body["nodes"].as_array().unwrap() {
        let unknown = &node["contact"]["unknown"];
        assert_eq!(unknown["since"], "2026-11-21T05:59:58.000Z", "{node}");
        assert_eq!(node["matched_index"], Value::Null);
    }
    // Its last word is nobody's any more when it was lost in the middle of the question.
    *testbed.fleet.contacts.lock().unwrap() = Ok(vec![heard(1), heard(2), heard(3)]);
    let ask = testbed.ask("viewer", "GET", "/api/v1/cluster");
    let told = ask.send().await.gives(200);
    for node in told.body["nodes"].as_array().unwrap() {
        assert!(node["contact"]["unknown"].is_object(), "{node}");
    }
}
