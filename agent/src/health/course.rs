//! How one health check goes: what follows from its answers. Pure; time is the caller's, as the duration
//! since any fixed moment.

use std::time::Duration;

/// Distances from one restart to the next; the last is kept to. Fewer than the repairs of anything else
/// that somebody undoes (see [`crate::reconciler::contest`]): a restart takes what it serves away.
pub const PAUSES: [Duration; 5] = [
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(600),
];
/// For each time of this length that it was well, one restart is forgotten.
pub const QUIET: Duration = Duration::from_secs(600);
/// As long as nothing is known it is asked at least so often.
const FIRST: Duration = Duration::from_secs(2);

/// When it counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// From one asking to the next.
    pub interval: Duration,
    /// Wrong answers in a row.
    pub attempts: u32,
}

impl Rule {
    /// From the first of the wrong answers in a row to the last.
    fn patience(self) -> Duration {
        self.interval * self.attempts.saturating_sub(1)
    }
}

/// What its answers say so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough of them.
    #[default]
    Unknown,
    /// The last was right, or too few since were wrong.
    Well,
    /// So many in a row were wrong.
    Ill,
}

/// How often and when the unit of a check was restarted. It outlives what the check asks: else every new
/// state would begin with a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    /// Those that are not forgotten.
    count: u32,
    last: Option<Duration>,
}

impl Restarts {
    /// Whether all of them are so long ago that each would be forgotten, had it been well since.
    #[must_use]
    pub fn are_over(self, now: Duration) -> bool {
        let over = |last: Duration| now.saturating_sub(last) >= QUIET * self.count;
        self.last.is_none_or(over)
    }
}

/// One health check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    verdict: Verdict,
    /// Wrong answers in a row, since the last restart.
    wrong: u32,
    wrong_since: Option<Duration>,
    well_since: Option<Duration>,
    reason: String,
    restarts: Restarts,
    /// Whether it was said that a restart is due.
    is_due_told: bool,
}

impl Course {
    /// A new one, of a check whose unit was restarted before.
    #[must_use]
    pub fn after(restarts: Restarts) -> Self {
        Self {
            restarts,
            ..Self::default()
        }
    }

    /// The restarts that its successor goes on from.
    #[must_use]
    pub fn handed_on(mut self, now: Duration) -> Restarts {
        self.forget(now);
        self.restarts
    }

    /// An answer came. Says whether the verdict is another one; a reason in other words is no news.
    pub fn answered(&mut self, rule: Rule, answer: Result<(), String>, now: Duration) -> bool {
        let before = self.verdict;
        match answer {
            Ok(()) => {
                self.verdict = Verdict::Well;
                self.wrong = 0;
                self.wrong_since = None;
                self.well_since.get_or_insert(now);
                self.reason.clear();
            }
            Err(reason) => {
                self.wrong = self.wrong.saturating_add(1);
                let since = *self.wrong_since.get_or_insert(now);
                self.forget(now);
                if self.wrong >= rule.attempts && now.saturating_sub(since) >= rule.patience() {
                    self.verdict = Verdict::Ill;
                }
                if self.verdict == Verdict::Ill {
                    self.reason = reason;
                }
            }
        }
        before != self.verdict
    }

    /// It was well until now: what is long ago is forgotten.
    fn forget(&mut self, now: Duration) {
        let Some(since) = self.well_since.take() else {
            return;
        };
        let steps = now.saturating_sub(since).as_secs() / QUIET.as_secs();
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.restarts.count = self.restarts.count.saturating_sub(steps);
    }

    /// What its answers say.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What the last answer said when it is ill.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Restarts that are not forgotten.
    #[must_use]
    pub const fn restarts(&self) -> u32 {
        self.restarts.count
    }

    /// When it is asked again.
    #[must_use]
    pub fn pause(&self, rule: Rule) -> Duration {
        match self.verdict {
            Verdict::Unknown => rule.interval.min(FIRST),
            Verdict::Ill | Verdict::Well => rule.interval,
        }
    }

