//! Exports are read by the programs that they are for, beside records of others: nothing of theirs is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use email_engine_coordinator::dns::export::export;
use email_engine_coordinator::dns::wanted::{InZones, blocks, in_zones, of_fleet};
use email_engine_protocol::api::{DomainRecord, ExportFormat, ExportView};
use email_engine_protocol::mail::MailAddress;
use email_engine_protocol::time::Timestamp;

use crate::fixture::Fleet;

const ZONE: &str = "sos-holidays.com";

/// The zone as its owner has it, with records that are none of ours.
const FOREIGN: &str = "\
@ 3600 IN SOA ns1.example.net. hostmaster.example.net. 7 3600 600 86400 300
@ 3600 IN NS ns1.example.net.
@ 3600 IN MX 5 mx.example.net.
@ 3600 IN TXT \"v=spf1 include:_spf.example.net -all\"
www 3600 IN A 203.0.113.80
_dmarc 3600 IN TXT \"v=DMARC1; p=reject\"
shop 3600 IN CNAME www.sos-holidays.com.
";

/// The shipped fleet in the zone that its domains lie in; its reports go to another organisation, and its keys
/// are as long as real ones.
fn records() -> InZones {
    let mut fleet = Fleet::sos_holidays();
    fleet.state.tenants.change_each(|_, tenant| {
        tenant.dmarc_rua = Some(MailAddress::new("dmarc@reports.example.net").unwrap());
    });
    let mut numbers = 0..;
    fleet.state.identities.change_each(|_, identity| {
        let identity = std::sync::Arc::make_mut(identity);
        identity.spec.zone = ZONE.parse().unwrap();
        let at = numbers.next().unwrap();
        identity.dkim_public = format!("MIIBIjANBgkqhkiG9w0BAQEF{}{at}", "k".repeat(367));
    });
    in_zones(&of_fleet(&fleet.state, &|_| true, Timestamp(0)))
}

fn wanted() -> Vec<DomainRecord> {
    let all = records().zones;
    let all = all.values().flatten();
    all.map(|one| one.record()).collect()
}

fn write(dir: &Path, view: &ExportView) {
    for file in &view.files {
        std::fs::write(dir.join(&file.name), &file.text).unwrap();
    }
}

fn run(program: &str, dir: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .output()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// The records of a zone file as named-checkzone writes it out: name, type and data.
fn canonical(dir: &Path, file: &str) -> BTreeSet<String> {
    let output = run("named-checkzone", dir, &["-D", "-q", ZONE, file]);
    let output = output
        .expect("`named-checkzone` (Debian package bind9-utils, see deploy/toolchain/packages)");
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).collect()
}

#[test]
fn a_zone_file_takes_the_snippet_in_and_keeps_all_that_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let view = export(ExportFormat::Bind, &records());
    write(dir.path(), &view);
    let snippet = format!("{ZONE}.include");
    std::fs::write(dir.path().join("before"), FOREIGN).unwrap();
    // What stands behind the snippet has the origin and the TTL that it had.
    let around = format!("$TTL 60\n{FOREIGN}$INCLUDE {snippet}\nlast IN A 203.0.113.81\n");
    std::fs::write(dir.path().join("after"), around).unwrap();
    let (before, after) = (
        canonical(dir.path(), "before"),
        canonical(dir.path(), "after"),
    );
    assert_eq!(before.difference(&after).count(), 0);
    let mut added: BTreeSet<&String> = after.difference(&before).collect();
    assert!(added.remove(&"last.sos-holidays.com. 60 IN A 203.0.113.81".to_owned()));
    let wanted: BTreeSet<String> = wanted()
        .iter()
        .map(|one| format!("{}. 3600 IN {} {}", one.name, one.kind, one.value))
        .collect();
    assert_eq!(added, wanted.iter().collect(), "keys are whole");
    assert_eq!(wanted.len(), 25, "five records of each of five identities");
}

#[test]
fn a_table_has_every_record_with_its_key_whole() {
    let view = export(ExportFormat::Csv, &records());
    let mut reader = csv::Reader::from_reader(view.files[0].text.as_bytes());
    let head: Vec<_> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(head, ["name", "type", "ttl", "value", "priority"]);
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let value = match &row[4] {
            "" => row[3].to_owned(),
            priority => format!("{priority} {}", &row[3]),
        };
        assert_eq!(&row[2], "3600");
        DomainRecord {
            name: row[0].to_owned(),
            kind: row[1].to_owned(),
            value,
            until: None,
        }
    });
    assert_eq!(rows.collect::<Vec<_>>(), wanted());
}

#[test]
fn octodns_reads_the_source_and_plans_no_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let view = export(ExportFormat::Octodns, &records());
    checked_by_hand(&view);
    let source = dir.path().join("email-engine");
    std::fs::create_dir(&source).unwrap();
    write(&source, &view);
    let target = dir.path().join("target");
    std::fs::create_dir(&target).unwrap();
    let foreign = "---\nwww:\n  type: A\n  value: 203.0.113.80\n? ''\n: - type: MX\n    values:\n    - exchange: \
                   mx.example.net.\n      preference: 5\n_dmarc:\n  type: TXT\n  value: v=DMARC1\\; p=reject\n";
    std::fs::write(target.join(format!("{ZONE}.yaml")), foreign).unwrap();
    let ours = &view.files.last().unwrap().text;
    let provider = "providers:\n  your-provider:\n    class: octodns.provider.yaml.YamlProvider\n    \
                    directory: ./target\n    enforce_order: false\n    escaped_semicolons: true\n";
    let configuration = ours.replacen("providers:\n", provider, 1);
    std::fs::write(dir.path().join("octodns.yaml"), configuration).unwrap();
    let Ok(output) = run(
        "octodns-sync",
        dir.path(),
        &["--config-file", "octodns.yaml"],
    ) else {
        eprintln!("octodns-sync (PyPI: octodns) is not here: its files are checked by form alone");
        return;
    };
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    // A key of five identities: address, exchanger and policy at its domain, key, DMARC.
    assert!(said.contains("Creates=25, Updates=0, Deletes=0"), "{said}");
}

