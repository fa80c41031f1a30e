//! What a dry run and the status say of hosts.

mod bundles;

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use email_engine_protocol::id::HostId;

use super::testbed::Testbed;
use crate::api::app::CONCURRENT_PREVIEWS;

fn document() -> Value {
    json!({
        "hosts": [
            {"id": "pmta1", "role": "powermta", "addresses": ["192.0.2.1"]},
            {"id": "red-mail", "role": "mailwizz", "tenant": "red", "addresses": ["192.0.2.2"]},
            {"id": "blue-mail", "role": "mailwizz", "tenant": "blue", "addresses": ["192.0.2.3"]}
        ],
        "ips": [
            {"address": "198.51.100.1", "domain": "mail1.red.example.com", "tenant": "red"},
            {"address": "198.51.100.2", "domain": "mail1.blue.example.com", "tenant": "blue"}
        ]
    })
}

async fn applied() -> Testbed {
    let testbed = Testbed::new();
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    ask.json(document()).send().await.gives(200);
    testbed
}

fn resource<'a>(host: &'a Value, id: &str) -> &'a Value {
    let resources = host["resources"].as_array().unwrap();
    let found = resources.iter().find(|resource| resource["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {host:#}"))
}

#[tokio::test]
async fn a_dry_run_shows_files_line_by_line_and_no_secret() {
    let testbed = applied().await;
    let (before, log) = (testbed.fleet.state(), testbed.fleet.log_length());
    let mut changed = document();
    changed["ips"][0]["domain"] = json!("post.red.example.com");
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet?dry_run=true");
    let answered = ask.json(changed).send().await.gives(200);
    let hosts = answered.body["hosts"].as_array().unwrap();
    let names: Vec<_> = hosts
        .iter()
        .map(|host| host["host"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["pmta1", "red-mail"], "blue-mail has nothing of it");
    let config = &resource(&hosts[0], "file:/etc/pmta/config")["diff"];
    let unified = config["unified"].as_str().unwrap();
    assert!(
        unified.starts_with("--- /etc/pmta/config\n+++ /etc/pmta/config\n@@ "),
        "{unified}"
    );
    assert!(
        unified.contains("smtp-source-host 198.51.100.1 post.red.example.com"),
        "{unified}"
    );
    assert!(
        !unified.contains("mail1.blue"),
        "only what differs: {unified}"
    );
    assert_eq!(config["added"], config["removed"]);
    // A key is named; its bytes are nowhere.
    let keys = answered.text.matches("secret dkim/").count();
    assert!(keys > 0, "{}", answered.text);
    assert!(!answered.text.contains("PRIVATE KEY") && !answered.text.contains("commitment"));
    assert_eq!(testbed.fleet.log_length(), log);
    assert!(testbed.fleet.state() == before);
}

#[tokio::test]
async fn the_first_document_is_shown_whole_before_any_key_is_made() {
    let testbed = Testbed::new();
    assert!(testbed.fleet.state().prepared_keys.is_empty());
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet?dry_run=true");
    let answered = ask.json(document()).send().await.gives(200);
    let hosts = answered.body["hosts"].as_array().unwrap();
    assert_eq!(hosts.len(), 3, "{}", answered.text);
    assert!(hosts.iter().all(|host| host.get("error").is_none()));
    let config = &resource(&hosts[1], "file:/etc/pmta/config");
    assert_eq!(config["action"], "create");
    let unified = config["diff"]["unified"].as_str().unwrap();
    assert!(unified.starts_with("--- /dev/null\n+++ /etc/pmta/config\n@@ -0,0 +1,"));
    assert_eq!(testbed.fleet.log_length(), 0);
}

#[tokio::test]
async fn a_bound_key_is_shown_its_own_hosts_only() {
    let testbed = applied().await;
    let own = json!({"ips": [
        {"address": "198.51.100.1", "domain": "post.red.example.com", "tenant": "red"}
    ]});
    let ask = testbed.ask("red-operator", "POST", "/api/v1/fleet?dry_run=true");
    let answered = ask.json(own).send().await.gives(200);
    let hosts = answered.body["hosts"].as_array().unwrap();
    let names: Vec<_> = hosts
        .iter()
        .map(|host| host["host"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["red-mail"], "pmta1 carries everybody's");
    assert!(!answered.text.contains("blue"), "{}", answered.text);
}

#[tokio::test]
async fn a_dry_run_without_a_change_compares_no_host_and_an_apply_says_none() {
    let testbed = applied().await;
    for path in ["/api/v1/fleet?dry_run=true", "/api/v1/fleet"] {
        let ask = testbed.ask("operator", "POST", path).json(document());
        let answered = ask.send().await.gives(200);
        assert!(answered.body.get("hosts").is_none(), "{}", answered.text);
    }
}

#[tokio::test]
async fn dry_runs_that_were_given_up_keep_their_place_until_their_work_ends() {
    let testbed = Testbed::new();
    let gate = testbed.fleet.gate.lock().await;
    let dry_run = || {
        let ask = testbed.ask("operator", "POST", "/api/v1/fleet?dry_run=true");
        ask.json(document()).send()
    };
    for number in 1..=CONCURRENT_PREVIEWS {
        let begun = async {
            while testbed.fleet.previews.load(Ordering::SeqCst) < number {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answered = dry_run() => panic!("{}", answered.text),
            () = begun => {}
        }
    }
    let refused = dry_run().await.refuses(503, "previews-busy");
    assert_eq!(refused.headers["retry-after"], "2");
    drop(gate);
    dry_run().await.gives(200);
}

#[tokio::test]
async fn a_host_that_leaves_is_said_to_be_wiped() {
    let testbed = applied().await;
    let mut less = document();
    less["hosts"].as_array_mut().unwrap().remove(2);
    let path = "/api/v1/fleet?dry_run=true&prune=true";
    let answered = testbed
        .ask("operator", "POST", path)
        .json(less)
        .send()
        .await;
    let answered = answered.gives(200);
    // It never enrolled, so there is nothing to wipe and it is gone at once.
    let names: Vec<_> = answered.body["changes"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(names.len(), 1, "{}", answered.text);
    assert_eq!(
        (&names[0]["action"], &names[0]["name"]),
        (&json!("remove"), &json!("blue-mail"))
    );
}

#[tokio::test]
async fn swapped_domains_are_applied_as_one_whole() {
    let testbed = applied().await;
    let mut swapped = document();
    swapped["ips"][0]["domain"] = json!("mail1.blue.example.com");
    swapped["ips"][1]["domain"] = json!("mail1.red.example.com");
    for ip in swapped["ips"].as_array_mut().unwrap() {
        ip["vmta"] = json!(format!("vmta-{}", ip["tenant"].as_str().unwrap()));
    }
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    ask.json(swapped.clone()).send().await.gives(200);
    for (address, domain) in [
        ("198.51.100.1", "mail1.blue"),
        ("198.51.100.2", "mail1.red"),
    ] {
        let path = format!("/api/v1/ips/{address}");
        let shown = testbed.ask("viewer", "GET", &path).send().await.gives(200);
        assert!(
            shown.body["domain"].as_str().unwrap().starts_with(domain),
            "{}",
            shown.text
        );
        assert!(!shown.text.contains("moving-"), "{}", shown.text);
    }
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet");
    let again = ask.json(swapped).send().await.gives(200);
    assert_eq!(again.body["changes"], json!([]));
}

#[tokio::test]
async fn an_address_does_not_change_its_tenant_and_is_told_what_to_do() {
    let testbed = applied().await;
    let before = testbed.fleet.state();
    let mut other = document();
    other["ips"][0]["tenant"] = json!("blue");
    let ask = testbed.ask("operator", "POST", "/api/v1/fleet").json(other);
    let refused = ask.send().await.refuses(422, "foreign-tenant");
    assert_eq!(refused.body["field"], "ips[0].tenant");
    assert!(
        refused
            .text
            .contains("email-engine ips remove 198.51.100.1"),
        "{}",
        refused.text
    );
    assert!(testbed.fleet.state() == before);
}

#[tokio::test]
async fn a_host_that_cannot_be_planned_degrades_the_fleet_and_says_why() {
    let testbed = applied().await;
    let host = HostId::new("red-mail").unwrap();
    let error = "template cron.j2 is broken".to_owned();
    testbed.fleet.unplanned.lock().unwrap().insert(host, error);
    for key in ["viewer", "red-operator"] {
        let status = testbed
            .ask(key, "GET", "/api/v1/status")
            .send()
            .await
            .gives(200);
        assert_eq!(status.body["state"], "degraded");
        let reasons = status.body["reasons"].to_string();
        assert!(
            reasons.contains("red-mail: cannot be planned and keeps what it has: template cron.j2"),
            "{reasons}"
        );
    }
    let other = testbed
        .ask("blue-viewer", "GET", "/api/v1/status")
        .send()
        .await;
    assert!(!other.gives(200).text.contains("cron.j2"));
    let shown = testbed
        .ask("viewer", "GET", "/api/v1/hosts/red-mail")
        .send()
        .await;
    assert_eq!(
        shown.gives(200).body["plan_error"],
        "template cron.j2 is broken"
    );
}
