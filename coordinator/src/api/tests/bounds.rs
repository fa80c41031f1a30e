//! Bad input: one shape of errors, and nothing changed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use email_engine_protocol::limits;

use super::testbed::Testbed;

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let testbed = Testbed::new();
    testbed
        .ask("admin", "GET", "/nowhere")
        .send()
        .await
        .refuses(404, "not-found");
    testbed
        .ask("admin", "GET", "/api/v1/nowhere")
        .send()
        .await
        .refuses(404, "not-found");
    let answered = testbed
        .ask("admin", "PATCH", "/api/v1/tenants")
        .send()
        .await;
    let answered = answered.refuses(405, "method-not-allowed");
    let allowed = answered.headers["allow"].to_str().unwrap();
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
}

#[tokio::test]
async fn bad_json_is_placed_by_line_column_and_field() {
    let testbed = Testbed::new();
    let send = |body: &str| {
        let ask = testbed.ask("operator", "POST", "/api/v1/fleet").text(body);
        ask.send()
    };
    let syntax = send("{\n  \"ips\": [}\n").await.refuses(400, "bad-json");
    assert!(syntax.text.contains("line 2, column 11"), "{}", syntax.text);
    let unknown = send("{\n \"tenants\": [{\"id\": \"a\", \"name\": \"A\", \"brand\": 1}]}").await;
    let unknown = unknown.refuses(422, "bad-field");
    assert_eq!(unknown.body["field"], "tenants[0].brand");
    assert!(unknown.text.contains("line 2") && unknown.text.contains("brand_domains"));
    let address = r#"{"ips": [{"address": "300.1.1.1", "domain": "a.example", "tenant": "red"}]}"#;
    let address = send(address).await.refuses(422, "bad-field");
    assert_eq!(address.body["field"], "ips[0].address");
    let kind = testbed
        .ask("operator", "POST", "/api/v1/fleet")
        .header("content-type", "text/plain");
    kind.send().await.refuses(415, "media-type");
    assert_eq!(testbed.fleet.log_length(), 0);
}

#[tokio::test]
async fn a_body_as_large_as_is_promised_is_read() {
    let testbed = Testbed::new();
    let mut body = vec![b' '; limits::REQUEST_BYTES - 2];
    body.extend_from_slice(b"{}");
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet").text(body);
    ask.send().await.gives(200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let testbed = Testbed::new();
    let body = vec![b' '; limits::REQUEST_BYTES + 1];
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet").text(body);
    ask.send().await.refuses(413, "body-too-large");
    let announced = testbed.ask("operator", "POST", "/api/v1/fleet");
    let announced = announced.header("content-length", "99999999999").text("{}");
    announced.send().await.refuses(413, "body-too-large");
    // A stranger's body is not even read.
    let stranger = testbed
        .ask_unknown("POST", "/api/v1/fleet")
        .text(vec![b' '; 64]);
    stranger.send().await.refuses(401, "unauthenticated");
}

#[tokio::test]
async fn refusals_of_the_fleet_keep_their_code_field_and_value() {
    let testbed = Testbed::new();
    let send = |path: &str, body: serde_json::Value| {
        testbed.ask("operator", "POST", path).json(body).send()
    };
    let twice = send("/api/v1/tenants", json!({"id": "red", "name": "R"})).await;
    let twice = twice.refuses(409, "already-exists");
    assert_eq!(twice.body["value"], "red");
    let ttl = json!({"admission": {"host": {"host": "h", "role": "api"}}, "ttl_seconds": 1});
    let ttl = send("/api/v1/tokens", ttl).await.refuses(422, "invalid");
    assert_eq!(ttl.body["field"], "ttl_seconds");
    let absent = testbed
        .ask("operator", "DELETE", "/api/v1/tenants/none")
        .send()
        .await;
    absent.refuses(404, "not-found");
    testbed
        .ask("admin", "POST", "/api/v1/cluster/nodes/1/promote")
        .send()
        .await
        .refuses(409, "membership");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_as_such() {
    let testbed = Testbed::new().answering_within(Duration::from_millis(20));
    testbed.fleet.is_mute.store(true, Ordering::Relaxed);
    let late = testbed.ask("viewer", "GET", "/api/v1/hosts").send().await;
    let late = late.refuses(504, "timeout");
    assert!(late.text.contains("Idempotency-Key"), "{}", late.text);
    testbed.fleet.is_mute.store(false, Ordering::Relaxed);
    let now = testbed.ask("viewer", "GET", "/api/v1/hosts").send().await;
    now.gives(200);
}

#[tokio::test]
async fn a_bad_parameter_is_named_with_its_value_and_what_would_be_accepted() {
    let testbed = Testbed::new();
    for (method, target, field, value, accepted) in [
        ("GET", "audit?limit=-1", "limit", "-1", "whole number"),
        ("GET", "audit?before=x", "before", "x", "whole number"),
        ("GET", "audit?limit=1&limit=2", "limit", "2", "once"),
        (
            "GET",
            "hosts/h/config?proposed=maybe",
            "proposed",
            "maybe",
            "true or false",
        ),
        (
            "DELETE",
            "hosts/h?grace_seconds=abc",
            "grace_seconds",
            "abc",
            "whole number",
        ),
        (
            "DELETE",
            "hosts/h?override_clock=yes",
            "override_clock",
            "yes",
            "true",
        ),
        ("POST", "fleet?dry_run=1", "dry_run", "1", "true or false"),
    ] {
        let path = format!("/api/v1/{target}");
        let refused = testbed
            .ask("admin", method, &path)
            .json(json!({}))
            .send()
            .await;
        let refused = refused.refuses(422, "invalid");
        assert_eq!(refused.body["field"], field, "{}", refused.text);
        assert_eq!(refused.body["value"], value, "{}", refused.text);
        let text = refused.body["accepted"].as_str().unwrap();
        assert!(text.contains(accepted), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_list_is_no_document() {
    let testbed = Testbed::new();
    for body in ["[]", " [[], []]"] {
        let path = "/api/v1/fleet?dry_run=true";
        let refused = testbed
            .ask("operator", "POST", path)
            .text(body)
            .send()
            .await;
        assert_eq!(refused.gives(422).body["field"], "body", "{body}");
    }
}

#[tokio::test]
async fn a_backup_that_cannot_be_made_now_is_no_fault_of_the_store() {
    let testbed = Testbed::new();
    let backup = || {
        let ask = testbed.ask("admin", "GET", "/api/v1/cluster/backup?consistency=stale");
        ask.send()
    };
    testbed.fleet.backs_up.store(true, Ordering::Relaxed);
    backup().await.refuses(409, "backup-under-way");
    testbed.fleet.backs_up.store(false, Ordering::Relaxed);
    testbed.fleet.has_quorum.store(false, Ordering::Relaxed);
    backup().await.refuses(503, "no-quorum");
}
