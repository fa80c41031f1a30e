//! What commands show that change nothing, in each of the forms.

use std::fs;

use email_engine_tests::{Fleet, Operator, wait_for};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn every_noun_shows_what_is_there() {
    let fleet = Fleet::converged_with(1, 2).await;
    let operator = Operator::of(&fleet);
    hosts_are_shown(&operator).await;
    tenants_and_settings_are_shown(&operator);
    identities_are_added_and_shown(&operator);
    domains_are_shown_with_their_records(&operator);
    changes_are_shown_with_who_made_them(&operator);
    answers_have_three_forms(&operator);
    a_rendered_state_has_its_secrets_masked(&fleet, &operator).await;
}

async fn hosts_are_shown(operator: &Operator) {
    let rows = operator.rows(&["hosts"]);
    let beginnings: Vec<_> = rows.iter().map(|row| row[..3].join(" ")).collect();
    let expected = [
        "api1 api client-1",
        "mailwizz1 mailwizz client-1",
        "pmta1 powermta -",
    ];
    assert_eq!(beginnings, expected);
    assert_eq!(rows, operator.rows(&["hosts", "list"]));
    for row in &rows {
        assert_eq!(row[5..], ["1", "converged"], "node and state: {row:?}");
    }
    let facts = wait_for("the agent has told what its machine is", async || {
        let host = operator.answer(&["hosts", "show", "pmta1"]);
        let known = host["facts"]["cpus"].as_u64().is_some_and(|cpus| cpus > 0);
        known
            .then(|| host["facts"].clone())
            .ok_or_else(|| host.to_string())
    })
    .await;
    let kernel = facts["kernel"].as_str().unwrap();
    assert!(!kernel.is_empty(), "{facts}");
    let shown = operator.prints(0, &["hosts", "show", "pmta1"]);
    for (name, value) in [
        ("Host", "pmta1"),
        ("Role", "powermta"),
        ("Addresses", "192.0.2.20"),
        ("Lifecycle", "enrolled"),
        ("State", "converged"),
    ] {
        assert_eq!(field(&shown, name), value, "{shown}");
    }
    let machine = field(&shown, "Machine");
    let cpus = format!("{} CPUs", facts["cpus"]);
    assert!(
        machine.contains(kernel) && machine.contains(&cpus),
        "{machine}"
    );
    let nobody = operator.notes(1, &["hosts", "show", "nobody"]);
    assert!(
        nobody.starts_with("error: host \"nobody\" does not exist\n"),
        "{nobody}"
    );
}

/// The value of a line of names and values.
fn field<'a>(shown: &'a str, name: &str) -> &'a str {
    let mut values = shown.lines().filter_map(|line| line.strip_prefix(name));
    let value = values.find(|value| value.starts_with("  "));
    value
        .unwrap_or_else(|| panic!("no {name} in {shown}"))
        .trim()
}

fn tenants_and_settings_are_shown(operator: &Operator) {
    let expected = [[
        "client-1",
        "Client One",
        "example.org",
        "postmaster@example.org",
    ]];
    assert_eq!(operator.rows(&["tenants"]), expected);
    let shown = operator.prints(0, &["tenants", "show", "client-1"]);
    assert_eq!(field(&shown, "Brand domains"), "example.org");
    let settings = operator.prints(0, &["settings"]);
    assert_eq!(field(&settings, "management-port"), "1983");
}

fn identities_are_added_and_shown(operator: &Operator) {
    let row = |number: usize| {
        let address = format!("198.51.100.{number}");
        let domain = format!("mail{number}.example.net");
        let rest = [
            "client-1",
            "pmta1",
            "marketing",
            "warming",
            "week_2",
            "20",
            "100",
        ];
        let rest = rest.map(str::to_owned);
        [&[address, domain][..], &rest].concat()
    };
    // The day since which it has its status is in the seventh column.
    let listed = |rows: Vec<Vec<String>>| -> Vec<Vec<String>> {
        let undated = |mut row: Vec<String>| {
            let day = row.remove(6);
            assert_eq!(day.len(), "2026-11-22".len(), "{day}");
            row
        };
        rows.into_iter().map(undated).collect()
    };
    assert_eq!(listed(operator.rows(&["ips", "list"])), [row(1), row(2)]);
    let shown = operator.prints(0, &["ips", "show", "198.51.100.2"]);
    assert_eq!(field(&shown, "Domain"), "mail2.example.net");
    assert_eq!(field(&shown, "Virtual MTA"), "vmta-mail2-example-net");

    let add = [
        "ips",
        "add",
        "198.51.100.3",
        "--domain",
        "mail3.example.net",
    ];
    let whose = ["--tenant", "client-1", "--host", "pmta1"];
    let add = [&add[..], &whose].concat();
    let _ = operator.prints(0, &add);
    let added = operator.answer(&["ips", "show", "198.51.100.3"]);
    for (name, value) in [
        ("domain", "mail3.example.net"),
        ("tenant", "client-1"),
        ("host", "pmta1"),
    ] {
        assert_eq!(added[name], value, "{added}");
    }
    let twice = operator.notes(1, &add);
    assert!(
        twice.contains("198.51.100.3") && twice.contains("(HTTP 409)"),
        "{twice}"
    );
    assert_eq!(operator.rows(&["ips"]).len(), 3);
    let unconfirmed = operator.notes(1, &["ips", "remove", "198.51.100.3"]);
    assert!(unconfirmed.contains("say --yes"), "{unconfirmed}");
    let _ = operator.prints(0, &["ips", "remove", "198.51.100.3", "--yes"]);
    // What its host may have got of it drains for a moment.
    let mut left = operator.rows(&["ips"]);
    left.retain(|row| !row.iter().any(|cell| cell.starts_with("leaving, ")));
    assert_eq!(listed(left), [row(1), row(2)]);
}

