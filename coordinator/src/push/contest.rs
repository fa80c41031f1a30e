//! Takeovers: connections of one host that end each other again and again are two machines with one
//! identity. The newest still wins, but not for ever: after a few takeovers whoever comes next has to
//! stay away for a while, and a person is told.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Takeovers within [`WINDOW`] from which on a copy is suspected. A machine with a bad network makes
/// a few, because the old end of its connection is noticed late.
const SUSPECT: usize = 5;
/// See [`SUSPECT`].
const WINDOW: Duration = Duration::from_secs(300);
/// Then the next one stays away until the last takeover is so long ago: as long as a dead connection
/// takes to be noticed, so that a lone machine is never kept out by its own remains.
const REST: Duration = Duration::from_secs(60);

/// The takeovers of one host of late.
#[derive(Debug, Default)]
pub(super) struct Contest {
    takeovers: VecDeque<Instant>,
    suspected: bool,
}

impl Contest {
    /// Notes a takeover. Whether this one makes a copy suspected: true once in a contest.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.takeovers.push_back(now);
        if self.takeovers.len() > SUSPECT {
            self.takeovers.pop_front();
        }
        let first = self.takeovers.len() == SUSPECT && !self.suspected;
        self.suspected |= first;
        first
    }

    /// How long a further machine has to stay away.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let recent = self.takeovers.iter().filter(|at| **at + WINDOW > now);
        let last = self.takeovers.back()?;
        let left = (*last + REST).saturating_duration_since(now);
        (recent.count() >= SUSPECT && !left.is_zero()).then_some(left)
    }

    /// Nothing of it counts any more.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.takeovers.is_empty()
    }

    fn forget(&mut self, now: Instant) {
        while self.takeovers.front().is_some_and(|at| *at + WINDOW <= now) {
            self.takeovers.pop_front();
        }
        self.suspected &= !self.takeovers.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_takeovers_are_a_bad_network_and_more_are_a_copy_that_is_told_once() {
        let mut contest = Contest::default();
        let mut now = Instant::now();
        for _ in 1..SUSPECT {
            assert!(!contest.note(now));
            assert_eq!(contest.rest(now), None);
            now += Duration::from_secs(1);
        }
        assert!(contest.note(now));
        assert_eq!(contest.rest(now), Some(REST));
        assert!(!contest.note(now + Duration::from_secs(1)), "told already");
        let later = now + Duration::from_secs(1) + REST;
        assert_eq!(contest.rest(later), None, "nobody is kept out for ever");
    }

    #[test]
    fn two_copies_without_end_take_over_once_a_minute_at_most() {
        let mut contest = Contest::default();
        let begin = Instant::now();
        let mut takeovers = 0;
        // Both try every second for an hour.
        for second in 0..3600 {
            let now = begin + Duration::from_secs(second);
            if contest.rest(now).is_none() {
                contest.note(now);
                takeovers += 1;
            }
        }
        assert!(takeovers <= SUSPECT + 60, "{takeovers}");
    }

    #[test]
    fn takeovers_of_long_ago_do_not_count_and_leave_nothing() {
        let mut contest = Contest::default();
        let begin = Instant::now();
        for at in 0..20 {
            let now = begin + WINDOW * at / 4;
            assert!(!contest.note(now));
            assert_eq!(contest.rest(now), None);
        }
        assert!(!contest.is_over(begin + WINDOW * 5));
        assert!(contest.is_over(begin + WINDOW * 6));
    }
}
