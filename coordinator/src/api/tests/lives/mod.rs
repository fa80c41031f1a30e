//! Turns of identities' lives: who may ask for them, what is answered, and what is said of ranges.

use serde_json::{Value, json};

use super::testbed::Testbed;

async fn fleet() -> Testbed {
    let testbed = Testbed::new();
    let document = json!({
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
        "ips": [
            {"address": "198.51.100.1", "domain": "mail1.red.example.com", "tenant": "red"},
            {"address": "198.51.100.2", "domain": "mail1.blue.example.com", "tenant": "blue",
             "status": "active"}
        ]
    });
    let ask = testbed.ask("admin", "POST", "/api/v1/fleet");
    ask.json(document).send().await.gives(200);
    testbed
}

const RED: &str = "/api/v1/ips/198.51.100.1";
const BLUE: &str = "/api/v1/ips/198.51.100.2";

fn all_valid() -> Value {
    json!({"checks": {
        "a": "valid", "ptr": "valid", "spf": "valid", "dkim": "valid", "dmarc": "valid",
        "address": "valid", "listing": "valid"
    }})
}

#[tokio::test]
async fn an_identity_is_taken_up_by_what_was_seen_or_by_an_admins_force() {
    let testbed = fleet().await;
    let activate = format!("{RED}/activate");
    let post = |key, path: &str| testbed.ask(key, "POST", path);
    let refused = post("operator", &activate).send().await;
    let refused = refused.refuses(409, "preflight");
    assert!(
        refused.text.contains("dmarc: not known"),
        "{}",
        refused.text
    );
    let forced = format!("{activate}?force=true");
    post("operator", &forced)
        .send()
        .await
        .refuses(403, "forbidden");
    // Whether a list has it is not for its own tenant to say.
    let checks = post("red-operator", &format!("{RED}/checks")).json(all_valid());
    let refused = checks.send().await.refuses(403, "forbidden");
    assert_eq!(refused.body["value"], "listing");
    let listing = json!({"checks": {"listing": "valid"}});
    let checks = post("operator", &format!("{RED}/checks")).json(listing);
    checks.send().await.gives(200);
    let mut own = all_valid();
    own["checks"].as_object_mut().unwrap().remove("listing");
    let checks = post("red-operator", &format!("{RED}/checks")).json(own);
    let said = checks.send().await.gives(200);
    assert_eq!(said.body["checks"]["spf"]["by"], "key red-operator");
    let turned = post("red-operator", &activate).send().await.gives(200);
    assert_eq!(
        (&turned.body["status"], &turned.body["weight"]),
        (&json!("warming"), &json!(10))
    );
    post("admin", &forced).send().await.refuses(409, "no-edge");
}

#[tokio::test]
async fn a_bound_key_leads_the_lives_of_its_own_identities_only() {
    let testbed = fleet().await;
    for verb in [
        "activate",
        "quarantine",
        "release",
        "rest",
        "retire",
        "reserve",
    ] {
        let path = format!("{BLUE}/{verb}");
        let answered = testbed.ask("red-operator", "POST", &path).send().await;
        answered.refuses(404, "not-found");
    }
    let to = testbed.ask("red-operator", "POST", &format!("{BLUE}/move"));
    to.json(json!({"pool": "red-pool"}))
        .send()
        .await
        .refuses(404, "not-found");
    let explain = format!("{BLUE}/explain");
    testbed
        .ask("red-operator", "GET", &explain)
        .send()
        .await
        .refuses(404, "not-found");
    // Nor does it get around preflight.
    let taken_over = json!({"address": "198.51.100.3", "domain": "m3.red.example.com",
                            "tenant": "red", "status": "active"});
    let add = testbed
        .ask("red-operator", "POST", "/api/v1/ips")
        .json(taken_over);
    add.send().await.refuses(403, "forbidden");
}

