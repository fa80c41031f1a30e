//! The time, and how the product writes it.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

fn local(at: i64) -> Zoned {
    Timestamp::from_millisecond(at)
        .unwrap_or_default()
        .to_zoned(TimeZone::system())
}

/// `2019-02-08 21:54:05+0000`.
pub(crate) fn with_offset(at: i64) -> String {
    local(at).strftime("%Y-%m-%d %H:%M:%S%z").to_string()
}

/// `2019-02-08 21:54:05`.
pub(crate) fn plain(at: i64) -> String {
    local(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `2019-02-08`, as in the names of accounting files.
pub(crate) fn day(at: i64) -> String {
    local(at).strftime("%Y-%m-%d").to_string()
}

/// As a `Date:` header has it.
pub(crate) fn rfc5322(at: i64) -> String {
    local(at).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}
