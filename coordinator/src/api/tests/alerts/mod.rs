//! `/alerts`: what is answered, and what never is.

use serde_json::{Value, json};

use super::testbed::{Answered, Testbed};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

async fn ask(testbed: &Testbed, key: &str, method: &str, path: &str, body: Value) -> Answered {
    let path = format!("/api/v1/alerts{path}");
    let ask = testbed.ask(key, method, &path);
    match body {
        Value::Null => ask.send().await,
        body => ask.json(body).send().await,
    }
}

async fn set(testbed: &Testbed, name: &str, body: Value) -> Answered {
    ask(
        testbed,
        "operator",
        "PUT",
        &format!("/channels/{name}"),
        body,
    )
    .await
}

#[tokio::test]
async fn a_channels_secret_is_taken_and_never_answered_nor_logged() {
    let testbed = Testbed::new();
    let chat = json!({"telegram": {"chat": "-1001"}});
    let made = set(&testbed, "ops", json!({"spec": chat, "secret": TOKEN})).await;
    let made = made.gives(200);
    assert_eq!(made.body["has_secret"], true);
    assert_eq!(
        made.body["spec"]["telegram"]["api"],
        "https://api.telegram.org"
    );
    let list = ask(&testbed, "viewer", "GET", "/channels", Value::Null).await;
    let all = list.gives(200).text + &made.text;
    assert!(!all.contains("AAHdq"), "{all}");
    let log = testbed.fleet.log.lock().unwrap();
    let written = postcard::to_stdvec(&log.last().unwrap().command).unwrap();
    let audit = testbed.fleet.state().audit.last().unwrap().clone();
    assert_eq!(audit.object, "channel ops, with a new secret");
    drop(log);
    let is_in = written.windows(8).any(|bytes| bytes == b"AAHdqTcv");
    assert!(!is_in, "it is sealed before it leaves this node");
}

#[tokio::test]
async fn what_is_wrong_is_named_and_a_secret_is_not_said_again() {
    let testbed = Testbed::new();
    let chat = json!({"telegram": {"chat": "-1001"}});
    for (body, field) in [
        (json!({"spec": chat}), "secret"),
        (json!({"spec": chat, "secret": "hunter2 hunter2"}), "secret"),
        (
            json!({"spec": chat, "secret": "hunter2hunter2/../x"}),
            "secret",
        ),
        (
            json!({"spec": {"telegram": {"chat": "x"}}, "secret": TOKEN}),
            "spec.telegram.chat",
        ),
        (json!({"spec": {"log": {}}, "tenant": "nobody"}), "tenant"),
    ] {
        let answered = set(&testbed, "ops", body).await;
        assert_eq!(answered.body["field"], field, "{}", answered.text);
        assert!(!answered.text.contains("hunter2"), "{}", answered.text);
    }
    let http = json!({"webhook": {"url": "http://alerts.example.com"}});
    let answered = set(&testbed, "ops", json!({"spec": http, "secret": "12345678"})).await;
    let told = answered.refuses(422, "bad-field").text;
    assert!(
        told.contains("http:// only with a loopback address"),
        "{told}"
    );
    for (path, code) in [
        ("?severity=bad", "invalid"),
        ("?kind=bad", "invalid"),
        ("?open=perhaps", "invalid"),
        ("?limit=0", "invalid"),
        ("?what=1", "unknown-parameter"),
    ] {
        let answered = ask(&testbed, "viewer", "GET", path, Value::Null).await;
        assert_eq!(answered.body["code"], code, "{path}: {}", answered.text);
    }
}

#[tokio::test]
async fn a_test_is_listed_with_where_it_goes_and_a_silence_with_who_asked() {
    let testbed = Testbed::new();
    set(&testbed, "ops", json!({"spec": {"log": {}}}))
        .await
        .gives(200);
    set(
        &testbed,
        "red-ops",
        json!({"spec": {"log": {}}, "tenant": "red"}),
    )
    .await
    .gives(200);
    let route = json!({"channels": ["ops"], "at_least": "warning"});
    let put = ask(&testbed, "operator", "PUT", "/routes/all", route).await;
    put.gives(200);
    // No route leads there for what is only to be known.
    let told = ask(&testbed, "operator", "POST", "/test", Value::Null).await;
    assert_eq!(told.gives(201).body["channels"], json!([]));
    let channel = json!({"channel": "red-ops"});
    let told = ask(&testbed, "red-operator", "POST", "/test", channel).await;
    let told = told.gives(201);
    assert_eq!(told.body["channels"], json!(["red-ops"]));
    let path = format!("/{}", told.body["id"]);
    let shown = ask(&testbed, "red-operator", "GET", &path, Value::Null).await;
    let shown = shown.gives(200).body;
    assert_eq!(shown["kind"], "test");
    assert_eq!(shown["text"][0], "Sent by key red-operator.");
    assert_eq!(shown["deliveries"][0]["state"], "waiting");
    let all = ask(&testbed, "viewer", "GET", "", Value::Null).await;
    assert_eq!(all.gives(200).body.as_array().unwrap().len(), 2);
    let own = ask(&testbed, "red-operator", "GET", "?kind=test", Value::Null).await;
    assert_eq!(
        own.gives(200).body.as_array().unwrap().len(),
        1,
        "the other is the fleet's"
    );

    let quiet = json!({"subject": "pmta1", "minutes": 5, "reason": "its disk is replaced"});
    let refused = ask(&testbed, "operator", "POST", "/silences", quiet).await;
    let refused = refused.refuses(422, "invalid");
    assert_eq!(
        (&refused.body["field"], &refused.body["value"]),
        (&json!("subject"), &json!("pmta1"))
    );
    let quiet = json!({"subject": "node 1", "minutes": 5, "reason": "not ours"});
    let refused = ask(&testbed, "red-operator", "POST", "/silences", quiet).await;
    assert_eq!(refused.refuses(422, "invalid").body["field"], "subject");
    let quiet = json!({"kind": "warmup-paused", "minutes": 5, "reason": "holidays"});
    let made = ask(&testbed, "red-operator", "POST", "/silences", quiet).await;
    let made = made.gives(201).body;
    assert_eq!(
        (&made["tenant"], &made["by"]),
        (&json!("red"), &json!("key red-operator"))
    );
    let listed = ask(&testbed, "viewer", "GET", "/silences", Value::Null).await;
    assert_eq!(listed.gives(200).body, json!([made]));
    let path = format!("/silences/{}", made["id"]);
    ask(&testbed, "red-operator", "DELETE", &path, Value::Null)
        .await
        .gives(204);
    let gone = ask(&testbed, "operator", "DELETE", &path, Value::Null).await;
    gone.refuses(404, "not-found");
    // A tenant's operator neither makes channels nor routes.
    let body = json!({"spec": {"log": {}}, "tenant": "red"});
    let foreign = ask(&testbed, "red-operator", "PUT", "/channels/mine", body).await;
    foreign.gives(404);
    let kept = ask(&testbed, "operator", "DELETE", "/channels/ops", Value::Null).await;
    kept.refuses(409, "in-use");
}
