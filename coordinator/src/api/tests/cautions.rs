//! What is said of a change before and as it is made, and what an operator's word is for.

use serde_json::{Value, json};

use super::testbed::Testbed;

fn document() -> Value {
    json!({
        "hosts": [
            {"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]},
            {"id": "pmta2", "role": "powermta", "addresses": ["192.0.2.2"]}
        ],
        "ips": [
            {"address": "198.51.100.1", "domain": "mail1.red.example.com", "tenant": "red",
             "host": "pmta1", "status": "active", "purpose": "newsletter"},
            {"address": "198.51.100.2", "domain": "mail2.red.example.com", "tenant": "red",
             "host": "pmta1", "pool": "red-second", "status": "active"}
        ]
    })
}

async fn applied() -> Testbed {
    let testbed = Testbed::new();
    let ask = testbed.ask("admin", "POST", "/api/v1/fleet");
    ask.json(document()).send().await.gives(200);
    testbed
}

/// What is said of a document when it is looked at, and when it is applied unseen.
async fn said(testbed: &Testbed, document: &Value) -> [Vec<String>; 2] {
    let mut said = [Vec::new(), Vec::new()];
    for (said, path) in said
        .iter_mut()
        .zip(["/api/v1/fleet?dry_run=true", "/api/v1/fleet"])
    {
        let ask = testbed.ask("operator", "POST", path).json(document.clone());
        let answered = ask.send().await.gives(200);
        *said = serde_json::from_value(answered.body["warnings"].clone()).unwrap();
    }
    said
}

#[tokio::test]
async fn a_change_says_the_same_whether_it_is_looked_at_or_made() {
    let testbed = applied().await;
    let mut changed = document();
    changed["ips"][0]["status"] = json!("quarantine");
    changed["ips"][1]["host"] = json!("pmta2");
    // The host takes mail from outside from now on, which a restart brings into force.
    changed["hosts"][1]["labels"] = json!({"host-name": "pmta2.example.net"});
    let [looked_at, made] = said(&testbed, &changed).await;
    assert_eq!(looked_at, made);
    for part in [
        "tenant red: purpose newsletter has no usable identity any more; 198.51.100.1 is kept, paused",
        "198.51.100.2 moves from pmta1 to pmta2: pmta1 takes no new mail for it",
        "there the host keeps its configuration until `email-engine hosts allow-restart pmta2`",
    ] {
        let told = made.iter().filter(|told| told.contains(part)).count();
        assert_eq!(told, 1, "{part}: {made:?}");
    }
    let [looked_at, made] = said(&testbed, &changed).await;
    assert!(
        looked_at
            .iter()
            .chain(&made)
            .all(|told| !told.contains("198.51.100"))
    );
}

#[tokio::test]
async fn the_removal_of_an_identity_can_be_looked_at() {
    let testbed = applied().await;
    let path = "/api/v1/ips/198.51.100.1";
    let log = testbed.fleet.log_length();
    let look = testbed.ask("red-operator", "DELETE", &format!("{path}?dry_run=true"));
    let answered = look.send().await.gives(200);
    let warnings = answered.body["warnings"].to_string();
    assert!(
        warnings.contains("purpose newsletter has no usable identity any more; none is left"),
        "{warnings}"
    );
    assert_eq!(answered.body["changes"][0]["action"], "remove");
    assert_eq!(testbed.fleet.log_length(), log);
    let foreign = testbed.ask(
        "red-operator",
        "DELETE",
        "/api/v1/ips/198.51.100.9?dry_run=true",
    );
    foreign.send().await.refuses(404, "not-found");
}

/// What is said of the last identity of a purpose whose removal was not meant so.
fn refused_as_last(answered: &Value) {
    assert_eq!(
        answered["accepted"],
        "an identity whose purpose somebody else serves, or last=true"
    );
    let detail = answered["detail"].as_str().unwrap();
    for part in [
        "198.51.100.1",
        "tenant red",
        "purpose newsletter",
        "resting",
        "--last",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
}

#[tokio::test]
async fn the_last_of_a_purpose_is_removed_only_by_that_word_and_with_a_warning() {
    let testbed = applied().await;
    let path = "/api/v1/ips/198.51.100.1";
    let delete = async |query: &str| {
        let path = format!("{path}{query}");
        testbed.ask("red-operator", "DELETE", &path).send().await
    };
    let log = testbed.fleet.log_length();
    for query in ["", "?now=true", "?last=false"] {
        let refused = delete(query).await.refuses(409, "last-of-purpose");
        refused_as_last(&refused.body);
    }
    assert_eq!(testbed.fleet.log_length(), log);
    // Paused it is the last that could be taken up again.
    let mut paused = document();
    paused["ips"][0]["status"] = json!("resting");
    said(&testbed, &paused).await;
    delete("").await.refuses(409, "last-of-purpose");
    for (key, turn) in [("operator", "release"), ("admin", "activate?force=true")] {
        let turned = testbed.ask(key, "POST", &format!("{path}/{turn}"));
        turned.send().await.gives(200);
    }

    let removed = delete("?last=true").await.gives(200);
    assert_eq!(removed.body["applied"], true);
    let warnings = removed.body["warnings"].to_string();
    assert!(
        warnings.contains("purpose newsletter has no usable identity any more; none is left"),
        "{warnings}"
    );
    delete("?last=true").await.refuses(404, "not-found");
}

#[tokio::test]
async fn at_once_the_last_of_a_purpose_goes_by_the_same_word() {
    let testbed = applied().await;
    let path = "/api/v1/ips/198.51.100.1?now=true&last=true";
    let ask = testbed.ask("red-operator", "DELETE", path);
    let removed = ask.send().await.gives(200);
    let warnings = removed.body["warnings"].to_string();
    assert!(
        warnings.contains("purpose newsletter has no usable identity any more"),
        "{warnings}"
    );
}

#[tokio::test]
async fn of_two_that_serve_a_purpose_one_goes_without_a_word_and_one_stays() {
    let testbed = applied().await;
    let mut two = document();
    two["ips"][0]["purpose"] = json!("marketing");
    two["ips"][1]["purpose"] = json!("marketing");
    said(&testbed, &two).await;
    let delete = |address: &str| {
        let path = format!("/api/v1/ips/{address}");
        testbed.ask("operator", "DELETE", &path).send()
    };
    delete("198.51.100.2").await.gives(204);
    delete("198.51.100.1").await.refuses(409, "last-of-purpose");
}

#[tokio::test]
async fn a_restart_is_allowed_for_the_lines_that_were_looked_at_and_no_others() {
    let testbed = applied().await;
    let path = "/api/v1/hosts/pmta1/allow-restart";
    let look = async || {
        testbed
            .ask("viewer", "GET", path)
            .send()
            .await
            .gives(200)
            .body
    };
    let allow = |body: Value| testbed.ask("operator", "POST", path).json(body).send();
    let before = look().await;
    assert_eq!(before["lines"], json!(["run-as-root true"]));
    assert_eq!(before["allowed"], json!(false));

    let mut changed = document();
    changed["hosts"][0]["labels"] = json!({"host-name": "pmta1.example.net"});
    said(&testbed, &changed).await;
    let log = testbed.fleet.log_length();
    let refused = allow(json!({"digest": before["digest"]}))
        .await
        .refuses(409, "other-restart");
    let now = look().await;
    assert_eq!(refused.body["accepted"], now["digest"]);
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("<bounce-processor>")
    );
    allow(json!({})).await.refuses(422, "bad-field");
    assert_eq!(testbed.fleet.log_length(), log);

    allow(json!({"digest": now["digest"]})).await.gives(200);
    assert_eq!(look().await["allowed"], json!(true));
    let unknown = testbed.ask("viewer", "GET", "/api/v1/hosts/nobody/allow-restart");
    unknown.send().await.refuses(404, "not-found");
}

#[tokio::test]
async fn one_that_is_paused_is_the_last_where_nobody_else_could_be_taken_up_again() {
    let testbed = applied().await;
    let mut paused = document();
    paused["ips"][0]["status"] = json!("resting");
    said(&testbed, &paused).await;
    let path = "/api/v1/ips/198.51.100.1?last=true";
    let removed = testbed
        .ask("operator", "DELETE", path)
        .send()
        .await
        .gives(200);
    let warnings = removed.body["warnings"].to_string();
    assert!(
        warnings.contains("tenant red: purpose newsletter has nobody left"),
        "{warnings}"
    );
}
