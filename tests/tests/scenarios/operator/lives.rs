//! An identity's life, as those who run the fleet lead it: added by one call, taken up once it was seen to
//! be fit, taken out, laid to rest, brought back to the bench, removed.

use std::fs;

use email_engine_tests::{Fleet, Operator, samples, wait_until};
use serde_json::{Value, json};

const NEW: &str = "198.51.100.7";
const OLD: &str = "198.51.100.1";

fn configuration(fleet: &Fleet) -> String {
    let file = fleet.agents["pmta1"].file("/etc/pmta/config");
    fs::read_to_string(file).unwrap_or_default()
}

/// Whether PowerMTA hands what is submitted for an identity to its virtual MTA.
fn is_routed(fleet: &Fleet, number: usize) -> bool {
    let route = format!("virtual-mta=vmta-mail{number}-example-net\n");
    configuration(fleet).contains(&route)
}

/// Whether the application may send by it: its record is there and active.
fn is_offered(fleet: &Fleet, number: usize) -> bool {
    let record =
        format!("/etc/email-engine/mailwizz/delivery-servers/vmta-mail{number}-example-net.json");
    let text = fs::read_to_string(fleet.agents["mailwizz1"].file(&record));
    let record: Value = text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    record["status"] == "active"
}

async fn serves(fleet: &Fleet, number: usize, wanted: bool) {
    let why = format!("identity {number} is in the files of both hosts: {wanted}");
    wait_until(&why, async || {
        is_routed(fleet, number) == wanted && is_offered(fleet, number) == wanted
    })
    .await;
}

