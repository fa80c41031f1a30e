//! An earlier configuration as the fleet's base.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use email_engine_coordinator::planner::builtin_bundle;
use email_engine_coordinator::powermta::lint::{Options, lint};
use email_engine_coordinator::powermta::providers::{
    BASE_PATH, Base, Catalogue, Imported, Note, Verdict, import,
};
use email_engine_coordinator::powermta::schema::Version;
use email_engine_coordinator::powermta::syntax::Sources;
use email_engine_coordinator::powermta::{Configuration, render};
use email_engine_protocol::mail::MailAddress;

use crate::fixture::{Fleet, texts};
use crate::going_live::transaction;
use crate::golden::golden;

const EARLIER: &str = include_str!("golden/import.conf");

fn taken_over(name: &str, text: &str) -> Imported {
    import(
        &Sources::single(name, text),
        Version::V5_0,
        name,
        "2026-11-21",
    )
}

fn line(note: &Note) -> String {
    let verdict = match note.verdict {
        Verdict::Changed => "changed",
        Verdict::Dropped => "dropped",
        Verdict::Taken => "taken",
    };
    let why = if note.why.is_empty() {
        String::new()
    } else {
        format!(": {}", note.why)
    };
    let code = note
        .code
        .map(|code| format!(" [{code}]"))
        .unwrap_or_default();
    format!("{:>3} {verdict:<7} {}{why}{code}\n", note.line, note.what)
}

/// A host with nothing but what is known of receivers.
fn rendered(catalogue: Catalogue) -> String {
    render(&Configuration {
        admin_address: Ipv4Addr::new(198, 51, 100, 20),
        host_name: None,
        postmaster: Some(MailAddress::new("postmaster@example.net").unwrap()),
        management_port: 1983,
        accounting_max_size: "50M".to_owned(),
        version: Version::V5_0,
        certificate: None,
        catalogue: catalogue.into(),
        extra: None,
        tenants: BTreeMap::new(),
        mailboxes: BTreeMap::new(),
        identities: BTreeMap::new(),
        leaving: BTreeMap::new(),
    })
}

fn catalogue(base: &Base, mut files: BTreeMap<String, String>) -> Catalogue {
    files.insert(BASE_PATH.to_owned(), base.to_toml().unwrap());
    Catalogue::examined(&files).unwrap()
}

#[test]
fn a_long_configuration_is_taken_over_as_it_was_read_and_found_good() {
    let imported = taken_over("config", EARLIER);
    let notes: String = imported.notes.iter().map(line).collect();
    golden("import.notes", &notes);
    golden("import.base", &imported.base.to_toml().unwrap());
    let merged = rendered(catalogue(&imported.base, builtin_bundle()));
    golden("imported.config", &merged);
}

#[test]
fn the_log_that_must_stay_quiet_is_where_the_configuration_says() {
    let base = taken_over("config", EARLIER).base.to_toml().unwrap();
    let elsewhere = "log-file /var/log/pmta/own.log\n";
    for (files, log) in [
        (vec![], "/var/log/pmta/log"),
        (vec![(BASE_PATH, base.as_str())], "/var/log/pmta/pmta.log"),
        (
            vec![
                (BASE_PATH, base.as_str()),
                ("powermta/extra.conf", elsewhere),
            ],
            "/var/log/pmta/own.log",
        ),
    ] {
        let mut fleet = Fleet::sos_holidays();
        for (path, text) in files {
            fleet = fleet.with_file(path, text);
        }
        let planned = fleet.plan("pmta1");
        let text = &texts(&planned)["/etc/pmta/config"];
        let last = text
            .lines()
            .filter_map(|line| line.strip_prefix("log-file "))
            .next_back();
        assert_eq!(last, Some(log));
        let quiet: Vec<_> = transaction(&planned)
            .logs()
            .map(ToString::to_string)
            .collect();
        assert_eq!(quiet, [log, "/var/log/pmta/pmta-startuperr.log"]);
    }
}

#[test]
fn every_line_that_says_something_has_a_note() {
    let imported = taken_over("config", EARLIER);
    let noted: BTreeSet<u32> = imported.notes.iter().map(|note| note.line).collect();
    let mut depth = 0;
    let mut section = 0;
    for (number, line) in (1_u32..).zip(EARLIER.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with("</") {
            depth -= 1;
            continue;
        }
        if line.starts_with('<') {
            depth += 1;
            section = if depth == 1 { number } else { section };
        }
        let macros = line.starts_with("domain-macro");
        // A section that is dropped as a whole has one note; lists and names are told line by line.
        let told = noted.contains(&number) || depth > 0 && noted.contains(&section);
        let bound = line.starts_with("smtp-pattern-list") || line.starts_with("smtp-hosts");
        let head = line.starts_with("<mx-rollup")
            || line.starts_with("<smtp-pattern-list")
            || line.starts_with("<bounce-category");
        assert!(
            line.is_empty() || macros || bound || head || told,
            "line {number}: {line}"
        );
    }
}

#[test]
fn neither_addresses_nor_secrets_are_in_what_is_taken_or_told() {
    let imported = taken_over("config", EARLIER);
    let notes: String = imported.notes.iter().map(line).collect();
    for text in [imported.base.to_toml().unwrap(), notes] {
        for secret in [
            "192.0.2",
            "192\\.0\\.2",
            "198.51.100",
            "203.0.113",
            "10.1.2",
            "correct-horse",
            "boss",
            "Zk3v9",
            "global-old",
            "s1.example",
            "/etc/pmta/keys",
            "abuse@",
        ] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn what_was_rendered_from_a_base_gives_the_same_base() {
    let first = taken_over("config", EARLIER).base;
    let again = taken_over("config", &rendered(catalogue(&first, BTreeMap::new()))).base;
    assert_eq!(again.to_toml().unwrap(), first.to_toml().unwrap());
    // With the catalogue behind it the base holds all that the text says, and stays so.
    let whole = taken_over("config", &rendered(catalogue(&first, builtin_bundle()))).base;
    let again = taken_over("config", &rendered(catalogue(&whole, builtin_bundle()))).base;
    assert_eq!(again.to_toml().unwrap(), whole.to_toml().unwrap());
}

#[test]
fn a_base_is_rendered_without_a_finding_by_the_rules_of_both_versions() {
    let base = taken_over("config", EARLIER).base;
    for files in [BTreeMap::new(), builtin_bundle()] {
        let text = rendered(catalogue(&base, files));
        for version in [Version::V4_5, Version::V5_0] {
            let options = Options {
                version,
                ..Options::default()
            };
            let found = lint(&Sources::single("config", &text), &options).findings;
            assert!(found.is_empty(), "{version:?}: {found:#?}");
        }
    }
}
