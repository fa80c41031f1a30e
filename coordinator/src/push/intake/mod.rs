//! Few log entries from many reports: only a change of outcome is worth one, the latest wins, and a
//! host that flaps is held to a rate.

pub(super) mod counting;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use email_engine_protocol::limits;
use email_engine_protocol::observed::{Attempt, HostReport};

use crate::state::Outcome;

/// Between two entries of one host.
const SPACING: Duration = Duration::from_millis(500);
/// Entries of one host in [`WINDOW`].
const PER_WINDOW: usize = 60;
/// See [`PER_WINDOW`].
const WINDOW: Duration = Duration::from_secs(60);
/// After a proposal that came to nothing.
const AGAIN: Duration = Duration::from_secs(1);

/// One host's outcomes on their way to the log.
#[derive(Debug, Default)]
pub(super) struct Intake {
    waiting: Option<Outcome>,
    proposing: Option<Outcome>,
    not_before: Option<Instant>,
    sent: VecDeque<Instant>,
}

impl Intake {
    /// Takes the newest outcome; one that is recorded already (or about to be) takes an older
    /// waiting one away.
    pub(super) fn offer(&mut self, outcome: Outcome, recorded: Option<&Outcome>) {
        let held = self.proposing.as_ref().or(recorded);
        let unchanged = held.is_some_and(|held| same(held, &outcome));
        self.waiting = (!unchanged).then_some(outcome);
    }

    /// Nothing was proposed for so long that its pace counts no more.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.sent.back().is_none_or(|last| *last + WINDOW <= now)
    }

    /// When there is something to propose; never while a proposal is under way.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.waiting.is_none() || self.proposing.is_some() {
            return None;
        }
        let by_window = match self.sent.len() {
            PER_WINDOW.. => self.sent.front().map(|first| *first + WINDOW),
            _ => None,
        };
        Some(
            now.max(self.not_before.unwrap_or(now))
                .max(by_window.unwrap_or(now)),
        )
    }

    /// What to propose now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Outcome> {
        if self.due(now)? > now {
            return None;
        }
        while self
            .sent
            .front()
            .is_some_and(|first| *first + WINDOW <= now)
        {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
        self.not_before = Some(now + SPACING);
        self.proposing = self.waiting.take();
        self.proposing.clone()
    }

    /// The proposal is over. One that came to nothing is tried again, unless there is a newer one.
    pub(super) fn settle(&mut self, recorded: bool, now: Instant) {
        let proposed = self.proposing.take();
        if !recorded {
            self.not_before = Some(now + AGAIN);
            if self.waiting.is_none() {
                self.waiting = proposed;
            }
        }
    }
}

/// The outcome that a report tells; the time is set where it is applied.
pub(super) fn outcome(report: &HostReport) -> Outcome {
    let generations = &report.generations;
    Outcome {
        accepted: generations.accepted,
        running: generations.running,
        last_good: generations.last_good,
        attempted: generations.attempted.as_ref().map(|attempt| Attempt {
            reason: cut(&attempt.reason),
            ..attempt.clone()
        }),
        convergence: report.convergence,
        counts: report.counts,
        changed_at: report.at,
    }
}

fn cut(reason: &str) -> String {
    let end = reason.floor_char_boundary(limits::REASON_BYTES);
    reason[..end].to_owned()
}

/// Whether two outcomes differ in nothing but their time.
fn same(one: &Outcome, other: &Outcome) -> bool {
    Outcome {
        changed_at: other.changed_at,
        ..one.clone()
    } == *other
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::observed::{Convergence, StatusCounts};
    use email_engine_protocol::time::Timestamp;

    use super::*;

    fn outcome(failed: u32, at: u64) -> Outcome {
        Outcome {
            accepted: None,
            running: None,
            last_good: None,
            attempted: None,
            convergence: Convergence::Converging,
            counts: StatusCounts {
                failed,
                ..StatusCounts::default()
            },
            changed_at: Timestamp(at),
        }
    }

    #[test]
    fn what_is_recorded_already_is_not_proposed_again() {
        let now = Instant::now();
        let mut intake = Intake::default();
        intake.offer(outcome(1, 5), Some(&outcome(1, 3)));
        assert_eq!(intake.due(now), None);
        intake.offer(outcome(2, 6), Some(&outcome(1, 3)));
        // Back to what is recorded before anything was proposed.
        intake.offer(outcome(1, 7), Some(&outcome(1, 3)));
        assert_eq!(intake.due(now), None);
    }

    #[test]
    fn the_latest_wins_and_two_proposals_keep_their_distance() {
        let now = Instant::now();
        let mut intake = Intake::default();
        intake.offer(outcome(1, 1), None);
        assert_eq!(intake.take(now), Some(outcome(1, 1)));
        for failed in 2..9 {
            intake.offer(outcome(failed, 2), None);
        }
        assert_eq!(intake.due(now), None, "one is under way");
        intake.settle(true, now);
        assert_eq!(intake.take(now), None, "too soon");
        assert_eq!(intake.take(now + SPACING), Some(outcome(8, 2)));
    }

    #[test]
    fn a_flapping_host_makes_at_most_sixty_entries_a_minute() {
        let begin = Instant::now();
        let mut intake = Intake::default();
        let mut entries = 0;
        for step in 0..590 {
            let now = begin + Duration::from_millis(100) * step;
            intake.offer(outcome(step, 0), None);
            if intake.take(now).is_some() {
                entries += 1;
                intake.settle(true, now);
            }
        }
        assert_eq!(entries, PER_WINDOW);
        let later = begin + WINDOW + SPACING;
        assert!(intake.take(later).is_some(), "the window moved on");
    }

    #[test]
    fn an_intake_is_idle_when_its_pace_counts_no_more() {
        let now = Instant::now();
        let mut intake = Intake::default();
        intake.offer(outcome(1, 1), None);
        intake.take(now).unwrap();
        assert!(!intake.is_idle(now + SPACING));
        assert!(intake.is_idle(now + WINDOW));
    }

    #[test]
    fn a_proposal_that_came_to_nothing_is_tried_again() {
        let now = Instant::now();
        let mut intake = Intake::default();
        intake.offer(outcome(1, 1), None);
        intake.take(now).unwrap();
        intake.settle(false, now);
        let now = now + AGAIN;
        assert_eq!(intake.take(now), Some(outcome(1, 1)));
        intake.offer(outcome(2, 2), None);
        intake.settle(false, now);
        assert_eq!(intake.take(now + AGAIN), Some(outcome(2, 2)));
    }
}