/// The form that octoDNS reads: every record at its name, texts whole with their semicolons escaped, and the
/// filter's names are those of the source and no more.
fn checked_by_hand(view: &ExportView) {
    let [zone, configuration] = &view.files[..] else {
        panic!("{:?}", view.files);
    };
    type Zone = BTreeMap<String, Vec<serde_norway::Value>>;
    let names: Zone = serde_norway::from_str(&zone.text).unwrap();
    let mut got = BTreeSet::new();
    for (name, sets) in &names {
        for set in sets {
            let kind = set["type"].as_str().unwrap();
            for value in set["values"].as_sequence().unwrap() {
                let value = match kind {
                    "MX" => format!(
                        "{} {}",
                        value["preference"].as_u64().unwrap(),
                        value["exchange"].as_str().unwrap()
                    ),
                    _ => value.as_str().unwrap().replace("\\;", ";"),
                };
                got.insert((format!("{name}.{ZONE}"), kind.to_owned(), value));
            }
        }
    }
    let whole = |record: DomainRecord| {
        let value = match record.kind.as_str() {
            "TXT" => record.value.replace("\" \"", "").replace('"', ""),
            _ => record.value,
        };
        (record.name, record.kind, value)
    };
    assert_eq!(got, wanted().into_iter().map(whole).collect());
    let configuration: serde_norway::Value = serde_norway::from_str(&configuration.text).unwrap();
    let filter = "email-engine-sos-holidays-com";
    let listed = configuration["processors"][filter]["allowlist"].as_sequence();
    let listed: Vec<&str> = listed
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert_eq!(listed, names.keys().collect::<Vec<_>>());
    let zone = &configuration["zones"]["sos-holidays.com."];
    assert_eq!(zone["processors"][0].as_str(), Some(filter));
}

/// What DNSControl's language makes of the file: the words that the export uses, over a domain that has
/// records of its own.
const LANGUAGE: &str = r#"
const fs = require("fs");
const domains = {};
const NO_PURGE = domain => { domain.keeps = true; };
const TTL = seconds => record => { record.ttl = seconds; };
const word = type => (name, ...rest) => domain => {
  const record = { name, type, ttl: 300 };
  record.data = rest.filter(one => typeof one !== "function");
  rest.filter(one => typeof one === "function").forEach(modifier => modifier(record));
  domain.records.push(record);
};
const [A, AAAA, MX, TXT] = ["A", "AAAA", "MX", "TXT"].map(word);
const D_EXTEND = (name, ...modifiers) => {
  if (!(name in domains)) throw new Error("no such domain: " + name);
  modifiers.forEach(modifier => modifier(domains[name]));
};
domains["sos-holidays.com"] = { records: [], keeps: false };
eval(fs.readFileSync("email-engine.js", "utf8"));
console.log(JSON.stringify(domains["sos-holidays.com"]));
"#;

#[test]
fn dnscontrol_extends_its_domain_and_purges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &export(ExportFormat::Dnscontrol, &records()));
    std::fs::write(dir.path().join("language.js"), LANGUAGE).unwrap();
    let output = run("node", dir.path(), &["language.js"])
        .expect("`node` (Debian package nodejs, see deploy/toolchain/packages)");
    assert!(output.status.success(), "{}", said(&output));
    let got: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(got["keeps"], true);
    let read = got["records"].as_array().unwrap().iter().map(|record| {
        assert_eq!(record["ttl"], 3600);
        let data = record["data"].as_array().unwrap();
        let value = match record["type"].as_str().unwrap() {
            "MX" => format!("{} {}", data[0], data[1].as_str().unwrap()),
            "TXT" => match &data[0] {
                serde_json::Value::Array(strings) => {
                    let quoted = strings.iter().map(ToString::to_string);
                    quoted.collect::<Vec<_>>().join(" ")
                }
                one => one.to_string(),
            },
            _ => data[0].as_str().unwrap().to_owned(),
        };
        DomainRecord {
            name: format!("{}.{ZONE}", record["name"].as_str().unwrap()),
            kind: record["type"].as_str().unwrap().to_owned(),
            value,
            until: None,
        }
    });
    assert_eq!(read.collect::<Vec<_>>(), wanted());
}

#[test]
fn what_others_must_publish_is_in_no_file_and_in_the_notes() {
    for format in ExportFormat::ALL {
        let view = export(format, &records());
        let consent = "mail1.sos-holidays.com._report._dmarc.reports.example.net";
        assert!(view.notes.iter().any(|note| note.contains(consent)));
        let elsewhere = view
            .files
            .iter()
            .any(|file| file.text.contains("_report._dmarc") || file.text.contains("in-addr.arpa"));
        assert!(!elsewhere, "{format:?}");
    }
}

#[test]
fn ways_back_are_told_by_the_block_that_a_provider_has() {
    let fleet = Fleet::two_tenants();
    let blocks = blocks(&of_fleet(&fleet.state, &|_| true, Timestamp(0)));
    let told: usize = blocks.iter().map(|block| block.pointers.len()).sum();
    assert_eq!(told, fleet.state.identities.len());
    for block in &blocks {
        let network: ipnet::IpNet = block.block.parse().unwrap();
        assert_eq!(network.prefix_len(), 24);
        assert!(
            block
                .pointers
                .iter()
                .all(|one| network.contains(&one.address))
        );
    }
}
