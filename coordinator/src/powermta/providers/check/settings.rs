//! Directives with one value each, and days.

use std::collections::BTreeMap;

use super::super::super::is_file_path;
use super::super::super::schema::{Scope, Standing, directive};
use super::super::error::CatalogueError;
use super::super::model::Spool;
use super::refuse;

/// Directives of a `<domain>` that a provider may set: how fast, how often, how it slows down,
/// what of it the log holds.
pub(in super::super) const SETTINGS: [&str; 35] = [
    "backoff-max-connect-rate",
    "backoff-max-data-volume-rate",
    "backoff-max-msg-rate",
    "backoff-max-smtp-out",
    "backoff-retry-after",
    "backoff-to-normal-after",
    "backoff-to-normal-after-delivery",
    "backoff-upon-all-sources-disabled",
    "bounce-after",
    "bounce-upon-5xx-greeting",
    "bounce-upon-no-mx",
    "connect-timeout",
    "connection-idle-timeout",
    "data-send-timeout",
    "log-commands",
    "log-connections",
    "log-disabled-ips",
    "log-resolution",
    "log-tls",
    "log-transfer-failures",
    "max-connect-rate",
    "max-data-volume-rate",
    "max-errors-per-connection",
    "max-msg-per-connection",
    "max-msg-rate",
    "max-rcpt-per-transaction",
    "max-smtp-out",
    "reenable-source-ip-after",
    "retry-after",
    "retry-recipients-after",
    "retry-upon-new-mail",
    "smtp-421-means-mx-unavailable",
    "smtp-553-means-invalid-mailbox",
    "smtp-greeting-timeout",
    "smtp-out-rampup-interval",
];

/// Directives outside of sections that a base may set.
pub(in super::super) const GLOBAL: [&str; 6] = [
    "log-auto-rotation",
    "log-file",
    "log-file-world-readable",
    "log-rotate",
    "spool-delete-corrupted",
    "spool-max-recipients",
];

/// Directives of a `<spool>` that a base may set.
pub(in super::super) const SPOOL: [&str; 4] = [
    "delete-file-holders",
    "deliver-only",
    "min-free-space",
    "priority",
];

/// A day of the calendar.
pub(in super::super) fn date(file: &str, text: &str) -> Result<(), CatalogueError> {
    let day = text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    if day {
        Ok(())
    } else {
        Err(refuse(file, "checked", text, "a day as YYYY-MM-DD"))
    }
}

pub(in super::super) fn global(
    file: &str,
    lines: &BTreeMap<String, String>,
) -> Result<(), CatalogueError> {
    settings(file, "global", lines, Scope::Global, &GLOBAL)
}

pub(in super::super) fn spools(file: &str, spools: &[Spool]) -> Result<(), CatalogueError> {
    for spool in spools {
        if !is_file_path(&spool.path) {
            let accepted = "an absolute path of letters, digits, dots, dashes and slashes";
            return Err(refuse(file, "spool.path", &spool.path, accepted));
        }
        settings(file, "spool", &spool.settings, Scope::Spool, &SPOOL)?;
    }
    Ok(())
}

/// Keywords that may stand there, with one value that each takes.
pub(super) fn settings(
    file: &str,
    table: &str,
    lines: &BTreeMap<String, String>,
    scope: Scope,
    allowed: &[&str],
) -> Result<(), CatalogueError> {
    for (keyword, value) in lines {
        if !allowed.contains(&keyword.as_str()) {
            let accepted = format!("one of {}", allowed.join(", "));
            return Err(refuse(file, table, keyword, accepted));
        }
        setting(scope, keyword, value)
            .map_err(|accepted| refuse(file, &format!("{table}.{keyword}"), value, accepted))?;
    }
    Ok(())
}

/// Whether a value can be written behind a keyword; else what would be accepted.
pub(in super::super) fn setting(scope: Scope, keyword: &str, value: &str) -> Result<(), String> {
    let known = directive(scope, keyword)
        .filter(|known| known.standing == Standing::Documented && known.arguments.len() == 1);
    let Some(kind) = known.and_then(|known| known.arguments.first()) else {
        return Err("a documented directive with one value".to_owned());
    };
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"#\"<>".contains(c);
    if value.is_empty() || !value.chars().all(plain) {
        return Err(kind.accepted());
    }
    kind.check(value)
}
