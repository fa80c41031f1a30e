//! A fleet file goes through the command line, and every noun shows what became of it.

use std::fs;
use std::path::PathBuf;

use email_engine_tests::{Fleet, Operator, samples};
use serde_json::{Value, json};

fn fleet_file(fleet: &Fleet, name: &str, document: &Value) -> String {
    let path: PathBuf = fleet.dir().join(name);
    fs::write(&path, toml::to_string(document).unwrap()).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_says_is_planned_applied_and_shown() {
    let mut fleet = Fleet::single().await;
    let operator = Operator::at(&fleet, 1);
    let file = fleet_file(&fleet, "fleet.toml", &samples::fleet(2));

    let planned = operator.prints(2, &["plan", "-f", &file]);
    assert!(planned.contains("198.51.100.1"), "{planned}");
    assert_eq!(
        operator.answer(&["tenants"]),
        json!([]),
        "a plan changes nothing"
    );
    let applied = operator.answer(&["apply", "-f", &file]);
    assert_eq!(applied["changes"].as_array().unwrap().len(), 6, "{applied}");
    let _ = operator.prints(0, &["plan", "-f", &file]);
    assert_eq!(
        operator.answer(&["apply", "-f", &file])["changes"],
        json!([])
    );
    let waiting = operator.prints(3, &["status"]);
    assert!(waiting.starts_with("Fleet: converging"), "{waiting}");

    fleet.start_agents(&samples::HOSTS).await;
    fleet.converged("a file was applied").await;
    let table = operator.prints(0, &["status"]);
    assert!(table.starts_with("Fleet: converged"), "{table}");
    assert!(
        samples::HOSTS.iter().all(|host| table.contains(host)),
        "{table}"
    );
    assert_eq!(operator.answer(&["status"])["state"], "converged");
    nouns_show_what_is_there(&fleet, &operator);
    a_rendered_state_has_its_secrets_masked(&fleet, &operator);
    faults_of_a_file_are_pointed_at(&fleet, &operator);
    the_context_is_named_in_one_of_two_ways(&fleet, &operator);
}

fn nouns_show_what_is_there(fleet: &Fleet, operator: &Operator) {
    let hosts = operator.answer(&["hosts"]);
    let names: Vec<_> = hosts
        .as_array()
        .unwrap()
        .iter()
        .map(|host| &host["id"])
        .collect();
    assert_eq!(names, ["api1", "mailwizz1", "pmta1"]);
    let shown = operator.prints(0, &["hosts", "show", "pmta1"]);
    assert!(
        shown.contains("powermta") && shown.contains("192.0.2.20"),
        "{shown}"
    );
    assert!(operator.prints(0, &["tenants"]).contains("Client One"));
    assert!(
        operator
            .prints(0, &["tenants", "show", "client-1"])
            .contains("example.org")
    );

    let listed = operator.prints(0, &["ips", "list"]);
    assert!(listed.contains("mail1.example.net") && listed.contains("mail2.example.net"));
    let one = operator.answer(&["ips", "show", "198.51.100.2"]);
    assert_eq!(one["domain"], "mail2.example.net");
    let added = [
        "ips",
        "add",
        "198.51.100.3",
        "--domain",
        "mail3.example.net",
    ];
    let whose = ["--tenant", "client-1", "--host", "pmta1"];
    let _ = operator.prints(0, &[&added[..], &whose[..]].concat());
    assert_eq!(
        operator.answer(&["ips", "list"]).as_array().unwrap().len(),
        3
    );
    let twice = operator.run(&[&added[..], &whose[..]].concat());
    assert_eq!(twice.status.code(), Some(1), "{twice:?}");
    // The file does not name it: it stays, unless the operator says to prune, and then is listed.
    let file = fleet.dir().join("fleet.toml").display().to_string();
    let _ = operator.prints(0, &["apply", "-f", &file]);
    assert_eq!(
        operator.answer(&["ips", "list"]).as_array().unwrap().len(),
        3
    );
    let unconfirmed = operator.run(&["apply", "-f", &file, "--prune"]);
    assert_eq!(unconfirmed.status.code(), Some(1), "{unconfirmed:?}");
    let asked = String::from_utf8_lossy(&unconfirmed.stderr).into_owned();
    assert!(asked.contains("198.51.100.3"), "{asked}");
    let _ = operator.prints(0, &["apply", "-f", &file, "--prune", "--yes"]);
    assert_eq!(
        operator.answer(&["ips", "list"]).as_array().unwrap().len(),
        2
    );
}

fn a_rendered_state_has_its_secrets_masked(fleet: &Fleet, operator: &Operator) {
    let render = ["config", "render", "--host", "pmta1"];
    let whole = operator.prints(0, &render);
    let as_json = operator.answer(&render).to_string();
    let config = operator.prints(0, &[&render[..], &["--file", "/etc/pmta/config"]].concat());
    assert!(
        config.contains("smtp-source-host 198.51.100.1 mail1.example.net"),
        "{config}"
    );
    for shown in [&whole, &as_json] {
        assert!(shown.contains("secret dkim/"), "{shown}");
    }
    for key in fs::read_dir(fleet.agents["pmta1"].file("/etc/pmta/dkim")).unwrap() {
        let pem = fs::read_to_string(key.unwrap().path()).unwrap();
        let line = pem.lines().nth(10).unwrap();
        for shown in [&whole, &as_json, &config] {
            assert!(!shown.contains(line), "a key is shown");
        }
    }
}

fn faults_of_a_file_are_pointed_at(fleet: &Fleet, operator: &Operator) {
    let before = operator.answer(&["ips", "list"]);
    for (fault, value) in [
        ("address", json!("198.51.100.300")),
        ("address", json!("2001:db8::g")),
        ("address", json!("2001:db8::1::2")),
        ("colour", json!("blue")),
    ] {
        let mut document = samples::fleet(2);
        document["ips"][1][fault] = value.clone();
        let file = fleet_file(fleet, "wrong.toml", &document);
        for command in ["plan", "apply"] {
            let refused = operator.run(&[command, "-f", &file]);
            assert_eq!(refused.status.code(), Some(1), "{refused:?}");
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            let line = fs::read_to_string(&file).unwrap();
            let line = line
                .lines()
                .position(|line| line.starts_with(&format!("{fault} = {value}")));
            let place = format!("wrong.toml:{}:", line.unwrap() + 1);
            assert!(
                said.contains(&place) && said.contains(fault),
                "{place} {said}"
            );
        }
    }
    assert_eq!(operator.answer(&["ips", "list"]), before);
}

fn the_context_is_named_in_one_of_two_ways(fleet: &Fleet, operator: &Operator) {
    let nowhere = fleet.dir().join("nowhere.toml");
    let nowhere = nowhere.to_str().unwrap();
    // The argument is stronger than the environment.
    let refused = operator.run(&["tenants", "--context", nowhere]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains(nowhere));
    let mut command = std::process::Command::new(email_engine_tests::binary("email-engine"));
    command
        .env("EMAIL_ENGINE_CONTEXT", nowhere)
        .arg("--context");
    let named = command
        .arg(operator.context())
        .arg("tenants")
        .output()
        .unwrap();
    assert_eq!(named.status.code(), Some(0), "{named:?}");
}
