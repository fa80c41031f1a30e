//! Rows of a table, as pages of providers take them.

use std::collections::BTreeMap;

use email_engine_protocol::api::ExportFile;
use email_engine_protocol::mail::DomainName;

use super::file;
use crate::dns::wanted::{Data, TTL_SECONDS, Wanted};

pub(super) const HOW: &str = "add the rows to your zones; texts are in strings of at most 255 bytes, as a zone file has \
     them";

pub(super) fn files(zones: &BTreeMap<DomainName, Vec<Wanted>>) -> Vec<ExportFile> {
    let mut text = "name,type,ttl,value,priority\n".to_owned();
    for record in zones.values().flatten() {
        let (value, priority) = match &record.data {
            Data::Mx {
                preference,
                exchanger,
            } => (format!("{exchanger}."), preference.to_string()),
            data => (data.to_string(), String::new()),
        };
        let ttl = TTL_SECONDS.to_string();
        let cells = [&record.name, record.data.kind(), &ttl, &value, &priority];
        let cells: Vec<String> = cells.into_iter().map(cell).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    vec![file("dns-records.csv".to_owned(), text)]
}

/// Quoted where a comma, a quote or a line's end asks for it (RFC 4180).
fn cell(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", value.replace('"', "\"\""));
    }
    value.to_owned()
}
