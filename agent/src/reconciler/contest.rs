//! Who fights with us, and how long we let them have it.
//!
//! A managed thing that somebody changes again and again, a second tool perhaps, is not repaired
//! ever faster. The first [`AT_ONCE`] repairs of a resource are made at once. The next ones keep a
//! growing distance to the one before ([`PAUSES`]), and the last of these is the longest: however
//! often it is changed, it is right again within that time. For every [`QUIET`] that it stayed right,
//! one repair is forgotten; so whoever changes something now and then meets no pause at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use email_engine_protocol::id::ResourceId;

/// Repairs of one resource that are made at once.
pub const AT_ONCE: usize = 5;
/// From the repair before to each one after those; the last is kept to.
pub const PAUSES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(180),
];
/// However often something is changed, it is right again within this time.
pub const LONGEST: Duration = PAUSES[PAUSES.len() - 1];
/// A resource that stayed right for so long has one repair less behind it.
pub const QUIET: Duration = Duration::from_secs(120);

/// One resource's fight.
#[derive(Clone, Debug, Default)]
struct Fight {
    /// Repairs that are not forgotten, as far as they count.
    repairs: usize,
    /// The last of them.
    last: Duration,
    /// Since when it is wrong again, as far as was seen.
    wrong_since: Option<Duration>,
}

impl Fight {
    fn pause(&self) -> Option<Duration> {
        let over = self.repairs.checked_sub(AT_ONCE)?;
        PAUSES.get(over).or(PAUSES.last()).copied()
    }

    /// Forgets what is long ago, by how long it stayed right.
    fn forget(&mut self, wrong_since: Duration) {
        let right = wrong_since.saturating_sub(self.last);
        let steps = right.as_secs() / QUIET.as_secs();
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        self.repairs = self.repairs.saturating_sub(steps);
    }
}

/// A repair that is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The distance that it keeps to the one before.
    pub pause: Duration,
    /// When it is due.
    pub until: Duration,
}

/// Counts repairs per resource. Time is the caller's, as the duration since any fixed moment.
#[derive(Clone, Debug, Default)]
pub struct Contest {
    fights: BTreeMap<ResourceId, Fight>,
    said: BTreeSet<ResourceId>,
}

impl Contest {
    /// A resource is wrong: whether its repair is put off. It may be asked as often as one likes.
    pub fn is_wrong(&mut self, id: &ResourceId, now: Duration) -> Option<Wait> {
        let fight = self.fights.get_mut(id)?;
        if fight.wrong_since.is_none() {
            fight.wrong_since = Some(now);
            fight.forget(now);
        }
        let Some(pause) = fight.pause() else {
            self.said.remove(id);
            return None;
        };
        let until = fight.last + pause;
        (now < until).then_some(Wait { pause, until })
    }

    /// A resource was repaired.
    pub fn repaired(&mut self, id: &ResourceId, now: Duration) {
        let fight = self.fights.entry(id.clone()).or_default();
        fight.repairs = (fight.repairs + 1).min(AT_ONCE + PAUSES.len() - 1);
        fight.last = now;
        fight.wrong_since = None;
    }

    /// Whether somebody is to be told that this one is fought for: once per fight.
    pub fn is_news(&mut self, id: &ResourceId) -> bool {
        self.said.insert(id.clone())
    }

    /// A new state was accepted: its first repairs are no fight.
    pub fn clear(&mut self) {
        self.fights.clear();
        self.said.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> ResourceId {
        ResourceId::new("file:/a").unwrap()
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Repairs a resource that is spoilt at once after each repair, and says how long each took.
    fn fight(contest: &mut Contest, now: &mut Duration, rounds: usize) -> Vec<u64> {
        let mut waits = Vec::new();
        for _ in 0..rounds {
            let wait = contest.is_wrong(&id(), *now);
            let until = wait.map_or(*now, |wait| wait.until);
            waits.push((until - *now).as_secs());
            *now = until;
            assert_eq!(contest.is_wrong(&id(), *now), None, "due means due");
            contest.repaired(&id(), *now);
        }
        waits
    }

    #[test]
    fn the_first_repairs_are_made_at_once_and_the_next_keep_a_growing_distance() {
        let mut contest = Contest::default();
        let mut now = seconds(1000);
        let waits = fight(&mut contest, &mut now, 11);
        assert_eq!(waits, [0, 0, 0, 0, 0, 5, 15, 60, 180, 180, 180]);
        let other = ResourceId::new("file:/b").unwrap();
        assert_eq!(contest.is_wrong(&other, now), None, "another is free");
        contest.clear();
        assert_eq!(contest.is_wrong(&id(), now), None, "a new state is free");
    }

    #[test]
    fn what_stayed_right_for_long_is_repaired_at_once_again() {
        let mut contest = Contest::default();
        let mut now = seconds(0);
        fight(&mut contest, &mut now, 20);
        // As many steps back as there were up: nothing is left of the fight.
        now += QUIET * u32::try_from(AT_ONCE + PAUSES.len() - 1).unwrap();
        let waits = fight(&mut contest, &mut now, 6);
        assert_eq!(waits, [0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn waiting_is_not_staying_right() {
        let mut contest = Contest::default();
        let mut now = seconds(0);
        fight(&mut contest, &mut now, 20);
        // Seen wrong at once, and looked at again only hours later.
        assert!(contest.is_wrong(&id(), now).is_some());
        now += seconds(7200);
        assert_eq!(contest.is_wrong(&id(), now), None);
        contest.repaired(&id(), now);
        let wait = contest.is_wrong(&id(), now).unwrap();
        assert_eq!(wait.pause, LONGEST);
    }

    #[test]
    fn slow_drift_is_no_fight() {
        let mut contest = Contest::default();
        for round in 0..100 {
            let now = seconds(round * QUIET.as_secs());
            assert_eq!(contest.is_wrong(&id(), now), None, "round {round}");
            contest.repaired(&id(), now);
        }
    }

    #[test]
    fn a_fight_is_told_once_and_the_next_one_again() {
        let mut contest = Contest::default();
        let mut now = seconds(0);
        fight(&mut contest, &mut now, 7);
        assert!(contest.is_news(&id()) && !contest.is_news(&id()));
        now += QUIET * 20;
        fight(&mut contest, &mut now, 7);
        assert!(contest.is_news(&id()));
    }

    proptest! {
        /// Whenever and however often somebody changes it, it is right again in time.
        #[test]
        fn every_repair_is_made_within_the_longest_pause(
            pauses in proptest::collection::vec(0_u64..1000, 1..60),
        ) {
            let mut contest = Contest::default();
            let mut now = seconds(0);
            for pause in pauses {
                now += seconds(pause);
                let wait = contest.is_wrong(&id(), now);
                let until = wait.map_or(now, |wait| wait.until);
                prop_assert!(until - now <= LONGEST);
                prop_assert_eq!(contest.is_wrong(&id(), until), None);
                now = until;
                contest.repaired(&id(), now);
            }
        }
    }
}
