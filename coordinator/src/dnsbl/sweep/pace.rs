//! How fast questions to one list go, and how long its answers may take.

use std::time::Duration;

/// Microseconds since a run began: whoever drives it has the clock.
pub(super) type Micros = u64;

pub(super) fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// Keeps questions apart: no more than so many a second, and none saved up for later.
#[derive(Clone, Debug)]
pub(super) struct Spacing {
    apart: Micros,
    next_at: Micros,
    slack: Micros,
}

impl Spacing {
    /// By what a list allows.
    pub(super) fn new(per_second: Option<u32>) -> Self {
        let apart = per_second.map_or(0, |rate| 1_000_000_u64.div_ceil(u64::from(rate.max(1))));
        Self {
            apart,
            next_at: 0,
            slack: 20_000,
        }
    }

    /// By what answers take. Questions that go as answers come would go in heaps for ever, once they were one:
    /// a heap is more than a small buffer holds.
    pub(super) const fn of_answers() -> Self {
        Self {
            apart: 0,
            next_at: 0,
            slack: 3_000,
        }
    }

    /// So many are on the way for so long: they go within half of that.
    pub(super) fn spread(&mut self, over: Micros, room: usize) {
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        self.apart = over / room.saturating_mul(2).max(1);
    }

    /// When the next question may go.
    pub(super) const fn next_at(&self) -> Micros {
        self.next_at
    }

    /// One went. A little lateness is caught up, or timers would make every rate slower than it says; a
    /// pause is not.
    pub(super) fn went(&mut self, now: Micros) {
        let due = self.next_at.max(now.saturating_sub(self.slack));
        self.next_at = due + self.apart;
    }
}

/// How long an answer may take, by those that came (RFC 6298, in integers).
#[derive(Clone, Debug)]
pub(super) struct Patience {
    smoothed: Option<Micros>,
    varies: Micros,
    first: Micros,
    least: Micros,
    longest: Micros,
}

impl Patience {
    pub(super) fn new(first: Duration, least: Duration, longest: Duration) -> Self {
        Self {
            smoothed: None,
            varies: 0,
            first: micros(first),
            least: micros(least),
            longest: micros(longest),
        }
    }

    pub(super) fn took(&mut self, sample: Micros) {
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.varies = sample / 2;
            }
            Some(smoothed) => {
                let off = smoothed.abs_diff(sample);
                self.varies = self.varies - self.varies / 4 + off / 4;
                self.smoothed = Some(smoothed - smoothed / 8 + sample / 8);
            }
        }
    }

    /// What an answer takes; nothing before the first.
    pub(super) fn smoothed(&self) -> Micros {
        self.smoothed.unwrap_or(0)
    }

    /// How long the answer to an attempt is waited for, counted from 0. What was lost once was most often
    /// lost by chance: only from then on more time is given each time, and the last one gets all there is.
    pub(super) fn wait(&self, attempt: u32, is_last: bool) -> Micros {
        let base = match self.smoothed {
            None => self.first,
            Some(smoothed) => (smoothed + 4 * self.varies).max(self.least),
        };
        if is_last {
            return self.longest;
        }
        self.doubled(base, attempt.saturating_sub(1))
    }

    /// How long after a failure of the resolver it is asked again. Resolvers keep failures for some seconds,
    /// whatever their answers take.
    pub(super) fn pause(&self, attempt: u32) -> Micros {
        self.doubled(self.first, attempt)
    }

    fn doubled(&self, base: Micros, times: u32) -> Micros {
        base.saturating_mul(1 << times.min(10)).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_although_timers_come_late_and_a_pause_saves_nothing_up() {
        let mut spacing = Spacing::new(Some(100));
        let mut now = 0;
        let mut went = 0;
        while now < 1_000_000 {
            while spacing.next_at() <= now {
                spacing.went(now);
                went += 1;
            }
            now += 7_000;
        }
        assert!((98..=103).contains(&went), "{went} in a second");
        now += 60_000_000;
        let mut burst = 0;
        while spacing.next_at() <= now {
            spacing.went(now);
            burst += 1;
        }
        assert!(burst <= 3, "{burst} at once after a minute");
    }

    #[test]
    fn patience_follows_what_answers_take_and_grows_from_the_second_loss_on() {
        let [first, least, longest] = [1_500, 400, 4_000].map(Duration::from_millis);
        let mut patience = Patience::new(first, least, longest);
        let waits = [0, 1, 2, 40].map(|at| patience.wait(at, false));
        assert_eq!(waits, [1_500_000, 1_500_000, 3_000_000, 4_000_000]);
        for _ in 0..50 {
            patience.took(2_000);
        }
        let waits = [0, 1, 2, 3].map(|at| patience.wait(at, false));
        assert_eq!(waits, [400_000, 400_000, 800_000, 1_600_000]);
        assert_eq!(patience.wait(3, true), 4_000_000);
        // A failure is none of the list's time.
        assert_eq!(patience.pause(0), 1_500_000);

        for _ in 0..50 {
            patience.took(900_000);
        }
        assert!(
            (900_000..2_000_000).contains(&patience.wait(0, false)),
            "{}",
            patience.wait(0, false)
        );
    }
}
