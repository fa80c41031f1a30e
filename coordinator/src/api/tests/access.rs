//! Who may do what.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::json;

use email_engine_protocol::api::AccessRole;
use email_engine_protocol::id::ApiKeyId;

use super::testbed::Testbed;
use crate::api::app::CONCURRENT_REQUESTS;
use crate::api::routes::{Reach, table};
use crate::command::{Command, RevokeApiKey};

/// A path with every name filled in by something that does not exist.
fn concrete(path: &str) -> String {
    path.replace("{address}", "192.0.2.99")
        .replace("{node}", "99")
        .replace("{domain}", "nowhere.example.com")
        .replace('{', "no-")
        .replace('}', "")
}

#[tokio::test]
async fn every_route_asks_for_its_role_and_refuses_lesser_keys() {
    let testbed = Testbed::new();
    for (rule, _) in table() {
        let path = concrete(rule.path);
        let method = rule.method.as_str();
        testbed
            .ask_unknown(method, &path)
            .send()
            .await
            .refuses(401, "unauthenticated");
        for (key, role) in [
            ("metrics", AccessRole::Metrics),
            ("viewer", AccessRole::Viewer),
            ("operator", AccessRole::Operator),
            ("admin", AccessRole::Admin),
        ] {
            let answered = testbed.ask(key, method, &path).send().await;
            let refused = answered.status == 403;
            assert_eq!(
                refused,
                role < rule.role,
                "{method} {path} as {key}: {}",
                answered.text
            );
            assert_ne!(answered.status, 401, "{method} {path} as {key}");
        }
        if rule.reach == Reach::Fleet {
            let answered = testbed.ask("red-operator", method, &path).send().await;
            answered.refuses(404, "not-found");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_never_says_which_half_was_wrong() {
    let testbed = Testbed::new();
    let good = testbed.key("admin").to_owned();
    let other_secret = testbed.key("viewer").rsplit('.').next().unwrap().to_owned();
    let wrong_secret = format!("eek1.admin.{other_secret}");
    let wrong_id = good.replace("admin", "nobody");
    let mut answers = Vec::new();
    for key in [wrong_secret.as_str(), wrong_id.as_str(), "nonsense"] {
        let ask = testbed
            .ask_unknown("GET", "/api/v1/tenants")
            .header("x-api-key", key);
        let mut body = ask.send().await.refuses(401, "unauthenticated").body;
        body["request_id"] = json!(null);
        answers.push(body);
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
    let bearer = format!("Bearer {good}");
    let ask = testbed
        .ask_unknown("GET", "/api/v1/tenants")
        .header("authorization", &bearer);
    ask.send().await.gives(200);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let testbed = Testbed::new();
    testbed
        .ask("viewer", "GET", "/api/v1/hosts")
        .send()
        .await
        .gives(200);
    let id = ApiKeyId::new("viewer").unwrap();
    testbed
        .fleet
        .apply(Command::RevokeApiKey(RevokeApiKey { id }))
        .unwrap();
    for path in [
        "/api/v1/hosts",
        "/api/v1/hosts?consistency=stale",
        "/api/v1/status?consistency=stale",
    ] {
        testbed
            .ask("viewer", "GET", path)
            .send()
            .await
            .refuses(401, "unauthenticated");
    }
}

#[tokio::test]
async fn guessing_keys_is_slowed_and_good_keys_still_pass() {
    let testbed = Testbed::new();
    let wrong = testbed.key("admin").replace("admin", "nobody");
    let guess = || {
        testbed
            .ask_unknown("GET", "/api/v1/hosts")
            .header("x-api-key", &wrong)
            .send()
    };
    let mut refused = 0;
    while guess().await.status == 401 {
        refused += 1;
        assert!(refused < 100, "guesses are not slowed");
    }
    guess().await.refuses(429, "too-many-failures");
    testbed
        .ask("admin", "GET", "/api/v1/hosts")
        .send()
        .await
        .gives(200);
}

#[tokio::test]
async fn the_last_admin_key_cannot_be_revoked() {
    let testbed = Testbed::new();
    let ask = testbed.ask("admin", "DELETE", "/api/v1/keys/admin");
    ask.send().await.refuses(409, "in-use");
    let request = json!({"id": "second", "role": "admin"});
    let created = testbed
        .ask("admin", "POST", "/api/v1/keys")
        .json(request)
        .send()
        .await
        .gives(201);
    let second = created.body["key"].as_str().unwrap().to_owned();
    testbed
        .ask("admin", "DELETE", "/api/v1/keys/admin")
        .send()
        .await
        .gives(204);
    testbed
        .ask("admin", "GET", "/api/v1/keys")
        .send()
        .await
        .refuses(401, "unauthenticated");
    let ask = testbed
        .ask_unknown("GET", "/api/v1/keys")
        .header("x-api-key", &second);
    let listed = ask.send().await.gives(200);
    assert!(
        !listed.text.contains("secret") && !listed.text.contains(&second),
        "{}",
        listed.text
    );
}

#[tokio::test]
async fn health_needs_no_key_and_says_what_is_missing() {
    let testbed = Testbed::new();
    testbed
        .ask_unknown("GET", "/api/v1/health/live")
        .send()
        .await
        .gives(200);
    testbed
        .ask_unknown("GET", "/api/v1/health/ready")
        .send()
        .await
        .gives(200);
    testbed.fleet.has_leader.store(false, Relaxed);
    testbed
        .ask_unknown("GET", "/api/v1/health/live")
        .send()
        .await
        .gives(200);
    let ready = testbed
        .ask_unknown("GET", "/api/v1/health/ready")
        .send()
        .await;
    ready.refuses(503, "not-ready");
}

#[tokio::test]
async fn without_a_leader_only_status_and_cluster_answer_and_say_so() {
    let testbed = Testbed::new();
    testbed.fleet.has_quorum.store(false, Relaxed);
    testbed.fleet.has_leader.store(false, Relaxed);
    for path in ["/api/v1/status", "/api/v1/cluster"] {
        testbed
            .ask("viewer", "GET", path)
            .send()
            .await
            .refuses(503, "no-quorum");
        let stale = testbed.ask("viewer", "GET", &format!("{path}?consistency=stale"));
        let answered = stale.send().await.gives(200);
        assert_eq!(answered.headers["email-engine-consistency"], "stale");
    }
    let status = testbed
        .ask("viewer", "GET", "/api/v1/status?consistency=stale")
        .send()
        .await;
    assert_eq!(status.body["state"], "degraded");
    assert_eq!(status.body["stale"], true);
    let hosts = testbed
        .ask("viewer", "GET", "/api/v1/hosts?consistency=stale")
        .send()
        .await;
    hosts.refuses(503, "no-leader");
    let write = testbed.ask("operator", "POST", "/api/v1/tenants");
    write
        .json(json!({"id": "x", "name": "X"}))
        .send()
        .await
        .refuses(503, "no-quorum");
}

#[tokio::test]
async fn requests_that_wait_in_vain_hide_neither_health_nor_status() {
    let testbed = Testbed::new();
    testbed.fleet.is_mute.store(true, Relaxed);
    let wait = || Box::pin(testbed.ask("viewer", "GET", "/api/v1/hosts").send());
    let mut waiting: Vec<_> = (0..CONCURRENT_REQUESTS).map(|_| wait()).collect();
    for request in &mut waiting {
        assert!(futures::poll!(request).is_pending());
    }
    wait().await.refuses(503, "overloaded");
    let live = testbed.ask_unknown("GET", "/api/v1/health/live");
    live.send().await.gives(200);
    for path in ["/api/v1/status", "/api/v1/cluster"] {
        let stale = testbed.ask("viewer", "GET", &format!("{path}?consistency=stale"));
        stale.send().await.gives(200);
    }
}

#[tokio::test]
async fn unknown_keys_that_nobody_can_look_up_are_counted_too() {
    let testbed = Testbed::new();
    let wrong = testbed.key("admin").replace("admin", "nobody");
    let guess = || {
        let ask = testbed.ask_unknown("GET", "/api/v1/hosts");
        Box::pin(ask.header("x-api-key", &wrong).send())
    };
    testbed.fleet.is_mute.store(true, Relaxed);
    let mut waiting: Vec<_> = (0..40).map(|_| guess()).collect();
    let mut pending = 0;
    for request in &mut waiting {
        pending += usize::from(futures::poll!(request).is_pending());
    }
    assert_eq!(pending, 20, "the rest is turned away at once");
    drop(waiting);
    testbed.fleet.is_mute.store(false, Relaxed);
    guess().await.refuses(429, "too-many-failures");

    let other = Testbed::new();
    other.fleet.has_quorum.store(false, Relaxed);
    let guess = || {
        let ask = other.ask_unknown("GET", "/api/v1/hosts");
        ask.header("x-api-key", &wrong).send()
    };
    for _ in 0..20 {
        guess().await.refuses(503, "no-quorum");
    }
    guess().await.refuses(429, "too-many-failures");
}
