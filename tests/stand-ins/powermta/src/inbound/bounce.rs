//! Delivery status notifications become `rb` and `rs` records.

use super::report::{field, groups, parse, part, untyped};
use crate::accounting::{Record, category, status_text};
use crate::engine::Engine;
use crate::spool::Envelope;

/// One record for each recipient of the report; none when it is no report.
pub(super) fn records(
    engine: &Engine,
    envelope: &Envelope,
    address: &str,
    body: &[u8],
    now: i64,
) -> Vec<Record> {
    let Some(message) = parse(body) else {
        return Vec::new();
    };
    let Some(text) = part(&message, "message", "delivery-status") else {
        return Vec::new();
    };
    let original = part(&message, "message", "rfc822")
        .or_else(|| part(&message, "text", "rfc822-headers"))
        .unwrap_or_default();
    let groups = groups(&text);
    let about = groups.first().map(Vec::as_slice).unwrap_or_default();
    let config = engine.config();
    groups
        .iter()
        .filter(|group| !field(group, "final-recipient").is_empty())
        .map(|group| {
            let action = field(group, "action").to_lowercase();
            let status = field(group, "status").split(' ').next().unwrap_or_default();
            let diagnostic = field(group, "diagnostic-code").replace("; ", ";");
            let failed = action == "failed";
            let kind = if failed { "rb" } else { "rs" };
            let mut record = Record::new(kind, now)
                .with("orig", address)
                .with("rcpt", untyped(field(group, "final-recipient")))
                .with("orcpt", untyped(field(group, "original-recipient")))
                .with("dsnAction", action)
                .with("dsnStatus", status_text(status))
                .with("dsnDiag", &diagnostic)
                .with("dsnMta", untyped(field(group, "remote-mta")))
                .with("dsnReportingMta", untyped(field(about, "reporting-mta")))
                .with("srcType", "smtp")
                .with("srcMta", &envelope.src_mta)
                .with("envId", field(about, "original-envelope-id"))
                .with("format", "dsn");
            if failed {
                record = record.with("bounceCat", category(&config, status, &diagnostic));
            }
            record.message = original.clone().into_bytes();
            record
        })
        .collect()
}
