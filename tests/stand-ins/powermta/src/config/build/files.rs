//! Accounting files, and lists of addresses that live in files of their own.

use std::fs;

use crate::config::error::{At, ConfigError};
use crate::config::model::{AccountingFile, AddressMatch};
use crate::config::parse::{Section, word};
use crate::config::pattern::Expression;
use crate::config::value::Value;

const LEAST_FILE: u64 = 1 << 20;

/// Short and long names of the record types.
const TYPES: [(&str, &[&str]); 8] = [
    ("d", &["delivery"]),
    ("b", &["bounce", "bounced"]),
    ("t", &["transient"]),
    ("tq", &["transient-queue"]),
    ("r", &["receipt", "received"]),
    ("f", &["feedback-loop", "fbl"]),
    ("rb", &["remote-bounce"]),
    ("rs", &["remote-status"]),
];

fn record_type(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    TYPES
        .iter()
        .find(|(short, long)| *short == name || long.contains(&name.as_str()))
        .map(|(short, _)| *short)
}

pub(super) fn accounting(section: &Section) -> Result<AccountingFile, ConfigError> {
    let mut file = AccountingFile {
        target: section.argument.clone(),
        records: Vec::new(),
        fields: Vec::new(),
        mapped: Vec::new(),
        settings: super::settings(section),
    };
    let piped = file.target.starts_with('|');
    let path = file.target.trim_start_matches('|');
    if !path.starts_with('/') {
        let what = format!("absolute path expected instead of '{path}'");
        return Err(section.at.value(what));
    }
    for entry in super::entries(section) {
        let known = |name: &String| {
            record_type(name).ok_or_else(|| {
                entry
                    .at
                    .value(format!("record type expected instead of '{name}'"))
            })
        };
        match (entry.name, entry.values.as_slice()) {
            ("records", _) if !file.records.is_empty() => {
                return Err(entry.at.value("records may stand once in a section"));
            }
            ("records", [Value::List(list)]) => {
                for name in list {
                    file.records.push(known(name)?.to_owned());
                }
            }
            ("record-fields", [Value::Text(name), Value::List(list)]) => {
                file.fields.push((known(name)?.to_owned(), list.clone()));
            }
            ("map-header-to-field", [Value::Text(name), Value::Text(header), Value::Text(to)]) => {
                if !header.to_lowercase().starts_with("header_") {
                    return Err(entry
                        .at
                        .value(format!("header_NAME expected, not '{header}'")));
                }
                let mapping = (known(name)?.to_owned(), header.clone(), to.clone());
                file.mapped.push(mapping);
            }
            ("max-size", [Value::Count(Some(size))]) if *size < LEAST_FILE => {
                return Err(entry.at.value("max-size: at least 1M is needed"));
            }
            ("retry-interval" | "write-timeout", _) if !piped => {
                let what = format!("{} is only for pipes", entry.name);
                return Err(entry.at.value(what));
            }
            _ => {}
        }
    }
    if file.records.is_empty() {
        file.records = vec!["d".to_owned(), "b".to_owned()];
    }
    Ok(file)
}

/// One address, local part, domain or expression a line.
pub(super) fn addresses(path: &str, at: &At) -> Result<Vec<AddressMatch>, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|error| at.value(format!("cannot read {path}: {error}")))?;
    let mut list = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (first, _) = word(line);
        if first.is_empty() {
            continue;
        }
        let inner = first
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        list.push(match inner {
            Some(inner) => {
                let compiled = Expression::new(inner).map_err(|what| at.value(what))?;
                AddressMatch::Expression(compiled)
            }
            None => AddressMatch::Address(first.to_owned()),
        });
    }
    Ok(list)
}
