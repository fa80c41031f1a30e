//! Rotations of DKIM keys as they are asked for: what is answered, and what is refused with which code.

use serde_json::{Value, json};

use super::testbed::{Answered, Testbed};
use crate::command::{Command, TurnRotations};

const ONE: &str = "/api/v1/ips/198.51.100.1";

/// Two identities of `red` that send, and one of `blue`.
async fn fleet() -> Testbed {
    let testbed = Testbed::new();
    let document = json!({
        "hosts": [{"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]}],
        "ips": [
            {"address": "198.51.100.1", "domain": "m1.red.example.com", "tenant": "red",
             "status": "active"},
            {"address": "198.51.100.2", "domain": "m2.red.example.com", "tenant": "red",
             "status": "active"},
            {"address": "198.51.100.9", "domain": "m1.blue.example.com", "tenant": "blue",
             "status": "active"}
        ]
    });
    let ask = testbed.ask("admin", "POST", "/api/v1/fleet");
    ask.json(document).send().await.gives(200);
    testbed
}

async fn post(testbed: &Testbed, path: &str, body: Value) -> Answered {
    testbed
        .ask("red-operator", "POST", path)
        .json(body)
        .send()
        .await
}

async fn get(testbed: &Testbed, path: &str) -> Value {
    let asked = testbed.ask("red-operator", "GET", path).send().await;
    asked.gives(200).body
}

/// The leader's task would.
fn turn(testbed: &Testbed) {
    let addresses = ["198.51.100.1".parse().unwrap()].into();
    let command = Command::TurnRotations(TurnRotations { addresses });
    testbed.fleet.apply(command).unwrap();
}

fn names(records: &Value) -> Vec<&str> {
    let records = records.as_array().unwrap().iter();
    records
        .map(|record| record["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_rotation_says_what_is_to_be_published_and_waits_until_that_was_seen() {
    let testbed = fleet().await;
    let rotate = format!("{ONE}/dkim/rotate");
    let begun = post(&testbed, &rotate, json!({})).await.gives(200).body;
    let rotation = &begun["rotation"];
    assert_eq!(
        (&rotation["stage"], &rotation["cause"]),
        (&json!("publish"), &json!("asked"))
    );
    let new = rotation["new_selector"].as_str().unwrap();
    assert!(new.starts_with("mail-2026"), "{new}");
    assert_eq!(begun["selector"], "mail");
    let both = [
        "mail._domainkey.m1.red.example.com".to_owned(),
        format!("{new}._domainkey.m1.red.example.com"),
    ];
    assert_eq!(names(&begun["publish"]), both);
    assert_eq!(begun["withdraw"], json!([]));
    assert!(begun.get("warnings").is_none(), "{begun}");
    // Everything that must be published is where all records of the domain are.
    let domain = get(&testbed, "/api/v1/domains/m1.red.example.com").await;
    assert!(
        both.iter()
            .all(|name| names(&domain["records"]).contains(&name.as_str()))
    );
    let refused = post(&testbed, &rotate, json!({})).await;
    let refused = refused.refuses(409, "no-edge");
    assert!(
        refused.text.contains("becomes verified when"),
        "{}",
        refused.text
    );

    turn(&testbed);
    assert_eq!(
        get(&testbed, &format!("{ONE}/dkim")).await,
        begun,
        "time switches nothing"
    );
    let checks = format!("{ONE}/checks");
    let other = json!({"checks": {"next_dkim": "valid"}, "selector": "mail"});
    let refused = post(&testbed, &checks, other).await.refuses(422, "invalid");
    assert_eq!(refused.body["field"], "selector", "{}", refused.text);
    let stray = json!({"checks": {"a": "valid"}, "selector": "mail"});
    post(&testbed, &checks, stray).await.refuses(422, "invalid");
    let seen = json!({"checks": {"next_dkim": "valid", "a": "valid"}, "selector": new});
    let said = post(&testbed, &checks, seen).await.gives(200).body;
    assert_eq!(said["checks"]["a"]["verdict"], "valid");
    let stage = get(&testbed, &format!("{ONE}/dkim")).await["rotation"]["stage"].clone();
    assert_eq!(stage, "verified");
    let audit = testbed.fleet.state().audit;
    let objects: Vec<_> = audit.iter().map(|entry| entry.object.as_str()).collect();
    let wanted = format!("ip 198.51.100.1: {new} valid");
    assert!(objects.contains(&wanted.as_str()), "{objects:?}");

    // No agent is on that host, so that nothing signs there.
    turn(&testbed);
    turn(&testbed);
    let over = get(&testbed, &format!("{ONE}/dkim")).await;
    assert_eq!(
        (&over["selector"], &over["rotation"]["stage"]),
        (&json!(new), &json!("switched"))
    );
    assert!(over["publish"][1]["until"].is_string(), "{over}");
    let explained = get(&testbed, &format!("{ONE}/explain")).await;
    let rules = explained["rules"].to_string();
    assert!(
        rules.contains(&format!("it signs with selector {new}")),
        "{rules}"
    );
    assert!(rules.contains("switched since"), "{rules}");
}

#[tokio::test]
async fn an_emergency_says_what_it_costs_and_withdraws_with_the_switch() {
    let testbed = fleet().await;
    let rotate = format!("{ONE}/dkim/rotate");
    let begun = post(&testbed, &rotate, json!({"emergency": true})).await;
    let begun = begun.gives(200).body;
    let price = begun["warnings"][0].as_str().unwrap();
    assert!(price.contains("cannot be verified from then on"), "{price}");
    assert_eq!(begun["withdraw"], json!([]));
    let seen = json!({"checks": {"next_dkim": "valid"}});
    post(&testbed, &format!("{ONE}/checks"), seen)
        .await
        .gives(200);
    turn(&testbed);
    turn(&testbed);
    let over = get(&testbed, &format!("{ONE}/dkim")).await;
    assert_eq!(over["rotation"]["stage"], "retired");
    assert_eq!(over["withdraw"][0]["value"], "\"v=DKIM1; k=rsa; p=\"");
    assert_eq!(
        names(&over["withdraw"]),
        ["mail._domainkey.m1.red.example.com"]
    );
}

#[tokio::test]
async fn a_tenant_is_rotated_whole_and_no_other() {
    let testbed = fleet().await;
    let path = "/api/v1/tenants/red/dkim/rotate";
    post(&testbed, &format!("{ONE}/dkim/rotate"), json!({}))
        .await
        .gives(200);
    let begun = post(&testbed, path, json!({})).await.gives(200).body;
    assert_eq!(
        (&begun["begun"], &begun["under_way"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(begun["identities"][0]["address"], "198.51.100.2");
    let again = post(&testbed, path, json!({})).await.gives(200).body;
    assert_eq!(
        (&again["begun"], &again["under_way"]),
        (&json!(0), &json!(2))
    );
    let hurried = post(&testbed, path, json!({"emergency": true})).await;
    assert_eq!(hurried.gives(200).body["begun"], 2);
    let own = get(&testbed, "/api/v1/tenants/red/dkim").await;
    let causes = own.as_array().unwrap().iter();
    assert!(
        causes
            .into_iter()
            .all(|one| one["rotation"]["cause"] == "emergency")
    );
    let all = get(&testbed, "/api/v1/dkim").await;
    assert_eq!(all, own, "blue's are not shown");
    let blue = "/api/v1/tenants/blue/dkim/rotate";
    post(&testbed, blue, json!({}))
        .await
        .refuses(404, "not-found");
    let state = testbed.fleet.state();
    let untouched = &state.identities[&"198.51.100.9".parse().unwrap()];
    assert_eq!(untouched.signing.rotation, None);
}

#[tokio::test]
async fn a_tenant_has_its_keys_changed_sooner_and_never_later() {
    let testbed = fleet().await;
    let days = |days: u32| json!({"id": "red", "name": "red", "dkim_rotation_days": days});
    for bad in [29, 181] {
        let ask = testbed.ask("red-operator", "PUT", "/api/v1/tenants/red");
        let refused = ask.json(days(bad)).send().await.refuses(422, "invalid");
        assert_eq!(
            refused.body["field"], "dkim_rotation_days",
            "{}",
            refused.text
        );
        assert!(refused.text.contains("30 to 180"), "{}", refused.text);
    }
    let due = |view: &Value| view["due"].as_str().unwrap().to_owned();
    let before = get(&testbed, &format!("{ONE}/dkim")).await;
    let ask = testbed.ask("red-operator", "PUT", "/api/v1/tenants/red");
    ask.json(days(60)).send().await.gives(200);
    let after = get(&testbed, &format!("{ONE}/dkim")).await;
    assert!(due(&after) < due(&before), "{after}");
}
