//! Changes: once, in somebody's name, and not at all when nothing changes.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use serde_json::json;

use email_engine_protocol::api::{ApplyAnswer, KEYS_UNDER_WAY, REMOVALS_MOVED, removals};
use email_engine_protocol::limits;

use super::memory::MemoryFleet;
use super::testbed::Testbed;
use crate::api::Fleet as _;
use crate::planner::document;

#[tokio::test]
async fn a_change_carries_its_author_reason_and_request() {
    let testbed = Testbed::new();
    let ask = testbed.ask("operator", "POST", "/api/v1/tenants");
    let ask = ask.header("email-engine-reason", "new customer");
    let answered = ask
        .json(json!({"id": "green", "name": "Green"}))
        .send()
        .await
        .gives(201);
    let audit = testbed
        .ask("viewer", "GET", "/api/v1/audit?limit=1")
        .send()
        .await
        .gives(200);
    assert_eq!(audit.body[0]["actor"], "key operator");
    assert_eq!(audit.body[0]["reason"], "new customer");
    let request = answered.headers["x-request-id"].to_str().unwrap();
    assert_eq!(audit.body[0]["request"], request);
    let newest = audit.body[0]["sequence"].as_u64().unwrap();
    let path = format!("/api/v1/audit?limit=1&before={newest}");
    let older = testbed.ask("viewer", "GET", &path).send().await.gives(200);
    assert_eq!(older.body[0]["sequence"], newest - 1);
}

#[tokio::test]
async fn a_repeated_idempotency_key_changes_once_and_answers_the_same() {
    let testbed = Testbed::new();
    let create = |key: &str, name: &str| {
        let ask = testbed.ask(key, "POST", "/api/v1/tenants");
        let ask = ask.header("idempotency-key", "k-1");
        ask.json(json!({"id": "green", "name": name})).send()
    };
    let first = create("operator", "Green").await.gives(201);
    let log = testbed.fleet.log_length();
    let again = create("operator", "Green").await.gives(201);
    assert_eq!(first.body, again.body);
    assert_eq!(first.headers["x-request-id"], again.headers["x-request-id"]);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(testbed.fleet.log_length(), log);
    create("operator", "Other")
        .await
        .refuses(422, "request-reused");
    // Another caller's key of the same text is another request.
    create("admin", "Green")
        .await
        .refuses(409, "already-exists");
}

#[tokio::test]
async fn a_secret_is_shown_in_one_answer_only() {
    let testbed = Testbed::new();
    let issue = || {
        let ask = testbed
            .ask("admin", "POST", "/api/v1/tokens")
            .header("idempotency-key", "t");
        ask.json(json!({"admission": "node", "ttl_seconds": 600}))
            .send()
    };
    let issued = issue().await.gives(201);
    let text = issued.body["token"].as_str().unwrap();
    let token: email_engine_protocol::join::JoinToken = text.parse().unwrap();
    assert_eq!(token.endpoints, ["192.0.2.1:7443"]);
    let mut record = None;
    testbed
        .fleet
        .view(&mut |state| record.clone_from(&state.cluster));
    let record = record.unwrap();
    assert_eq!(token.trust, record.trust_pin());
    assert_eq!(token.trust.recovery, record.recovery.pin());
    assert_eq!(
        token.expires_at.to_string(),
        issued.body["expires_at"].as_str().unwrap()
    );
    issue().await.refuses(409, "shown-once");
    let listed = testbed
        .ask("operator", "GET", "/api/v1/tokens")
        .send()
        .await
        .gives(200);
    assert_eq!(listed.body[0]["state"], "open");
    assert!(listed.body[0].get("token").is_none());
    // A node's token is an admin's to give.
    let ask = testbed.ask("operator", "POST", "/api/v1/tokens");
    let ask = ask.json(json!({"admission": "node", "ttl_seconds": 600}));
    ask.send().await.refuses(403, "forbidden");
}

