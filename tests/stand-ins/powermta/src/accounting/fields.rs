//! Which fields a record type has, and which of them a file wants.

use super::record::Record;
use crate::config::AccountingFile;
use crate::headers;

const DELIVERY: &str = "timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,\
    bounceCat,srcType,srcMta,dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,vmta,\
    jobId,envId,queue,vmtaPool";
const QUEUE: &str = "timeLogged,dsnStatus,dsnDiag,dsnMta,dlvType,dlvSourceIp,dlvDestinationIp,vmta,\
    queue";
const RECEIPT: &str = "timeLogged,orig,rcpt,orcpt,srcType,srcMta,rcvSourceIp,rcvDestinationIp,vmta,\
    jobId,envId,vmtaPool";
const REMOTE: &str = "timeLogged,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,\
    dsnReportingMta,bounceCat,srcType,srcMta,envId,format";
const COMPLAINT: &str = "timeLogged,repSourceIp,feedbackType,format,userAgent,envId,orig,rcpt,\
    reportingMta,dlvSourceIp,reportedDomain,header_From,header_Return-Path,header_X-job,\
    header_Subject";

fn all_of(kind: &str) -> impl Iterator<Item = &'static str> {
    let list = match kind {
        "tq" => QUEUE,
        "r" => RECEIPT,
        "rb" | "rs" => REMOTE,
        "f" => COMPLAINT,
        _ => DELIVERY,
    };
    list.split(',').map(str::trim)
}

/// The fields that a file has for a type: `*`, names, and `!name` against them.
pub(super) fn wanted(file: &AccountingFile, kind: &str) -> Vec<String> {
    let Some((_, written)) = file.fields.iter().rev().find(|(own, _)| own == kind) else {
        return all_of(kind).map(str::to_owned).collect();
    };
    let mut fields: Vec<String> = Vec::new();
    for name in written {
        if name == "*" {
            fields.extend(all_of(kind).map(str::to_owned));
        } else if let Some(excluded) = name.strip_prefix('!') {
            fields.retain(|known| !known.eq_ignore_ascii_case(excluded));
        } else if !fields.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            fields.push(name.clone());
        }
    }
    fields
}

/// The header line: `type`, and the union of what the types of the file have.
pub(super) fn columns(file: &AccountingFile) -> Vec<String> {
    let mut columns = vec!["type".to_owned()];
    for kind in &file.records {
        for field in wanted(file, kind) {
            if !columns
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&field))
            {
                columns.push(field);
            }
        }
    }
    columns
}

/// A row for a header line.
pub(super) fn row(file: &AccountingFile, columns: &[String], record: &Record) -> Vec<String> {
    let wanted = wanted(file, record.kind);
    let iso = file.settings.flag("iso-times").unwrap_or(true);
    columns
        .iter()
        .map(|column| {
            if column == "type" {
                return record.kind.to_owned();
            }
            let has = wanted
                .iter()
                .any(|field| field.eq_ignore_ascii_case(column));
            if has {
                value(file, record, column, iso)
            } else {
                String::new()
            }
        })
        .collect()
}

fn value(file: &AccountingFile, record: &Record, column: &str, iso: bool) -> String {
    // The first header that the message has; without any the field stays as it is.
    let mut mapped = file
        .mapped
        .iter()
        .filter(|(kind, _, field)| kind == record.kind && field.eq_ignore_ascii_case(column))
        .filter_map(|(_, header, _)| header_value(record, header));
    if let Some(mapped) = mapped.next() {
        return mapped;
    }
    match column {
        "timeLogged" => time(record.at, iso),
        "timeQueued" => record.queued.map_or_else(String::new, |at| time(at, iso)),
        "totalSecondsQueued" => record.queued.map_or_else(String::new, |queued| {
            ((record.at - queued) / 1_000).to_string()
        }),
        "userString" => file
            .settings
            .text("user-string")
            .unwrap_or_default()
            .to_owned(),
        _ => header_value(record, column).unwrap_or_else(|| record.field(column).to_owned()),
    }
}

fn header_value(record: &Record, column: &str) -> Option<String> {
    let lower = column.to_lowercase();
    let name = lower.strip_prefix("header_")?;
    let body = headers::find(&record.message, name)?;
    Some(body.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn time(at: i64, iso: bool) -> String {
    if iso {
        crate::clock::with_offset(at)
    } else {
        (at / 1_000).to_string()
    }
}
