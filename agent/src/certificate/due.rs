//! When a certificate is asked for. Pure.
//!
//! The machine's clock may be wrong by years. A certificate is never thrown away for its dates, and a
//! clock that runs ahead costs an issuance each third of a life and not one after the other: between two of
//! them there is so much time by the clock, whatever it shows, unless it was turned back.

use email_engine_protocol::time::Timestamp;

use super::record::{Attempts, Issued};

/// The shortest pause after a failure that may be anybody's, such as a server that is away.
const PAUSE: u64 = 15 * Timestamp::SECOND;
/// The same after an end of the agent itself, which is not the server's no.
const CUT_OFF: u64 = 5 * Timestamp::SECOND;
/// The longest of these.
const LONGEST_PAUSE: u64 = 3600 * Timestamp::SECOND;
/// The same after a refusal: Let's Encrypt takes five failed validations of a name in an hour.
const REFUSED_PAUSE: u64 = 20 * 60 * Timestamp::SECOND;
const LONGEST_REFUSED_PAUSE: u64 = Timestamp::DAY;
/// Longest wish of a server that is granted.
const LONGEST_WISH: u64 = 7 * Timestamp::DAY;

/// How long until the one after this is asked for, in milliseconds.
pub(crate) fn until_renewal(issued: &Issued, now: Timestamp) -> u64 {
    let third = issued.not_after.since(issued.not_before) / 3;
    let by_dates = issued.not_after.since(now.plus(third));
    // A clock that was ahead when it was issued and has been set right since: its dates count.
    let by_age = match now < issued.issued_at {
        true => 0,
        false => issued.issued_at.plus(third).since(now),
    };
    by_dates.max(by_age)
}

/// How much longer to wait after what went wrong, in milliseconds. A clock that was turned back does not
/// make it longer than the pause.
pub(crate) fn wait(attempts: &Attempts, now: Timestamp) -> u64 {
    let Some(begun_at) = attempts.begun_at else {
        return 0;
    };
    match attempts.failures {
        0 => 0,
        _ if now < begun_at => attempts.pause,
        _ => attempts.pause.saturating_sub(now.since(begun_at)),
    }
}

/// The same with a beginning that is not ahead of the clock; nothing when it is none. The clock was ahead
/// then and was set right: the pause counts from when that is seen, and not anew at every look.
pub(crate) fn straightened(attempts: &Attempts, now: Timestamp) -> Option<Attempts> {
    let is_ahead = attempts.begun_at.is_some_and(|begun_at| begun_at > now);
    is_ahead.then(|| Attempts {
        begun_at: Some(now),
        ..attempts.clone()
    })
}

/// The pause after an attempt that was cut off, so that an agent that ends again and again does not ask
/// each time.
pub(crate) fn cut_off(failures: u32) -> u64 {
    let doubled = failures.saturating_sub(1).min(20);
    CUT_OFF.saturating_mul(1 << doubled).min(LONGEST_PAUSE)
}

/// The pause after so many failures in a row. `jitter` is 0 to 1000; `wish` is what the server asked for,
/// in seconds.
pub(crate) fn pause(failures: u32, refused: bool, wish: Option<u64>, jitter: u64) -> u64 {
    let (first, longest) = match refused {
        true => (REFUSED_PAUSE, LONGEST_REFUSED_PAUSE),
        false => (PAUSE, LONGEST_PAUSE),
    };
    let doubled = failures.saturating_sub(1).min(20);
    let pause = first.saturating_mul(1 << doubled).min(longest);
    // At least what was computed, so that a limit that is counted by the hour is kept.
    let pause = pause + pause / 4000 * jitter.min(1000);
    let wish = wish.unwrap_or(0).saturating_mul(Timestamp::SECOND);
    pause.max(wish.min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pair::Pair;
    use super::*;

    const YEAR: u64 = 365 * Timestamp::DAY;
    const BEGIN: Timestamp = Timestamp(1_795_000_000_000);

    fn issued(clock_off_by: i64) -> Issued {
        Issued {
            pair: Pair {
                chain: String::new(),
                key: String::new(),
            },
            domains: Vec::new(),
            directory: String::new(),
            not_before: BEGIN,
            not_after: BEGIN.plus(90 * Timestamp::DAY),
            issued_at: Timestamp(BEGIN.0.saturating_add_signed(clock_off_by)),
        }
    }

    fn renewal(issued: &Issued, now: Timestamp) -> bool {
        until_renewal(issued, now) == 0
    }

    #[test]
    fn it_is_renewed_when_a_third_of_its_life_is_left() {
        let one = issued(0);
        for (day, expected) in [(0, false), (59, false), (61, true), (89, true), (200, true)] {
            let now = BEGIN.plus(day * Timestamp::DAY);
            assert_eq!(renewal(&one, now), expected, "day {day}");
        }
        assert!(
            !renewal(&one, Timestamp(0)),
            "a clock that lost its battery"
        );
    }

    #[test]
    fn a_clock_a_year_ahead_costs_one_issuance_and_not_a_row_of_them() {
        let ahead = BEGIN.plus(YEAR);
        assert!(renewal(&issued(0), ahead), "it looks as if it had ended");
        let year = i64::try_from(YEAR).unwrap();
        let again = issued(year);
        for day in [0, 1, 29] {
            assert!(
                !renewal(&again, ahead.plus(day * Timestamp::DAY)),
                "day {day}"
            );
        }
        assert!(renewal(&again, ahead.plus(31 * Timestamp::DAY)));
        // Set right again, its dates count.
        assert!(!renewal(&again, BEGIN.plus(Timestamp::DAY)));
        assert!(renewal(&again, BEGIN.plus(70 * Timestamp::DAY)));
    }

    #[test]
    fn fewer_than_five_refusals_happen_in_an_hour_and_a_servers_wish_is_kept() {
        let mut waited = 0;
        let mut refusals = 1;
        while waited <= Timestamp::HOUR {
            waited += pause(refusals, true, None, 0);
            refusals += 1;
        }
        assert!(refusals <= 4, "{refusals}");
        assert_eq!(pause(1, false, Some(7200), 0), 7200 * Timestamp::SECOND);
        assert_eq!(pause(1, false, Some(u64::MAX), 0), LONGEST_WISH);
        let attempts = Attempts {
            failures: 1,
            begun_at: Some(BEGIN),
            pause: 1000,
            ..Attempts::default()
        };
        assert_eq!(wait(&attempts, BEGIN.plus(400)), 600);
        assert_eq!(wait(&attempts, BEGIN.plus(YEAR)), 0);
        assert_eq!(wait(&attempts, Timestamp(0)), 1000);
    }

    proptest! {
        #[test]
        fn pauses_grow_and_stay_bounded(failures in 1_u32..200, refused: bool, jitter in 0_u64..2000) {
            let one = pause(failures, refused, None, jitter);
            let longest = if refused { LONGEST_REFUSED_PAUSE } else { LONGEST_PAUSE };
            prop_assert!(cut_off(failures) <= LONGEST_PAUSE);
            prop_assert!(one >= PAUSE && one <= longest + longest / 4);
            prop_assert!(pause(failures + 1, refused, None, 0) >= pause(failures, refused, None, 0));
        }

        /// Whatever the clock shows, an issuance is never followed by another at once.
        #[test]
        fn what_was_just_issued_is_not_due(off in any::<i32>()) {
            let one = issued(i64::from(off) * 1000);
            prop_assert!(!renewal(&one, one.issued_at.plus(Timestamp::HOUR)));
        }
    }
}
