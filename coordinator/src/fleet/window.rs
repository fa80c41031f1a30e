//! Times of the day at which a host may restart its product without being asked.

use std::fmt;
use std::str::FromStr;

use email_engine_protocol::time::Timestamp;

/// The label of a host that says it.
pub const LABEL: &str = "restart-window";

const MINUTE_MILLIS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;

/// From one minute of the day to another one, UTC; over midnight where the end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: u64,
    to: u64,
}

/// What a window is written as.
pub const ACCEPTED: &str = "two times of the day (UTC) that differ, such as 02:00-04:00";

/// A text is no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accepted is {ACCEPTED}")]
pub struct NoWindow;

impl FromStr for Window {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let (from, to) = text.split_once('-').ok_or(NoWindow)?;
        let (from, to) = (minute(from)?, minute(to)?);
        if from == to {
            return Err(NoWindow);
        }
        Ok(Self { from, to })
    }
}

fn minute(text: &str) -> Result<u64, NoWindow> {
    let [h1, h2, b':', m1, m2] = *text.as_bytes() else {
        return Err(NoWindow);
    };
    let number = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| u64::from(tens - b'0') * 10 + u64::from(ones - b'0'))
    };
    match (number(h1, h2), number(m1, m2)) {
        (Some(hours @ 0..=23), Some(minutes @ 0..=59)) => Ok(hours * 60 + minutes),
        _ => Err(NoWindow),
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        let (f1, f2, t1, t2) = (from / 60, from % 60, to / 60, to % 60);
        write!(f, "{f1:02}:{f2:02}-{t1:02}:{t2:02}")
    }
}

impl Window {
    /// Whether it is open: from its first minute on, and no more in its last.
    #[must_use]
    pub const fn is_open(&self, now: Timestamp) -> bool {
        let minute = (now.0 / MINUTE_MILLIS) % DAY_MINUTES;
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hours: u64, minutes: u64, millis: u64) -> Timestamp {
        // Some day in 2026.
        Timestamp(20_500 * 86_400_000 + (hours * 60 + minutes) * MINUTE_MILLIS + millis)
    }

    fn open(window: &str, hours: u64, minutes: u64) -> bool {
        window
            .parse::<Window>()
            .unwrap()
            .is_open(at(hours, minutes, 59_999))
    }

    #[test]
    fn a_window_is_open_from_its_first_minute_to_the_one_before_its_last() {
        for (hours, minutes, is_open) in [
            (1, 59, false),
            (2, 0, true),
            (3, 59, true),
            (4, 0, false),
            (14, 0, false),
        ] {
            assert_eq!(
                open("02:00-04:00", hours, minutes),
                is_open,
                "{hours}:{minutes}"
            );
        }
    }

    #[test]
    fn a_window_over_midnight_is_open_on_both_sides_of_it() {
        for (hours, minutes, is_open) in [
            (22, 29, false),
            (22, 30, true),
            (23, 59, true),
            (0, 0, true),
            (1, 14, true),
            (1, 15, false),
            (12, 0, false),
        ] {
            assert_eq!(
                open("22:30-01:15", hours, minutes),
                is_open,
                "{hours}:{minutes}"
            );
        }
        assert!(open("23:00-00:00", 23, 59) && !open("23:00-00:00", 0, 0));
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "02:00",
            "2:00-4:00",
            "02:00-02:00",
            "24:00-01:00",
            "02:60-04:00",
            "02:00 - 04:00",
            "02:00-04:00 ",
            "a2:00-04:00",
            "02:00-04:00-06:00",
        ] {
            assert_eq!(text.parse::<Window>(), Err(NoWindow), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_window_and_the_one_from_its_end_to_its_begin_share_no_minute(
            from in 0_u64..DAY_MINUTES, to in 0_u64..DAY_MINUTES, now in 0_u64..u64::MAX / 2,
        ) {
            prop_assume!(from != to);
            let (one, other) = (Window { from, to }, Window { from: to, to: from });
            prop_assert_ne!(one.is_open(Timestamp(now)), other.is_open(Timestamp(now)));
            prop_assert_eq!(one.to_string().parse(), Ok(one));
        }
    }
}