    /// Whether its unit is to be restarted now: it is ill, it has had as many wrong answers since the last
    /// restart as made it so, and that one is long enough ago.
    #[must_use]
    pub fn needs_restart(&self, rule: Rule, now: Duration) -> bool {
        let has_had_its_time = |since: Duration| now.saturating_sub(since) >= rule.patience();
        self.verdict == Verdict::Ill
            && self.wrong >= rule.attempts
            && self.wrong_since.is_some_and(has_had_its_time)
            && self
                .restarts
                .last
                .is_none_or(|at| now.saturating_sub(at) >= self.distance())
    }

    /// Whether a restart is due now and nobody was told since the last one: whoever is busy is told once.
    pub fn falls_due(&mut self, rule: Rule, now: Duration) -> bool {
        let was_told = self.is_due_told;
        self.is_due_told = self.needs_restart(rule, now);
        self.is_due_told && !was_told
    }

    /// From the last restart to the next.
    #[must_use]
    pub fn distance(&self) -> Duration {
        let nth = self.restarts.count.saturating_sub(1) as usize;
        PAUSES[nth.min(PAUSES.len() - 1)]
    }

    /// Its unit was restarted, or refused to be.
    pub fn restarted(&mut self, now: Duration) {
        let count = self.restarts.count.saturating_add(1);
        self.restarts.count = count.min(PAUSES.len() as u32);
        self.restarts.last = Some(now);
        self.is_due_told = false;
        self.wrong = 0;
        self.wrong_since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule {
        interval: Duration::from_secs(10),
        attempts: 3,
    };

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn wrong() -> Result<(), String> {
        Err("status 500".to_owned())
    }

    #[test]
    fn it_is_ill_after_so_many_wrong_answers_in_a_row_and_well_after_one_right_one() {
        let mut course = Course::default();
        assert!(course.answered(RULE, Ok(()), seconds(0)));
        assert!(!course.answered(RULE, Ok(()), seconds(10)), "no news");
        assert!(!course.answered(RULE, wrong(), seconds(20)));
        assert!(!course.answered(RULE, wrong(), seconds(30)));
        assert_eq!(course.verdict(), Verdict::Well);
        assert!(course.answered(RULE, wrong(), seconds(40)));
        assert_eq!(
            (course.verdict(), course.reason()),
            (Verdict::Ill, "status 500")
        );
        let other = Err("status 502".to_owned());
        assert!(
            !course.answered(RULE, other, seconds(50)),
            "other words are no news"
        );
        assert_eq!(course.reason(), "status 502", "and are kept all the same");
        assert!(course.answered(RULE, Ok(()), seconds(60)));
        assert_eq!((course.verdict(), course.reason()), (Verdict::Well, ""));
        for at in [70, 80] {
            course.answered(RULE, wrong(), seconds(at));
        }
        course.answered(RULE, Ok(()), seconds(90));
        course.answered(RULE, wrong(), seconds(100));
        assert_eq!(course.verdict(), Verdict::Well, "not in a row");
    }

    #[test]
    fn at_first_it_is_asked_sooner_and_no_sooner_ill() {
        let mut course = Course::default();
        let mut now = seconds(0);
        let mut answers = 0;
        while course.verdict() == Verdict::Unknown {
            course.answered(RULE, wrong(), now);
            answers += 1;
            now += course.pause(RULE);
        }
        assert_eq!(answers, 11, "every two seconds, for twenty");
        assert_eq!(course.pause(RULE), RULE.interval);
    }

    #[test]
    fn restarts_keep_a_growing_distance_and_are_forgotten_when_it_was_well_for_long() {
        let mut course = Course::default();
        let mut now = seconds(0);
        let mut at = Vec::new();
        while at.len() < 7 {
            course.answered(RULE, wrong(), now);
            if course.needs_restart(RULE, now) {
                at.push(now.as_secs());
                course.restarted(now);
            }
            now += course.pause(RULE);
        }
        let distances: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(distances, [30, 60, 120, 300, 600, 600]);
        course.answered(RULE, Ok(()), now);
        now += QUIET * 3;
        course.answered(RULE, wrong(), now);
        assert_eq!(course.restarts(), 2);
    }

    #[test]
    fn a_restart_that_is_due_is_told_once_until_it_was_made() {
        let mut course = Course::default();
        let mut told = Vec::new();
        // Whoever is to restart is busy for the first hundred seconds.
        for at in (0..200).step_by(10).map(seconds) {
            course.answered(RULE, wrong(), at);
            if course.falls_due(RULE, at) {
                told.push(at.as_secs());
            }
            if at == seconds(100) {
                course.restarted(at);
            }
        }
        assert_eq!(told, [20, 130]);
        // One wrong answer is enough, and it is due again when it is asked next.
        let hasty = Rule {
            interval: seconds(60),
            attempts: 1,
        };
        let mut course = Course::default();
        for at in [seconds(0), seconds(60)] {
            course.answered(hasty, wrong(), at);
            assert!(course.falls_due(hasty, at), "{at:?}");
            course.restarted(at);
        }
    }

    #[test]
    fn a_successor_goes_on_from_the_restarts_and_from_nothing_else() {
        let mut course = Course::default();
        for at in [0, 10, 20].map(seconds) {
            course.answered(RULE, wrong(), at);
        }
        course.restarted(seconds(20));
        let handed = course.clone().handed_on(seconds(25));
        let mut next = Course::after(handed);
        assert_eq!((next.verdict(), next.reason()), (Verdict::Unknown, ""));
        let hasty = Rule {
            interval: seconds(1),
            attempts: 1,
        };
        next.answered(hasty, wrong(), seconds(26));
        assert_eq!(next.verdict(), Verdict::Ill);
        assert!(
            !next.needs_restart(hasty, seconds(49)),
            "30 s after the last"
        );
        assert!(next.needs_restart(hasty, seconds(50)));
        // It was well for long.
        course.answered(RULE, Ok(()), seconds(30));
        let late = seconds(30) + QUIET;
        assert_eq!(Course::after(course.handed_on(late)).restarts(), 0);
        assert!(!handed.are_over(seconds(19) + QUIET));
        assert!(handed.are_over(seconds(20) + QUIET));
    }

    proptest! {
        /// Whatever is answered whenever, and however often another state begins: nobody is ill without so many wrong answers, a right one ends it,
        /// and no unit is restarted more often than five times in ten minutes.
        #[test]
        fn nobody_is_restarted_without_reason_or_without_rest(
            answers in proptest::collection::vec((any::<bool>(), 0_u64..40, 0_u8..10), 1..300),
            attempts in 1_u32..6,
        ) {
            let rule = Rule { interval: seconds(5), attempts };
            let mut course = Course::default();
            let mut now = seconds(0);
            let mut in_a_row = 0;
            let mut restarts: Vec<Duration> = Vec::new();
            for (right, later, other) in answers {
                now += seconds(later);
                if other == 0 {
                    course = Course::after(course.handed_on(now));
                    in_a_row = 0;
                }
                let answer = if right { Ok(()) } else { wrong() };
                course.answered(rule, answer, now);
                in_a_row = if right { 0 } else { in_a_row + 1 };
                prop_assert_eq!(right, course.reason().is_empty() && in_a_row == 0);
                if course.verdict() == Verdict::Ill {
                    prop_assert!(in_a_row >= attempts);
                }
                if right {
                    prop_assert_eq!(course.verdict(), Verdict::Well);
                }
                if course.needs_restart(rule, now) {
                    prop_assert_eq!(course.verdict(), Verdict::Ill);
                    restarts.push(now);
                    course.restarted(now);
                    prop_assert!(!course.needs_restart(rule, now));
                }
            }
            for begin in &restarts {
                let window = restarts.iter().filter(|at| **at >= *begin && **at < *begin + QUIET);
                prop_assert!(window.count() <= 5);
            }
        }
    }
}
