//! A source of octoDNS. A filter with the names of our records stands on source and target: what is at
//! another name is in no plan.

use std::collections::BTreeMap;

use email_engine_protocol::api::ExportFile;
use email_engine_protocol::mail::DomainName;

use super::{file, within};
use crate::dns::wanted::{Data, TTL_SECONDS, Wanted};

pub(super) const HOW: &str = "put the files of zones into a folder `email-engine`, merge octodns.yaml into your \
     configuration and name your own provider as target. The filters keep every other name out of the plan; a name \
     on their lists should have no records but these";

/// By name inside of the zone, then by type.
type Records<'a> = BTreeMap<&'a str, BTreeMap<&'static str, Vec<&'a Data>>>;

pub(super) fn files(zones: &BTreeMap<DomainName, Vec<Wanted>>) -> Vec<ExportFile> {
    let mut files = Vec::new();
    let mut processors = String::new();
    let mut listed = String::new();
    for (zone, records) in zones {
        let mut names = Records::new();
        for record in records {
            let name = within(&record.name, zone.as_str());
            let types = names.entry(name).or_default();
            types
                .entry(record.data.kind())
                .or_default()
                .push(&record.data);
        }
        files.push(file(format!("{zone}.yaml"), zone_file(&names)));
        let filter = format!("email-engine-{}", zone.as_str().replace('.', "-"));
        processors.push_str(&format!(
            "  {filter}:\n    class: octodns.processor.filter.NameAllowlistFilter\n    allowlist:\n"
        ));
        for name in names.keys() {
            processors.push_str(&format!("      - {}\n", quoted(name)));
        }
        listed.push_str(&format!(
            "  {zone}.:\n    processors:\n      - {filter}\n    sources:\n      - email-engine\n    targets:\n      \
             - your-provider\n"
        ));
    }
    let configuration = format!(
        "---\n# Sending domains. `your-provider` stands for the provider of yours that has the zones.\n\
         providers:\n  email-engine:\n    class: octodns.provider.yaml.YamlProvider\n    directory: ./email-engine\n    \
         default_ttl: {TTL_SECONDS}\n    enforce_order: false\n    escaped_semicolons: true\nprocessors:\n{processors}zones:\n{listed}"
    );
    files.push(file("octodns.yaml".to_owned(), configuration));
    files
}

fn zone_file(names: &Records<'_>) -> String {
    let mut text = "---\n".to_owned();
    for (name, types) in names {
        text.push_str(&format!("{}:\n", quoted(name)));
        for (kind, all) in types {
            text.push_str(&format!(
                "  - type: {kind}\n    ttl: {TTL_SECONDS}\n    values:\n"
            ));
            for data in all {
                text.push_str(&value(data));
            }
        }
    }
    text
}

fn value(data: &Data) -> String {
    match data {
        Data::Mx {
            preference,
            exchanger,
        } => format!(
            "      - exchange: {}\n        preference: {preference}\n",
            quoted(&format!("{exchanger}."))
        ),
        // Written whole: octoDNS splits texts itself. It reads a bare semicolon as an error.
        Data::Txt(text) => format!("      - {}\n", quoted(&text.replace(';', "\\;"))),
        Data::Ptr(name) => format!("      - {}\n", quoted(&format!("{name}."))),
        Data::A(_) | Data::Aaaa(_) => format!("      - {}\n", quoted(&data.to_string())),
    }
}

/// A string of YAML in single quotes, in which nothing but they means anything.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
