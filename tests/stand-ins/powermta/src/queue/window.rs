//! So many in any interval: the attempts of the last interval are remembered.

use std::collections::VecDeque;

use crate::config::Rate;

/// Amounts by time.
#[derive(Debug, Default)]
pub(crate) struct Window {
    past: VecDeque<(i64, u64)>,
    sum: u64,
}

/// Attempts, bytes and connections of one queue, of one address in it, or of one virtual MTA.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(super) messages: Window,
    pub(super) volume: Window,
    pub(super) connects: Window,
}

/// The rates under which a flow is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) messages: Rate,
    pub(super) volume: Rate,
    pub(super) connects: Rate,
}

impl Flow {
    /// When the next message may go on an open connection.
    pub(super) fn message_at(&mut self, rates: Rates, now: i64) -> i64 {
        let messages = self.messages.free_at(rates.messages, now);
        messages.max(self.volume.free_at(rates.volume, now))
    }

    /// When the next connection may be opened: not before there is a message for it.
    pub(super) fn connection_at(&mut self, rates: Rates, now: i64) -> i64 {
        let connects = self.connects.free_at(rates.connects, now);
        connects.max(self.message_at(rates, now))
    }
}

impl Window {
    /// How much is left of the present interval, once [`Window::free_at`] has looked.
    pub(super) fn left(&self, rate: Rate) -> usize {
        rate.limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit.saturating_sub(self.sum)).unwrap_or(usize::MAX)
        })
    }

    /// When one more is allowed: now, or later.
    pub(crate) fn free_at(&mut self, rate: Rate, now: i64) -> i64 {
        let Some(limit) = rate.limit else { return now };
        let interval = i64::try_from(rate.per.as_millis()).unwrap_or(i64::MAX);
        self.forget(now.saturating_sub(interval));
        if limit == 0 {
            return now.saturating_add(interval);
        }
        if self.sum < limit {
            return now;
        }
        // The oldest amounts have to leave until one more fits.
        let mut left = self.sum;
        for (at, amount) in &self.past {
            left -= amount;
            if left < limit {
                return at.saturating_add(interval).saturating_add(1);
            }
        }
        now.saturating_add(interval)
    }

    pub(crate) fn note(&mut self, now: i64, amount: u64) {
        self.past.push_back((now, amount));
        self.sum += amount;
    }

    fn forget(&mut self, before: i64) {
        while let Some(&(at, amount)) = self.past.front() {
            if at >= before {
                break;
            }
            self.past.pop_front();
            self.sum -= amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_third_of_two_a_minute_waits_for_the_first_to_grow_old() {
        let rate = Rate {
            limit: Some(2),
            per: Duration::from_secs(60),
        };
        let mut window = Window::default();
        assert_eq!(window.free_at(rate, 1_000), 1_000);
        window.note(1_000, 1);
        window.note(2_000, 1);
        assert_eq!(window.free_at(rate, 3_000), 61_001);
        assert_eq!(window.free_at(rate, 61_001), 61_001);
        assert_eq!(window.free_at(Rate::UNLIMITED, 0), 0);
    }

    #[test]
    fn a_rate_of_zero_lets_nothing_out() {
        let none = Rate {
            limit: Some(0),
            per: Duration::from_secs(1),
        };
        let mut window = Window::default();
        assert!(window.free_at(none, 5) > 5);
    }
}