#[tokio::test]
async fn a_caller_that_gives_up_its_turn_to_a_racing_change_loses_nothing() {
    let testbed = Testbed::new();
    testbed.fleet.races.store(3, Relaxed);
    // A change, for additions do not mind what else moved.
    let document = json!({"tenants": [{"id": "red", "name": "Crimson"}]});
    let answered = testbed
        .ask("operator", "POST", "/api/v1/fleet")
        .json(document)
        .send()
        .await;
    let answered = answered.gives(200);
    assert_eq!(answered.body["applied"], true);
    assert_eq!(testbed.fleet.races.load(Relaxed), 0);
    let state = testbed.fleet.state();
    assert!(
        state
            .tenants
            .values()
            .any(|tenant| tenant.name == "Crimson")
    );
    assert!(
        state.settings.len() > 1,
        "the racing changes are there, too"
    );
}

/// Two identities on a host.
fn additions() -> serde_json::Value {
    json!({
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
        "ips": [
            {"address": "198.51.100.1", "domain": "mail1.example.com", "tenant": "red"},
            {"address": "198.51.100.2", "domain": "mail2.example.com", "tenant": "red"}
        ]
    })
}

/// Lets somebody else apply a document in the moment before the next proposal.
fn beaten_by(testbed: &Testbed, other: &serde_json::Value) {
    let document = serde_json::from_value(other.clone()).unwrap();
    let plan = document::changes(
        &testbed.fleet.state(),
        &document,
        false,
        document::Scope::Admin,
    )
    .unwrap();
    let keys = MemoryFleet::stocked(plan.new_identities);
    let mut ahead = testbed.fleet.ahead.lock().unwrap();
    ahead.push(keys);
    ahead.extend(plan.commands);
}

#[tokio::test]
async fn of_two_equal_documents_at_one_moment_one_changes_and_the_other_finds_nothing_to_do() {
    let testbed = Testbed::new();
    beaten_by(&testbed, &additions());
    let apply = || {
        let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
        ask.header("idempotency-key", "k").json(additions()).send()
    };
    let answered = apply().await.gives(200);
    assert_eq!(answered.body["applied"], false);
    assert_eq!(answered.body["changes"], json!([]));
    assert_eq!(testbed.fleet.log_length(), 1, "the attempt that was beaten");
    let before = testbed.fleet.state();
    assert_eq!(before.identities.len(), 2);
    // The same request again is not told the refusal of its first attempt.
    let again = apply().await.gives(200);
    assert_eq!(again.body["applied"], false);
    assert_eq!(testbed.fleet.log_length(), 1);
    assert!(testbed.fleet.state() == before);
}

#[tokio::test]
async fn who_is_beaten_while_keys_are_made_writes_no_log_entry() {
    let testbed = Testbed::new();
    beaten_by(&testbed, &additions());
    let ahead = std::mem::take(&mut *testbed.fleet.ahead.lock().unwrap());
    *testbed.fleet.ahead_of_keys.lock().unwrap() = ahead;
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    let answered = ask.json(additions()).send().await.gives(200);
    assert_eq!(answered.body["applied"], false);
    assert_eq!(answered.body["changes"], json!([]));
    assert_eq!(testbed.fleet.log_length(), 0);
    assert_eq!(testbed.fleet.state().identities.len(), 2);
}

#[tokio::test]
async fn keys_that_take_longer_than_an_answer_are_kept_for_who_asks_again() {
    let testbed = Testbed::new().answering_within(Duration::from_millis(300));
    testbed.fleet.makes_keys_slowly.store(true, SeqCst);
    let apply = || {
        let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
        ask.header("idempotency-key", "k").json(additions()).send()
    };
    let refused = apply().await.refuses(503, KEYS_UNDER_WAY);
    let told = refused.body["detail"].as_str().unwrap();
    assert!(told.starts_with("1 of 2 DKIM keys"), "{told}");
    assert!(testbed.fleet.state().identities.is_empty());
    // The other one is made by the time that it is asked for again.
    let answered = apply().await.gives(200);
    assert_eq!(answered.body["applied"], true);
    assert_eq!(testbed.fleet.state().identities.len(), 2);
}

