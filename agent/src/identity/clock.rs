//! What time it is for judging certificates, on a machine whose clock may be broken.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use email_engine_protocol::time::Timestamp;

use super::Validity;

/// The machine's clock, corrected by what signatures prove.
///
/// A clock that is behind is lifted to the newest time that a valid signature vouched for. A clock
/// that stands outside the life of a certificate that was issued *just now* is proven wrong, and
/// the certificate's beginning is used instead, going on by the monotonic clock: every certificate
/// begins equally long before it is issued, so those of the coordinators are valid then as well.
#[derive(Debug)]
pub struct Clock {
    floor: Timestamp,
    corrected: Option<(Instant, Timestamp)>,
}

impl Clock {
    /// A clock that never shows less than `floor`.
    #[must_use]
    pub const fn new(floor: Timestamp) -> Self {
        Self {
            floor,
            corrected: None,
        }
    }

    /// The time to judge by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let shown = self.corrected.map_or_else(system, |(since, at)| {
            at.plus(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
        });
        shown.max(self.floor)
    }

    /// The time below which it does not show any.
    #[must_use]
    pub const fn floor(&self) -> Timestamp {
        self.floor
    }

    /// A valid signature was made at this time: it is not earlier now. Returns whether that is news
    /// of more than an hour, worth remembering on disk.
    pub fn at_least(&mut self, vouched: Timestamp) -> bool {
        let news = vouched.since(self.floor) > Timestamp::HOUR;
        self.floor = self.floor.max(vouched);
        news
    }

    /// A certificate with this life was issued this moment.
    pub fn issued_now(&mut self, validity: Validity) {
        self.corrected = if validity.contains(system()) {
            None
        } else {
            Some((Instant::now(), validity.not_before))
        };
        self.floor = self.floor.max(validity.not_before);
        if self.floor >= validity.not_after {
            // The floor itself came from a clock that ran ahead.
            self.floor = validity.not_before;
        }
    }
}

fn system() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_is_lifted_to_what_was_signed() {
        let future = system().plus(30 * Timestamp::DAY);
        let mut clock = Clock::new(Timestamp(0));
        assert!(clock.at_least(future));
        assert_eq!(clock.now(), future);
        assert!(!clock.at_least(future.plus(1)));
    }

    #[test]
    fn a_clock_outside_a_certificate_of_this_moment_is_corrected() {
        let mut clock = Clock::new(Timestamp(0));
        let past = Validity {
            not_before: Timestamp(Timestamp::DAY),
            not_after: Timestamp(10 * Timestamp::DAY),
        };
        clock.issued_now(past);
        assert!(past.contains(clock.now()));
        let good = Validity {
            not_before: Timestamp(0),
            not_after: Timestamp(u64::MAX),
        };
        clock.issued_now(good);
        assert!(clock.now().since(system()) < Timestamp::HOUR);
        assert!(clock.now() > past.not_after);
    }
}