fn status(operator: &Operator, address: &str) -> Value {
    operator.answer(&["ips", "show", address])["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_adds_an_identity_that_warms_up_once_it_was_seen_to_be_fit() {
    let fleet = Fleet::converged_with(1, 1).await;
    let operator = Operator::of(&fleet);
    let domain = ["--domain", "mail7.example.net", "--tenant", "client-1"];
    let added = operator.answer(&[&["ips", "add", NEW][..], &domain].concat());
    let view = &added[0];
    assert_eq!(view["ip"]["selector"], "mail");
    assert_eq!(view["ip"]["status"], "standby");
    assert_eq!(view["warmup"].as_array().unwrap().len(), 7);
    assert_eq!(
        view["warmup"][0],
        json!({ "phase": "week_1", "daily_quota": 50, "least_days": 7 })
    );
    let records = view["records"].to_string();
    for part in [
        "_domainkey.mail7",
        "v=spf1 ip4:198.51.100.7 -all",
        "_dmarc",
        "in-addr.arpa",
    ] {
        assert!(records.contains(part), "{part}: {records}");
    }
    let refused = operator.notes(1, &["ips", "activate", NEW]);
    for part in [
        "a: not known",
        "ptr:",
        "spf:",
        "dkim:",
        "dmarc:",
        "address:",
        "listing:",
        "(HTTP 409)",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(!is_routed(&fleet, 7) && !is_offered(&fleet, 7));

    let seen = [
        "ips",
        "state-dns",
        NEW,
        "--valid",
        "all",
        "--reason",
        "looked",
    ];
    let _ = operator.prints(0, &seen);
    let told = operator.prints(0, &["ips", "activate", NEW, "--reason", "it is time"]);
    assert!(
        told.contains("is warming since") && told.contains("weight 10, 50 mails"),
        "{told}"
    );
    serves(&fleet, 7, true).await;

    let list = "zen.example.org";
    let _ = operator.prints(0, &["ips", "quarantine", NEW, "--list", list]);
    serves(&fleet, 7, false).await;
    let refused = operator.notes(1, &["ips", "release", NEW]);
    assert!(refused.contains("0 of 2 clean sweeps"), "{refused}");
    // What the file says of the others is no news, and it says nothing of this one.
    fleet.apply(&samples::fleet(1)).await;
    assert_eq!(status(&operator, NEW), "quarantine");
    what_happened_is_explained(&operator);
}

fn what_happened_is_explained(operator: &Operator) {
    let explained = operator.answer(&["explain", "ip", NEW]);
    let chain = explained["chain"].as_array().unwrap();
    let what: Vec<&str> = chain
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    for link in [
        "added: nothing -> standby, phase week_1",
        "activated: standby -> warming, phase week_1",
        "quarantined: warming -> quarantine, phase week_1",
        "spf: valid",
    ] {
        assert!(what.contains(&link), "{link}: {what:?}");
    }
    let activated = chain
        .iter()
        .find(|one| one["what"].to_string().contains("activated"));
    let activated = activated.unwrap();
    assert_eq!(
        (&activated["reason"], &activated["actor"]),
        (&json!("it is time"), &json!("key admin"))
    );
    assert!(activated["revision"].is_u64());
    let shown = operator.prints(0, &["explain", "ip", NEW]);
    assert!(shown.contains("it leaves quarantine from"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_rests_goes_back_to_the_bench_and_retires_and_its_record_stays() {
    let fleet = Fleet::converged_with(1, 2).await;
    let operator = Operator::of(&fleet);
    serves(&fleet, 1, true).await;
    let _ = operator.prints(0, &["ips", "rest", OLD]);
    serves(&fleet, 1, false).await;
    let refused = operator.notes(1, &["ips", "activate", OLD]);
    let way = "there is no way from resting to warming or active: from resting an identity may become \
               standby (release), retiring (retire)";
    assert!(refused.contains(way), "{refused}");
    // It was declared to warm up, and the file that says so is applied again: it rests.
    fleet.apply(&samples::fleet(2)).await;
    assert_eq!(status(&operator, OLD), "resting");
    let _ = operator.prints(0, &["ips", "release", OLD]);
    assert_eq!(status(&operator, OLD), "standby");
    let listed = operator.rows(&["ips", "list"]);
    let row = listed.iter().find(|row| row[0] == OLD).unwrap();
    assert!(
        row.contains(&"standby".to_owned()) && row.contains(&"0".to_owned()),
        "{row:?}"
    );

    let _ = operator.prints(0, &["ips", "retire", OLD, "--yes"]);
    let api = fleet.api();
    wait_until(
        "its queue is empty, and its virtual MTA is gone",
        async || {
            let left = api.get("/leaving").await.ok();
            left == json!([]) && !configuration(&fleet).contains("vmta-mail1-example-net")
        },
    )
    .await;
    let view = operator.answer(&["domains", "show", "mail1.example.net"]);
    let records = view["records"].as_array().unwrap();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["name"], "mail._domainkey.mail1.example.net");
    assert!(records[0]["until"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_range_is_as_many_identities_and_its_faults_are_shown_in_its_line() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(0)).await;
    let operator = Operator::of(&fleet);
    let rows = "ips = [\n{ address = \"198.51.100.10-19\", domain = \"mail{n}.example.net\", tenant = \
                \"client-1\" },\n{ address = \"198.51.100.80\", domain = \"mail7.example.net\", tenant = \
                \"client-1\" },\n]\n";
    let path = operator.folder().join("range.toml");
    fs::write(&path, rows).unwrap();
    let file = path.to_str().unwrap();
    let refused = operator.notes(1, &["apply", "-f", file]);
    assert!(refused.contains("range.toml:3:"), "{refused}");
    fs::write(&path, rows.replace("mail7", "other")).unwrap();
    let _ = operator.prints(0, &["apply", "-f", file]);
    let ips = operator.answer(&["ips", "list"]);
    assert_eq!(ips.as_array().unwrap().len(), 11);
    let one = operator.answer(&["ips", "show", "198.51.100.16"]);
    assert_eq!(
        (&one["domain"], &one["status"]),
        (&json!("mail7.example.net"), &json!("standby"))
    );
    assert_eq!(
        operator.run(&["plan", "-f", file]).status.code(),
        Some(0),
        "it is so already"
    );
}
