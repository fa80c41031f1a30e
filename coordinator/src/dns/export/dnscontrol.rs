//! Extensions of DNSControl's domains: records are added to a domain that the operator's own file has, and
//! `NO_PURGE` leaves what no file names.

use std::collections::BTreeMap;

use email_engine_protocol::api::ExportFile;
use email_engine_protocol::mail::DomainName;

use super::{file, within};
use crate::dns::wanted::{Data, TTL_SECONDS, Wanted, strings};

pub(super) const HOW: &str = "put `require(\"./email-engine.js\");` behind the domains of your dnsconfig.js; `NO_PURGE` \
     leaves what no file names";

pub(super) fn files(zones: &BTreeMap<DomainName, Vec<Wanted>>) -> Vec<ExportFile> {
    let mut text = "// Sending domains. To be required behind the D() of each zone.\n".to_owned();
    for (zone, records) in zones {
        text.push_str(&format!("D_EXTEND(\"{zone}\",\n    NO_PURGE"));
        for record in records {
            text.push_str(",\n    ");
            text.push_str(&call(record, zone.as_str()));
        }
        text.push_str("\n);\n");
    }
    vec![file("email-engine.js".to_owned(), text)]
}

fn call(record: &Wanted, zone: &str) -> String {
    let name = match within(&record.name, zone) {
        "" => "@",
        name => name,
    };
    let kind = record.data.kind();
    let data = match &record.data {
        Data::A(address) => format!("\"{address}\""),
        Data::Aaaa(address) => format!("\"{address}\""),
        Data::Mx {
            preference,
            exchanger,
        } => format!("{preference}, \"{exchanger}.\""),
        Data::Ptr(name) => format!("\"{name}.\""),
        Data::Txt(text) => {
            let strings = strings(text);
            let quoted: Vec<String> = strings.iter().map(|one| format!("\"{one}\"")).collect();
            match &quoted[..] {
                [one] => one.clone(),
                many => format!("[{}]", many.join(", ")),
            }
        }
    };
    format!("{kind}(\"{name}\", {data}, TTL({TTL_SECONDS}))")
}