#[tokio::test]
async fn turns_are_answered_with_where_it_stands_and_said_once() {
    let testbed = fleet().await;
    let reserve = format!("{BLUE}/reserve");
    let kept = testbed
        .ask("operator", "POST", &reserve)
        .send()
        .await
        .gives(200);
    assert_eq!(
        (&kept.body["weight"], &kept.body["reserve"]),
        (&json!(5), &json!(true))
    );
    let activate = format!("{BLUE}/activate");
    let up = testbed
        .ask("operator", "POST", &activate)
        .send()
        .await
        .gives(200);
    assert_eq!(up.body["weight"], 100);
    let out = || {
        let ask = testbed.ask("operator", "POST", &format!("{BLUE}/quarantine"));
        let ask = ask
            .header("idempotency-key", "once")
            .header("email-engine-reason", "seen");
        ask.json(json!({"lists": ["zen.example.org"]}))
    };
    let first = out().send().await.gives(200);
    assert_eq!(
        first.body["quarantine"]["lists"],
        json!(["zen.example.org"])
    );
    assert!(
        first.body["warnings"]
            .to_string()
            .contains("no usable identity"),
        "{}",
        first.text
    );
    let again = out().send().await.gives(200);
    assert_eq!(
        again.body["quarantine"], first.body["quarantine"],
        "it was not seen again"
    );
    let release = format!("{BLUE}/release");
    let early = testbed.ask("operator", "POST", &release).send().await;
    early.refuses(409, "not-yet");
    let explained = testbed.ask("viewer", "GET", &format!("{BLUE}/explain"));
    let explained = explained.send().await.gives(200).body;
    let decisions: Vec<&str> = explained["chain"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["kind"] == "decision")
        .map(|one| one["what"].as_str().unwrap().split(':').next().unwrap())
        .collect();
    assert_eq!(
        decisions,
        ["declared", "reserved", "activated", "quarantined"]
    );
    assert_eq!(explained["chain"][3]["reason"], "seen");
    assert_eq!(explained["allowed"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_range_is_added_whole_or_not_and_its_faults_name_the_entry() {
    let testbed = fleet().await;
    let add = |body: Value| {
        testbed
            .ask("operator", "POST", "/api/v1/ips")
            .json(body)
            .send()
    };
    let range = |domain: &str| json!({"ip": "198.51.100.10-19", "domain": domain, "tenant": "red"});
    let clash = json!({"ip": "198.51.100.30", "domain": "m4.red.example.com", "tenant": "red"});
    let refused = add(json!([range("m{n}.red.example.com"), clash])).await;
    let refused = refused.refuses(409, "duplicate");
    assert_eq!(refused.body["field"], "[1].domain");
    let refused = add(range("m.red.example.com"))
        .await
        .refuses(422, "bad-field");
    assert!(
        refused
            .text
            .contains("of the range 198.51.100.10-198.51.100.19"),
        "{}",
        refused.text
    );
    let added = add(range("m{n}.red.example.com")).await.gives(201);
    assert_eq!(added.body.as_array().unwrap().len(), 10);
    assert_eq!(added.body[9]["domain"], "m10.red.example.com");
    let again = add(json!([clash_free(), range("m{n}.red.example.com")])).await;
    assert_eq!(
        again.refuses(409, "already-exists").body["field"],
        "[1].address"
    );
}

fn clash_free() -> Value {
    json!({"ip": "198.51.100.40", "domain": "free.red.example.com", "tenant": "red"})
}

#[tokio::test]
async fn that_one_is_further_than_it_came_or_sends_already_only_an_admin_says() {
    let testbed = fleet().await;
    for phase in ["week_2", "active"] {
        let ip = json!({"address": "198.51.100.1", "domain": "mail1.red.example.com", "tenant": "red", "phase": phase});
        for key in ["red-operator", "operator"] {
            let ask = testbed.ask(key, "POST", "/api/v1/fleet");
            let refused = ask.json(json!({"ips": [ip]})).send().await;
            let refused = refused.refuses(403, "forbidden");
            assert_eq!(refused.body["field"], "ips[0].phase");
        }
        let ask = testbed.ask("admin", "POST", "/api/v1/fleet");
        ask.json(json!({"ips": [ip]})).send().await.gives(200);
    }
    let new = json!({"address": "198.51.100.7", "domain": "mail7.red.example.com", "tenant": "red", "status": "active"});
    for key in ["red-operator", "operator"] {
        let ask = testbed.ask(key, "POST", "/api/v1/ips").json(new.clone());
        let refused = ask.send().await.refuses(403, "forbidden");
        assert_eq!(refused.body["field"], "status");
    }
    let ask = testbed.ask("admin", "POST", "/api/v1/ips");
    ask.json(new).send().await.gives(201);
}

#[tokio::test]
async fn that_no_list_has_one_in_quarantine_only_an_admin_states() {
    let testbed = fleet().await;
    let path = format!("{BLUE}/checks");
    let says = |key, verdict: Value| {
        let ask = testbed.ask(key, "POST", &path);
        ask.json(json!({"checks": {"listing": verdict}})).send()
    };
    says("operator", json!("valid")).await.gives(200);
    let ask = testbed.ask("operator", "POST", &format!("{BLUE}/quarantine"));
    ask.json(json!({"lists": ["zen"]})).send().await.gives(200);
    let refused = says("operator", json!("valid")).await;
    let refused = refused.refuses(403, "forbidden");
    assert_eq!(refused.body["field"], "checks.listing");
    let clean = says("admin", json!("valid")).await.gives(200);
    assert_eq!(clean.body["quarantine"]["clean_sweeps"], 1);
}

#[tokio::test]
async fn a_file_does_not_send_anybody_away() {
    let testbed = fleet().await;
    let ip = json!({"address": "198.51.100.2", "domain": "mail1.blue.example.com", "tenant": "blue", "status": "retiring"});
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    ask.json(json!({"ips": [ip]}))
        .send()
        .await
        .refuses(409, "no-edge");
}