#[tokio::test]
async fn a_prune_removes_what_was_agreed_to_and_nobody_who_came_meanwhile() {
    let testbed = Testbed::new();
    let apply = |document: serde_json::Value| {
        let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
        ask.json(document).send()
    };
    apply(additions()).await.gives(200);
    let mut kept = additions();
    kept.as_object_mut().unwrap().remove("hosts");
    kept["ips"].as_array_mut().unwrap().pop();
    let prune = |parameters: &str| {
        let target = format!("/api/v1/fleet?prune=true&{parameters}");
        let ask = testbed.ask("red-operator", "POST", &target);
        ask.json(kept.clone()).send()
    };
    let agree = async || {
        let shown = prune("dry_run=true").await.gives(200);
        let shown: ApplyAnswer = serde_json::from_value(shown.body).unwrap();
        let document = serde_json::from_value(kept.clone()).unwrap();
        (shown.changes.len(), removals(&document, &shown.changes))
    };
    let (changes, agreed) = agree().await;
    assert_eq!(changes, 1);
    let mut third = additions();
    third["ips"][0] =
        json!({"address": "198.51.100.3", "domain": "mail3.example.com", "tenant": "red"});
    apply(third).await.gives(200);
    let refused = prune(&format!("removing={agreed}")).await;
    let refused = refused.refuses(409, REMOVALS_MOVED);
    assert_eq!(refused.body["field"], "removing");
    assert_eq!(testbed.fleet.state().identities.len(), 3);
    let (changes, agreed) = agree().await;
    assert_eq!(changes, 2);
    let pruned = prune(&format!("removing={agreed}")).await.gives(200);
    assert_eq!(pruned.body["applied"], true);
    assert_eq!(testbed.fleet.state().identities.len(), 1);
}

#[tokio::test]
async fn what_a_file_leaves_out_of_a_host_or_the_settings_is_set_back_with_a_warning() {
    let testbed = Testbed::new();
    let apply = async |document: serde_json::Value| {
        let ask = testbed.ask("admin", "POST", "/api/v1/fleet");
        let answer = ask.json(document).send().await.gives(200);
        answer.body["warnings"].to_string()
    };
    let mut document = json!({
        "settings": {"postmaster": "postmaster@example.com", "management_port": 1999,
                     "warmup": {"target": 9_000}},
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"],
                   "labels": {"host-name": "mx.example.com", "rack": "7"}}]
    });
    let warned = apply(document.clone()).await;
    assert!(!warned.contains("where nothing is said"), "{warned}");
    document["settings"] = json!({"management_port": 1998});
    document["hosts"][0]["labels"] = json!({"host-name": "mx.example.com"});
    let warned = apply(document).await;
    assert!(
        warned.contains("the settings have postmaster, warmup.target as where nothing is said"),
        "{warned}"
    );
    assert!(
        warned.contains("host pmta1 has labels.rack as where nothing is said"),
        "{warned}"
    );
}

#[tokio::test]
async fn more_identities_than_keys_are_ever_held_for_are_refused_at_once() {
    let testbed = Testbed::new();
    let mut document = additions();
    document["ips"] = (0..=limits::PREPARED_KEYS)
        .map(|at| {
            let domain = format!("mail{at}.example.com");
            json!({"address": format!("2001:db8::{at:x}"), "domain": domain, "tenant": "red"})
        })
        .collect();
    for target in ["/api/v1/fleet", "/api/v1/fleet?dry_run=true"] {
        let ask = testbed.ask("operator", "POST", target);
        let refused = ask
            .json(document.clone())
            .send()
            .await
            .refuses(422, "limit");
        assert_eq!(refused.body["value"], "10001");
        assert_eq!(refused.body["field"], "ips");
        let accepted = "at most 10000 new ones in one request: apply the file in parts";
        assert_eq!(refused.body["accepted"], accepted);
    }
}

