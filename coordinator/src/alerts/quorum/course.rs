//! When a loss is told, and when its end. Pure: the clock is an argument.

use std::time::Duration;

use tokio::time::Instant;

use email_engine_protocol::api::Occasion;

/// Losses that come again within this are told ever later.
const CALM: Duration = Duration::from_secs(3_600);

/// One node's view of its majority.
#[derive(Clone, Debug)]
pub struct Course {
    /// How long a loss lasts before it is told.
    after: Duration,
    /// Since when there is none.
    lost: Option<Instant>,
    /// It was told, and its end was not.
    told: bool,
    /// When an end was told last.
    calm_since: Option<Instant>,
    /// Losses that were told, each less than an hour after the one before it.
    again: u32,
}

impl Course {
    /// All is well as far as is known.
    #[must_use]
    pub const fn new(after: Duration) -> Self {
        Self {
            after,
            lost: None,
            told: false,
            calm_since: None,
            again: 0,
        }
    }

    /// Whether the loss was told.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.told
    }

    /// What is to be told now.
    pub fn tick(&mut self, has_quorum: bool, now: Instant) -> Option<Occasion> {
        if has_quorum {
            self.lost = None;
            let was_told = std::mem::take(&mut self.told);
            if was_told {
                self.calm_since = Some(now);
            }
            return was_told.then_some(Occasion::Resolved);
        }
        let lost = *self.lost.get_or_insert(now);
        let is_calm = self
            .calm_since
            .is_none_or(|since| lost.saturating_duration_since(since) > CALM);
        let times = if is_calm { 0 } else { self.again };
        let wait = self.after.saturating_mul(1 << times.min(10)).min(CALM);
        if self.told || now.saturating_duration_since(lost) < wait {
            return None;
        }
        self.told = true;
        self.again = times.saturating_add(1);
        Some(Occasion::Raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_loss_that_lasts_is_told_once_and_its_end_once() {
        let (mut course, begin) = (Course::new(30 * SECOND), Instant::now());
        assert_eq!(course.tick(true, begin), None);
        assert_eq!(course.tick(false, begin), None);
        assert_eq!(course.tick(false, begin + 29 * SECOND), None);
        assert_eq!(course.tick(true, begin + 29 * SECOND), None, "an election");
        assert_eq!(course.tick(false, begin + 40 * SECOND), None);
        assert_eq!(
            course.tick(false, begin + 70 * SECOND),
            Some(Occasion::Raised)
        );
        assert_eq!(course.tick(false, begin + 9_999 * SECOND), None);
        assert_eq!(
            course.tick(true, begin + 9_999 * SECOND),
            Some(Occasion::Resolved)
        );
        assert_eq!(course.tick(true, begin + 9_999 * SECOND), None);
    }

    #[test]
    fn one_that_comes_and_goes_is_told_ever_later_until_it_was_calm_for_an_hour() {
        let (mut course, mut now) = (Course::new(30 * SECOND), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..5 {
            let lost = now;
            course.tick(false, lost);
            while course.tick(false, now).is_none() {
                now += SECOND;
            }
            waits.push((now - lost).as_secs());
            now += SECOND;
            course.tick(true, now);
        }
        assert_eq!(waits, [30, 60, 120, 240, 480]);
        now += CALM + SECOND;
        course.tick(false, now);
        assert_eq!(
            course.tick(false, now + 30 * SECOND),
            Some(Occasion::Raised)
        );
    }
}
