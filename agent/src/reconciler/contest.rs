//! Who fights with us, and when we stop.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use email_engine_protocol::id::ResourceId;

/// Repairs of one resource within [`WINDOW`] that are made before it is left alone.
pub const REPAIRS: usize = 5;
/// The time that counts.
pub const WINDOW: Duration = Duration::from_secs(600);

/// Counts repairs per resource. Time is the caller's, as the duration since any fixed moment.
#[derive(Clone, Debug, Default)]
pub struct Contest {
    repairs: BTreeMap<ResourceId, VecDeque<Duration>>,
}

impl Contest {
    /// A resource was repaired.
    pub fn repaired(&mut self, id: &ResourceId, now: Duration) {
        let times = self.repairs.entry(id.clone()).or_default();
        times.push_back(now);
        if times.len() > REPAIRS {
            times.pop_front();
        }
    }

    /// Whether a resource that drifted again is to be left alone: one more repair would be more than
    /// [`REPAIRS`] within [`WINDOW`]. After that time one repair is tried again.
    #[must_use]
    pub fn is_contested(&self, id: &ResourceId, now: Duration) -> bool {
        self.repairs.get(id).is_some_and(|times| {
            times.len() == REPAIRS
                && times
                    .front()
                    .is_some_and(|first| now.saturating_sub(*first) < WINDOW)
        })
    }

    /// A new state was accepted: its first repairs are no fight.
    pub fn clear(&mut self) {
        self.repairs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_repair_within_ten_minutes_is_not_made() {
        let id = ResourceId::new("file:/a").unwrap();
        let other = ResourceId::new("file:/b").unwrap();
        let mut contest = Contest::default();
        for minute in 0..5 {
            let now = Duration::from_secs(minute * 60);
            assert!(!contest.is_contested(&id, now));
            contest.repaired(&id, now);
        }
        assert!(contest.is_contested(&id, Duration::from_secs(300)));
        assert!(!contest.is_contested(&other, Duration::from_secs(300)));
        assert!(contest.is_contested(&id, Duration::from_secs(599)));
        assert!(!contest.is_contested(&id, Duration::from_secs(600)));
        contest.clear();
        assert!(!contest.is_contested(&id, Duration::from_secs(300)));
    }

    #[test]
    fn slow_drift_is_no_fight() {
        let id = ResourceId::new("file:/a").unwrap();
        let mut contest = Contest::default();
        for round in 0..100 {
            let now = Duration::from_secs(round * 150);
            assert!(!contest.is_contested(&id, now), "round {round}");
            contest.repaired(&id, now);
        }
    }
}