#[tokio::test]
async fn what_a_racing_document_left_to_do_is_done() {
    let testbed = Testbed::new();
    let mut half = additions();
    half["ips"].as_array_mut().unwrap().pop();
    beaten_by(&testbed, &half);
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    let answered = ask.json(additions()).send().await.gives(200);
    assert_eq!(answered.body["applied"], true);
    assert_eq!(answered.body["changes"].as_array().unwrap().len(), 1);
    assert_eq!(answered.body["changes"][0]["name"], "198.51.100.2");
    assert_eq!(testbed.fleet.state().identities.len(), 2);
}

#[tokio::test]
async fn a_racing_document_that_took_the_name_for_something_else_is_a_refusal_with_its_place() {
    let testbed = Testbed::new();
    let other = json!({
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
        "ips": [{"address": "198.51.100.9", "domain": "mail2.example.com", "tenant": "blue"}]
    });
    beaten_by(&testbed, &other);
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    let refused = ask.json(additions()).send().await;
    let refused = refused.refuses(409, "duplicate");
    assert_eq!(refused.body["field"], "ips[1].domain");
    assert_eq!(testbed.fleet.state().identities.len(), 1);
}

#[tokio::test]
async fn adding_what_somebody_else_just_added_is_still_refused() {
    let testbed = Testbed::new();
    let one = json!({"address": "198.51.100.1", "domain": "mail1.example.com", "tenant": "red"});
    let hosts = json!({"hosts": additions()["hosts"]});
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    ask.json(hosts).send().await.gives(200);
    beaten_by(&testbed, &json!({"ips": [one]}));
    let ask = testbed.ask("operator", "POST", "/api/v1/ips").json(one);
    ask.send().await.refuses(409, "already-exists");
}

#[tokio::test]
async fn what_is_committed_is_never_told_to_be_absent_by_a_node_that_lags() {
    let testbed = Testbed::new();
    testbed.fleet.lags.store(true, Relaxed);
    let host = json!({"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]});
    let add = || {
        let ask = testbed.ask("operator", "POST", "/api/v1/hosts");
        ask.header("idempotency-key", "h").json(host.clone()).send()
    };
    let told = add().await.refuses(503, "not-applied-here");
    assert!(told.text.contains("is committed"), "{}", told.text);
    let bundle = json!({"files": {"api.toml": "x"}});
    let ask = testbed
        .ask("operator", "POST", "/api/v1/bundles")
        .json(bundle);
    ask.send().await.refuses(503, "not-applied-here");
    // An answer that needs nothing of the state is given, or what is shown once would be lost.
    let ask = testbed.ask("admin", "POST", "/api/v1/tokens");
    let ask = ask.json(json!({"admission": "node", "ttl_seconds": 600}));
    ask.send().await.gives(201);
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    let applied = ask.json(additions()).send().await.gives(200);
    assert_eq!(applied.body["applied"], true);

    testbed.fleet.lags.store(false, Relaxed);
    let log = testbed.fleet.log_length();
    assert_eq!(add().await.gives(201).body["id"], "pmta1");
    assert_eq!(testbed.fleet.log_length(), log, "it was committed before");
}

#[tokio::test]
async fn the_removal_of_a_node_is_in_the_audit_under_the_name_and_reason_of_who_wanted_it() {
    let testbed = Testbed::new();
    testbed.fleet.add_learner();
    let remove = || {
        let ask = testbed.ask("admin", "DELETE", "/api/v1/cluster/nodes/2");
        let ask = ask.header("email-engine-reason", "its disk died");
        ask.header("idempotency-key", "r").send()
    };
    let answered = remove().await.gives(200);
    let state = testbed.fleet.state();
    let entry = state.audit.last().unwrap();
    assert_eq!(entry.command, "set-node");
    assert_eq!(
        (&*entry.actor, &*entry.reason),
        ("key admin", "its disk died")
    );
    let request = answered.headers["x-request-id"].to_str().unwrap();
    assert_eq!(entry.request.as_str(), request);
    let log = testbed.fleet.log_length();
    remove().await.gives(200);
    assert_eq!(testbed.fleet.log_length(), log);
}
