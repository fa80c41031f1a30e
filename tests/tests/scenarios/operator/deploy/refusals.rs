//! What is not right is told before anything is changed, and a host that fails stops no other.

use std::fs;

use email_engine_tests::{Operator, samples};
use serde_json::{Value, json};

use super::{Machines, changes_of_operators, deploy, ground};

/// A command line that is wrong in many ways.
const MANY: [&str; 18] = [
    "deploy",
    "-f",
    "labelled.toml",
    "--log-dir",
    "log",
    "--artifact",
    "powermta=nowhere.deb",
    "--artifact",
    "powermta-licence=license",
    "--via",
    "ssh root@{address}",
    "--programs",
    "nowhere",
    "--without",
    "api-bundle",
    "--without",
    "grafana",
    "--yes",
];

fn refused(operator: &Operator, code: i32, arguments: &[&str]) -> String {
    let said = operator.notes(code, arguments);
    assert!(!operator.folder().join("log").exists(), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_missing_is_told_at_once_and_nothing_is_changed() {
    let (fleet, operator, _machines) = ground(1).await;
    let before = changes_of_operators(&fleet).await;
    let mut document = samples::fleet(1);
    document["hosts"][2]["labels"] = json!({ "deploy-via": "run {hots}" });
    let _ = operator.file("labelled.toml", &document);
    let said = refused(&operator, 1, &MANY);
    for finding in [
        "--artifact powermta: nowhere.deb cannot be read",
        "--artifact powermta-licence: no host of the fleet file asks for it; asked for are: api-bundle, grafana, mailwizz, \
         powermta, powermta-license",
        "artifact mailwizz of mailwizz1 is not there",
        "artifact powermta-license of pmta1 is not there",
        "host api1: its label deploy-via: {hots} is not known",
        "nowhere/email-engine-bootstrap cannot be read",
        "nothing was changed: 6 of the above",
    ] {
        assert!(said.contains(finding), "no {finding:?} in {said}");
    }
    // A database's rows are no artifact of a fleet that begins empty.
    fs::write(
        operator.folder().join("rows.sql"),
        "-- MariaDB dump 10.19\n",
    )
    .unwrap();
    let dump = deploy(&["--artifact", "mailwizz=rows.sql", "--yes"]);
    let said = refused(&operator, 1, &dump);
    assert!(said.contains("--import-data"), "{said}");

    let good = deploy(&["--without", "mailwizz"]);
    let said = refused(&operator, 1, &good);
    assert!(
        said.contains("no terminal to ask on: nothing was changed; say --yes"),
        "{said}"
    );
    assert!(
        said.contains("+ pmta1 (powermta, 192.0.2.20) by hand, with a join token"),
        "{said}"
    );
    let quiet = [&good[..], &["--quiet"]].concat();
    let said = refused(&operator, 1, &quiet);
    assert!(
        said.contains("+ pmta1 (powermta, 192.0.2.20) by hand"),
        "what is asked about is shown: {said}"
    );
    let plan = [&good[..], &["--plan"]].concat();
    let shown = operator.prints(2, &plan);
    assert!(shown.contains("Would change: 5 to create"), "{shown}");
    for bad in [
        &["--via", "ssh {addres}"],
        &["--via", "'"],
        &["--artifact", "pmta"],
    ] {
        let said = refused(&operator, 64, &deploy(bad));
        assert!(
            said.contains("accepted") || said.contains("has no end"),
            "{said}"
        );
    }
    document["ips"][0]["tenant"] = json!("nobody");
    let _ = operator.file("fleet.toml", &document);
    let said = refused(&operator, 1, &good);
    assert!(
        said.contains("fleet.toml:") && said.contains("nobody"),
        "{said}"
    );
    assert_eq!(changes_of_operators(&fleet).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_fails_is_named_with_its_log_and_stops_no_other() {
    let (fleet, operator, machines) = ground(1).await;
    let bad = machines.of("mailwizz1");
    fs::create_dir_all(&bad).unwrap();
    fs::write(bad.join("refuses"), "").unwrap();
    let run = deploy(&[&Machines::VIA[..], &["--without", "mailwizz", "--yes"]].concat());
    let said = operator.prints(4, &run);
    assert!(
        said.contains(
            "mailwizz1: not let in: the bootstrap ended with 5: REFUSED  os: nobody knows this one (log: \
             log/hosts/mailwizz1.log)"
        ),
        "{said}"
    );
    assert!(
        said.contains("1 of 3 hosts are not what they shall be"),
        "{said}"
    );
    assert!(said.contains("mailwizz: mailwizz1 goes without"), "{said}");
    for host in ["pmta1", "api1"] {
        fleet.host_converged(host, "another one failed").await;
    }
    assert_eq!(fleet.host("mailwizz1").await["lifecycle"], "declared");
    // The token that the machine did not keep lets nobody in.
    let tokens: Value = operator.answer(&["token", "list"]);
    let states = tokens
        .as_array()
        .unwrap()
        .iter()
        .map(|token| &token["state"]);
    assert!(!states.clone().any(|state| state == "open"), "{tokens}");

    fs::remove_file(bad.join("refuses")).unwrap();
    let before = machines.commands("pmta1");
    let said = operator.prints(0, &run);
    assert!(said.contains("Deployed: all 3 hosts"), "{said}");
    fleet
        .host_converged("mailwizz1", "it refuses no more")
        .await;
    assert_eq!(machines.commands("pmta1"), before, "it was in already");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_that_came_in_although_nobody_heard_of_it_are_in_no_trouble() {
    let (fleet, operator, machines) = ground(1).await;
    // The way to the one is lost; of the other its bootstrap itself says that it failed.
    for (host, code) in [("mailwizz1", "255"), ("pmta1", "6")] {
        fs::create_dir_all(machines.of(host)).unwrap();
        fs::write(machines.of(host).join("ends"), code).unwrap();
    }
    let run = deploy(&[&Machines::VIA[..], &["--without", "mailwizz", "--yes"]].concat());
    let said = operator.prints(0, &run);
    assert!(said.contains("Deployed: all 3 hosts"), "{said}");
    for host in samples::HOSTS {
        fleet.host_converged(host, "it came in").await;
    }
    let result = fs::read_to_string(operator.folder().join("log/result.json")).unwrap();
    let result: Value = serde_json::from_str(&result).unwrap();
    for host in result["hosts"].as_array().unwrap() {
        let seen = (&host["let_in"], &host["trouble"]);
        assert_eq!(seen, (&json!(true), &Value::Null), "{host}");
    }
    let heard = fs::read_to_string(operator.folder().join("log/run.log")).unwrap();
    assert!(
        heard.contains("host pmta1: not let in: the bootstrap ended with 6"),
        "{heard}"
    );
    let left = fs::read_dir(operator.folder().join("log/tokens")).unwrap();
    assert_eq!(left.count(), 0, "they were redeemed");
}
