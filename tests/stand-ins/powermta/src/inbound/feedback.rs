//! Complaints in ARF become `f` records.

use super::report::{field, groups, parse, part};
use crate::accounting::Record;
use crate::headers;
use crate::spool::Envelope;

/// One record for each recipient that the complaint names; none when it is no complaint.
pub(super) fn records(envelope: &Envelope, address: &str, body: &[u8], now: i64) -> Vec<Record> {
    let Some(message) = parse(body) else {
        return Vec::new();
    };
    let Some(text) = part(&message, "message", "feedback-report") else {
        return Vec::new();
    };
    let report: Vec<_> = groups(&text).into_iter().flatten().collect();
    let original = part(&message, "message", "rfc822")
        .or_else(|| part(&message, "text", "rfc822-headers"))
        .unwrap_or_default()
        .into_bytes();
    let mut recipients: Vec<String> = report
        .iter()
        .filter(|(name, _)| name == "original-rcpt-to")
        .map(|(_, value)| value.trim_matches(['<', '>']).to_owned())
        .collect();
    if recipients.is_empty() {
        let to = headers::find(&original, "to").and_then(|body| headers::address(&body));
        recipients.push(to.unwrap_or_default());
    }
    recipients
        .into_iter()
        .map(|recipient| {
            let mut record = Record::new("f", now)
                .with("repSourceIp", inner_address(&envelope.src_mta))
                .with("feedbackType", field(&report, "feedback-type"))
                .with("format", "arf")
                .with("userAgent", field(&report, "user-agent"))
                .with("envId", field(&report, "original-envelope-id"))
                .with("orig", address)
                .with("rcpt", recipient)
                .with("reportingMta", field(&report, "reporting-mta"))
                .with("dlvSourceIp", field(&report, "source-ip"))
                .with("reportedDomain", field(&report, "reported-domain"));
            for (name, value) in &report {
                record = record.with(&format!("arf_{name}"), value);
            }
            record.message.clone_from(&original);
            record
        })
        .collect()
}

/// `name (address)`.
fn inner_address(mta: &str) -> &str {
    mta.rsplit_once('(')
        .map_or("", |(_, rest)| rest.trim_end_matches(')'))
}