fn domains_are_shown_with_their_records(operator: &Operator) {
    let mut rows = operator.rows(&["domains"]);
    // What drains is judged by its records still.
    rows.retain(|row| row[0] != "mail3.example.net");
    let begins = |number: usize| {
        let domain = format!("mail{number}.example.net");
        [
            domain,
            format!("198.51.100.{number}"),
            "client-1".to_owned(),
        ]
    };
    let found: Vec<_> = rows.iter().map(|row| &row[..3]).collect();
    assert_eq!(found, [begins(1), begins(2)]);
    let records = operator.prints(0, &["domains", "show", "mail1.example.net"]);
    for part in [
        "198.51.100.1",
        "v=spf1 ",
        "mail._domainkey.mail1.example.net",
        "v=DKIM1",
    ] {
        assert!(records.contains(part), "{part}: {records}");
    }
}

fn changes_are_shown_with_who_made_them(operator: &Operator) {
    let audit = operator.answer(&["audit"]);
    let mut entries = audit.as_array().unwrap().iter();
    let added = entries.find(|entry| entry["command"] == "add-identity");
    let added = added.unwrap_or_else(|| panic!("{audit}"));
    assert_eq!(added["actor"], "key admin");
    assert!(
        added["object"].as_str().unwrap().contains("198.51.100.3"),
        "{added}"
    );
    assert_eq!(operator.rows(&["audit", "--limit", "3"]).len(), 3);
}

fn answers_have_three_forms(operator: &Operator) {
    let hosts = operator.answer(&["hosts"]);
    let ids: Vec<_> = hosts
        .as_array()
        .unwrap()
        .iter()
        .map(|host| &host["id"])
        .collect();
    assert_eq!(ids, ["api1", "mailwizz1", "pmta1"]);
    let yaml = operator.prints(0, &["hosts", "--output", "yaml"]);
    let lines = |text: &str| yaml.lines().filter(|line| *line == text).count();
    assert_eq!(
        (lines("- id: pmta1"), lines("  role: powermta")),
        (1, 1),
        "{yaml}"
    );
    let table = operator.prints(0, &["hosts", "--output", "table"]);
    let heads: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(
        heads,
        [
            "HOST",
            "ROLE",
            "TENANT",
            "GENERATION",
            "RESOURCES",
            "NODE",
            "STATE"
        ]
    );
    let wrong = operator.notes(64, &["hosts", "--output", "xml"]);
    assert!(
        wrong.contains("[possible values: table, json, yaml, csv]"),
        "{wrong}"
    );
}

async fn a_rendered_state_has_its_secrets_masked(fleet: &Fleet, operator: &Operator) {
    let render = ["config", "render", "--host", "pmta1"];
    wait_for("nothing drains any more", async || {
        let left = fleet.api().get("/leaving").await.ok();
        (left == json!([])).then_some(()).ok_or(left)
    })
    .await;
    fleet.host_converged("pmta1", "what drained is gone").await;
    let part = [&render[..], &["--file", "/etc/pmta/config"]].concat();
    // The last target may still be to come: what drained goes from the text with it.
    let (whole, config) = wait_for("all of the file is in the whole", async || {
        let (whole, config) = (operator.prints(0, &render), operator.prints(0, &part));
        let is_in = whole.contains(&config);
        is_in.then(|| (whole.clone(), config)).ok_or(whole)
    })
    .await;
    let as_json = operator.answer(&render).to_string();
    let line = "smtp-source-host 198.51.100.1 mail1.example.net";
    assert!(config.lines().any(|found| found.trim() == line), "{config}");
    assert!(
        whole.contains("secret dkim/mail1.example.net/mail version 1"),
        "{whole}"
    );
    assert!(as_json.contains("dkim/mail1.example.net/mail"), "{as_json}");
    // A key goes after the configuration that named it.
    let keys = wait_for("the host has the keys of its identities", async || {
        let found = fs::read_dir(fleet.agents["pmta1"].file("/etc/pmta/dkim")).unwrap();
        let keys: Vec<_> = found
            .filter_map(|key| fs::read_to_string(key.unwrap().path()).ok())
            .collect();
        if keys.len() == 2 {
            Ok(keys)
        } else {
            Err(keys.len().to_string())
        }
    })
    .await;
    for pem in keys {
        let line = pem.lines().nth(10).unwrap();
        for shown in [&whole, &as_json, &config] {
            assert!(
                !shown.contains(line) && !shown.contains("PRIVATE KEY"),
                "a key is shown"
            );
        }
    }
    // It is what the host has.
    let live = fs::read_to_string(fleet.agents["pmta1"].file("/etc/pmta/config")).unwrap();
    assert_eq!(config.trim_end(), live.trim_end());
    let nobody = operator.notes(1, &["config", "render", "--host", "nobody"]);
    assert!(
        nobody.starts_with("error: host \"nobody\" does not exist\n"),
        "{nobody}"
    );
}
