//! Names of selectors: the declared one first, then that with the day and a number.

use email_engine_protocol::time::Timestamp;

/// Longest beginning: a hyphen, eight digits of a day and ten of a number fit behind it in one label of 63.
const BASE_CHARS: usize = 44;
/// The day of a time that has none: beyond the year 9999.
const LAST_DAY: u32 = 99_991_231;

/// The selector after the last that was given: `mail-202611221` is the first of its day. Days and numbers
/// only grow, whatever the clock says, so that no name is ever given to two keys.
#[must_use]
pub fn next_selector(
    declared: &str,
    last: Option<(u32, u32)>,
    now: Timestamp,
) -> (String, (u32, u32)) {
    let today = day(now);
    let given = match last {
        Some((day, number)) if day >= today => match number.checked_add(1) {
            Some(number) => (day, number),
            None => (day.saturating_add(1), 1),
        },
        _ => (today, 1),
    };
    let base: String = declared.chars().take(BASE_CHARS).collect();
    let base = base.trim_end_matches('-');
    (format!("{base}-{:08}{}", given.0, given.1), given)
}

/// `20261122`.
fn day(now: Timestamp) -> u32 {
    let text = now.to_string();
    let digits: String = text.chars().take(10).filter(char::is_ascii_digit).collect();
    let is_day = digits.len() == 8 && text.as_bytes().get(4) == Some(&b'-');
    is_day
        .then(|| digits.parse().ok())
        .flatten()
        .unwrap_or(LAST_DAY)
}
