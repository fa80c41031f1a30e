//! `apply` and `plan`: a fleet file becomes the fleet, and what it omits goes only when told to.

use std::fs;

use email_engine_tests::{Fleet, Operator, samples};
use serde_json::{Value, json};

/// What an answer of `plan` or `apply` says it changes.
fn changes(answer: &Value) -> Vec<String> {
    let text = |change: &Value, field: &str| change[field].as_str().unwrap().to_owned();
    let one = |change: &Value| {
        let [action, kind, name] = ["action", "kind", "name"].map(|field| text(change, field));
        format!("{action} {kind} {name}")
    };
    answer["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(one)
        .collect()
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap()
}

/// Runs `plan`, which exits 2 here, and gives its answer.
fn planned(operator: &Operator, arguments: &[&str]) -> Value {
    let asked = [&["plan", "--output", "json"], arguments].concat();
    serde_json::from_str(&operator.prints(2, &asked)).unwrap()
}

const ALL: [&str; 6] = [
    "create tenant client-1",
    "create host mailwizz1",
    "create host pmta1",
    "create host api1",
    "create ip 198.51.100.1",
    "create ip 198.51.100.2",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_file_is_planned_and_applied_once() {
    let fleet = Fleet::single().await;
    let operator = Operator::of(&fleet);
    let file = operator.file("fleet.toml", &samples::fleet(2));

    let plan = planned(&operator, &["-f", file]);
    assert_eq!(changes(&plan), ALL);
    let hosts = plan["hosts"].as_array().unwrap().iter();
    let hosts: Vec<_> = hosts.map(|host| host["host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["api1", "mailwizz1", "pmta1"]);
    assert!(!plan.to_string().contains("PRIVATE KEY"), "{plan}");
    let text = operator.prints(2, &["plan", "-f", file]);
    let counts = "Would change: 6 to create, 0 to update, 0 to remove (at revision ";
    assert!(last_line(&text).starts_with(counts), "{text}");
    let line = "smtp-source-host 198.51.100.1 mail1.example.net";
    assert!(text.contains(line), "lines of files on hosts: {text}");
    let short = operator.prints(2, &["plan", "-f", file, "--no-diff"]);
    assert!(!short.contains(line), "{short}");
    let dry = operator.answer(&["apply", "-f", file, "--dry-run"]);
    assert_eq!(
        (changes(&dry), &dry["applied"]),
        (owned(&ALL), &json!(false))
    );
    assert_eq!(
        operator.answer(&["tenants"]),
        json!([]),
        "nothing was changed"
    );

    let why = ["--reason", "the first fleet"];
    let text = operator.prints(0, &[&["apply", "-f", file], &why[..]].concat());
    let counts = "Applied: 6 created, 0 updated, 0 removed (revision ";
    assert!(last_line(&text).starts_with(counts), "{text}");
    let audit = operator.answer(&["audit"]);
    let by_reason = |entry: &&Value| entry["reason"] == "the first fleet";
    assert!(
        audit
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| by_reason(&entry)),
        "{audit}"
    );
    assert_eq!(
        operator.answer(&["ips", "list"]).as_array().unwrap().len(),
        2
    );

    for arguments in [["plan", "-f", file], ["apply", "-f", file]] {
        let text = operator.prints(0, &arguments);
        assert!(text.starts_with("Nothing to change (revision "), "{text}");
        assert_eq!(operator.answer(&arguments)["changes"], json!([]));
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_omits_goes_only_when_told_to_and_each_removal_is_listed() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(3)).await;
    let operator = Operator::of(&fleet);
    let mut document = samples::fleet(1);
    document["hosts"]
        .as_array_mut()
        .unwrap()
        .retain(|host| host["id"] != "api1");
    let file = operator.file("less.toml", &document);
    let declared = || {
        let hosts = operator.answer(&["hosts"]);
        let hosts = hosts.as_array().unwrap();
        let hosts = hosts.iter().filter(|host| host["lifecycle"] == "declared");
        (
            hosts.count(),
            operator.answer(&["ips"]).as_array().unwrap().len(),
        )
    };
    let _ = operator.prints(0, &["apply", "-f", file]);
    assert_eq!(
        declared(),
        (3, 3),
        "the file omits three objects, and they stay"
    );

    let removals = [
        "remove ip 198.51.100.2",
        "remove ip 198.51.100.3",
        "remove host api1",
    ];
    assert_eq!(
        changes(&planned(&operator, &["-f", file, "--prune"])),
        removals
    );
    let asked = operator.notes(1, &["apply", "-f", file, "--prune"]);
    for removal in removals {
        assert!(asked.contains(&format!("will {removal}\n")), "{asked}");
    }
    let refused = "--prune would take out 3 objects and there is no terminal to ask on: nothing was \
                   changed; say --yes to allow it";
    assert!(asked.contains(refused), "{asked}");
    assert_eq!(declared(), (3, 3), "nobody said yes");

    let done = operator.run(&["apply", "-f", file, "--prune", "--yes"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let listed = String::from_utf8(done.stderr).unwrap();
    for removal in removals {
        assert!(listed.contains(&format!("will {removal}\n")), "{listed}");
    }
    assert_eq!(declared(), (2, 1));
    let _ = operator.prints(0, &["plan", "-f", file, "--prune"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_file_still_needs_is_kept_and_named() {
    let fleet = Fleet::single().await;
    let mut document = samples::fleet(2);
    let second = json!({ "id": "pmta2", "role": "powermta", "addresses": ["192.0.2.21"] });
    document["hosts"].as_array_mut().unwrap().push(second);
    document["ips"][1]["host"] = json!("pmta2");
    let operator = Operator::of(&fleet);

    // The same pool on two hosts, as a file has it that never speaks of pools.
    for identity in document["ips"].as_array_mut().unwrap() {
        identity["pool"] = json!("client-1-pool");
    }
    let file = operator.file("two.toml", &document);
    for command in ["plan", "apply"] {
        let said = operator.notes(1, &[command, "-f", file]);
        assert!(said.starts_with("error: two.toml:"), "{said}");
        let expected = ": ips[1].pool \"client-1-pool\": a pool holds identities of one tenant \
                        on one host, and this one holds those of host pmta1: give this identity \
                        another `pool`\n";
        assert!(said.contains(expected), "{said}");
    }
    document["ips"][1]["pool"] = json!("client-1-second");
    let _ = operator.prints(0, &["apply", "-f", operator.file("two.toml", &document)]);

    // The host is declared no longer, but the file still names its identity.
    let mut less = samples::fleet(2);
    less["ips"][1].as_object_mut().unwrap().remove("host");
    let file = operator.file("less.toml", &less);
    let kept =
        "warning: host pmta2 is kept although the file does not declare it: it has 198.51.100.2";
    for arguments in [
        &["plan", "-f", file, "--prune"][..],
        &["apply", "-f", file, "--prune", "--yes"],
    ] {
        let output = operator.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.lines().any(|line| line == kept), "{said}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("Nothing to change (revision "), "{said}");
    }
    let moved = operator.answer(&["ips", "show", "198.51.100.2"]);
    assert_eq!(moved["host"], "pmta2");
}

/// A fault: what is put where, in the second identity or the first host, the text that the line begins
/// with then, the column, and what is said.
type Fault = (&'static str, Value, &'static str, usize, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_file_is_pointed_at_and_changes_nothing() {
    let fleet = Fleet::single().await;
    fleet.apply(&samples::fleet(2)).await;
    let operator = Operator::of(&fleet);
    let before = operator.answer(&["ips", "list"]);
    let faults: [Fault; 7] = [
        (
            "/ips/1/address",
            json!("198.51.100.300"),
            "address",
            11,
            "invalid IP address syntax",
        ),
        (
            "/ips/1/address",
            json!("2001:db8::g"),
            "address",
            11,
            "invalid IP address syntax",
        ),
        (
            "/ips/1/address",
            json!("2001:db8::1::2"),
            "address",
            11,
            "invalid IP address syntax",
        ),
        (
            "/ips/1/address",
            json!(5),
            "address",
            11,
            "expected IP address",
        ),
        (
            "/ips/1/colour",
            json!("blue"),
            "colour",
            1,
            "unknown field `colour`, expected one of",
        ),
        (
            "/hosts/0/addresses",
            json!("192.0.2.10"),
            "addresses",
            13,
            "expected a sequence",
        ),
        (
            "/hosts/0/role",
            json!("Mail"),
            "role",
            8,
            "role \"Mail\" is not valid: api, mailwizz, powermta",
        ),
    ];
    for (place, value, key, column, said) in faults {
        let mut document = samples::fleet(2);
        let (parent, name) = place.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[name] = value.clone();
        let file = operator.file("wrong.toml", &document);
        let text = fs::read_to_string(operator.folder().join(file)).unwrap();
        let line = format!("{key} = {value}");
        let at = text.lines().position(|found| found == line).unwrap() + 1;
        for command in ["plan", "apply"] {
            let told = operator.notes(1, &[command, "-f", file]);
            let begins = format!("error: wrong.toml:{at}:{column}: ");
            assert!(
                told.starts_with(&begins) && told.contains(said),
                "{begins}{said}: {told}"
            );
            assert!(
                told.contains(&format!("\n{at} | {line}\n")),
                "the line itself: {told}"
            );
        }
    }
    assert_eq!(operator.answer(&["ips", "list"]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_text_says_what_it_is_instead() {
    let fleet = Fleet::single().await;
    let operator = Operator::of(&fleet);
    let text = toml::to_string(&samples::fleet(1)).unwrap();
    let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
    let utf_16 = "is UTF-16 text: save it as UTF-8";
    for (bytes, said) in [
        (
            [&[0xff, 0xfe][..], &wide(u16::to_le_bytes)].concat(),
            utf_16,
        ),
        (
            [&[0xfe, 0xff][..], &wide(u16::to_be_bytes)].concat(),
            utf_16,
        ),
        (
            b"a = 1\nb = \"\xe9\"\n".to_vec(),
            "is not UTF-8 text: byte 0xe9 in line 2",
        ),
        (
            b"\x7fELF\x02\x01\x01\x00".to_vec(),
            "is not text: it has a NUL byte in line 1",
        ),
    ] {
        fs::write(operator.folder().join("fleet.toml"), bytes).unwrap();
        for command in ["plan", "apply"] {
            let told = operator.notes(1, &[command, "-f", "fleet.toml"]);
            assert_eq!(told.trim_end(), format!("error: fleet.toml {said}"));
        }
    }
    assert_eq!(operator.answer(&["tenants"]), json!([]));
}
