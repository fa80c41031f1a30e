//! The forms of time that accounting files have.

use email_engine_protocol::time::Timestamp;
use jiff::fmt::strtime;

/// With the offset of the machine's zone.
const FORMS: [&str; 2] = ["%Y-%m-%d %H:%M:%S%z", "%m/%d/%Y %H:%M:%S%z"];
/// Digits of seconds until far beyond the year 9999.
const SECONDS_DIGITS: usize = 11;

/// Reads a time, from 1970 on.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    if (1..=SECONDS_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds: u64 = text.parse().ok()?;
        return Some(Timestamp(seconds * Timestamp::SECOND));
    }
    let form = |form: &&str| strtime::parse(*form, text).ok()?.to_timestamp().ok();
    let at = FORMS.iter().find_map(form)?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_three_forms_are_one_moment() {
        let at = Some(Timestamp(1_795_240_800_000));
        for form in [
            "2026-11-21 06:00:00+0000",
            "2026-11-21 07:00:00+0100",
            "2026-11-20 22:30:00-0730",
            "11/21/2026 06:00:00+0000",
            "1795240800",
        ] {
            assert_eq!(read(form), at, "{form}");
        }
        for bad in [
            "",
            "yesterday",
            "2026-11-21 06:00:00",
            "21/11/2026 06:00:00+0000",
            "2026-02-30 06:00:00+0000",
            "1960-01-01 00:00:00+0000",
            "123456789012345678",
            "-5",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".{0,40}") {
            let _ = read(&text);
        }
    }
}
