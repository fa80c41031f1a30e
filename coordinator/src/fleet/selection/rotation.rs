//! What one node remembers of one tenant and purpose.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::api::Rotation as Mode;
use email_engine_protocol::time::Timestamp;

use super::turns::Turns;

/// What is known to have been sent by an identity, as of the last report of its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Since midnight, UTC.
    pub today: u64,
    /// In the last hour.
    pub hour: u64,
    /// What campaigns that were begun today take it up to, whether it was sent yet or not.
    pub taken: u64,
}

/// An identity that may be chosen while it has quota left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its address.
    pub address: IpAddr,
    /// Its share, above 0.
    pub weight: u8,
    /// Mails a day.
    pub quota: u32,
    /// What it has sent.
    pub used: Used,
}

/// Choices that this node made, of one identity.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    /// Since midnight.
    today: u64,
    /// What was reported when it was last looked at.
    reported: u64,
    /// Since that report.
    unreported: u64,
    /// What campaigns took it up to when it was last looked at.
    taken: u64,
    /// Since then.
    untaken: u64,
    /// In this hour and in the one before.
    hours: [u64; 2],
}

impl Given {
    /// Whoever began a campaign knew of what was chosen before it.
    const fn look_at(&mut self, taken: u64) {
        if self.taken != taken {
            (self.taken, self.untaken) = (taken, 0);
        }
    }
}

/// Whose turn it is, and what was given out since midnight.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    day: u64,
    hour: u64,
    given: BTreeMap<IpAddr, Given>,
    turns: Turns,
    last: Option<IpAddr>,
}

impl Rotation {
    /// The next identity of these, which are in order of address; none when all have used their quota.
    pub fn choose(
        &mut self,
        candidates: &[Candidate],
        mode: Mode,
        now: Timestamp,
    ) -> Option<IpAddr> {
        self.pass(now);
        for candidate in candidates {
            self.hear(candidate);
        }
        let open = |one: &&Candidate| self.left(one) > 0;
        let open: Vec<Candidate> = candidates.iter().filter(open).copied().collect();
        let chosen = match mode {
            Mode::WeightedRandom => {
                let among: Vec<_> = open.iter().map(|one| (one.address, one.weight)).collect();
                self.turns.next(&among)
            }
            Mode::RoundRobin => {
                let after = open.iter().find(|one| Some(one.address) > self.last);
                after.or_else(|| open.first()).map(|one| one.address)
            }
            Mode::LeastUsed => {
                let used = |one: &&Candidate| (self.in_an_hour(one, now), one.address);
                open.iter().min_by_key(used).map(|one| one.address)
            }
        }?;
        self.last = Some(chosen);
        let taken = open.iter().find(|one| one.address == chosen);
        let taken = taken.map_or(0, |one| one.used.taken);
        let given = self.given.entry(chosen).or_default();
        given.look_at(taken);
        given.today += 1;
        given.unreported += 1;
        given.untaken += 1;
        given.hours[0] += 1;
        Some(chosen)
    }

    /// Mails that an identity may still be given today, as this node knows.
    #[must_use]
    pub fn left(&self, candidate: &Candidate) -> u64 {
        let given = self
            .given
            .get(&candidate.address)
            .copied()
            .unwrap_or_default();
        // What is reported holds what others chose; what is not yet reported is on top of it.
        let unreported = match candidate.used.today > given.reported {
            true => 0,
            false => given.unreported,
        };
        // A report that is late takes nothing back.
        let reported = candidate.used.today.max(given.reported);
        let taken = match candidate.used.taken == given.taken {
            true => given.taken.saturating_add(given.untaken),
            false => candidate.used.taken,
        };
        let used = reported.saturating_add(unreported);
        let used = used.max(given.today).max(taken);
        u64::from(candidate.quota).saturating_sub(used)
    }

    /// Midnight and full hours; a clock that went back changes nothing.
    pub fn pass(&mut self, now: Timestamp) {
        let (day, hour) = (now.0 / Timestamp::DAY, now.0 / Timestamp::HOUR);
        if day > self.day {
            self.day = day;
            self.given
                .retain(|_, given| given.hours[0] > 0 || given.hours[1] > 0);
            for given in self.given.values_mut() {
                (given.today, given.reported, given.unreported) = (0, 0, 0);
                (given.taken, given.untaken) = (0, 0);
            }
        }
        if hour > self.hour {
            let is_next = hour == self.hour + 1;
            self.hour = hour;
            for given in self.given.values_mut() {
                given.hours = [0, if is_next { given.hours[0] } else { 0 }];
            }
        }
    }

    /// A newer report holds what was chosen before it, and so does what a campaign took since.
    fn hear(&mut self, candidate: &Candidate) {
        let Some(given) = self.given.get_mut(&candidate.address) else {
            return;
        };
        if candidate.used.today > given.reported {
            given.reported = candidate.used.today;
            given.unreported = 0;
        }
        given.look_at(candidate.used.taken);
    }

    /// What was sent or given in the last hour: all of this one, and of the one before the part that is less
    /// than an hour ago.
    fn in_an_hour(&self, candidate: &Candidate, now: Timestamp) -> u64 {
        let given = self
            .given
            .get(&candidate.address)
            .copied()
            .unwrap_or_default();
        let ago = Timestamp::HOUR - now.0 % Timestamp::HOUR;
        let before = given.hours[1].saturating_mul(ago) / Timestamp::HOUR;
        candidate
            .used
            .hour
            .max(given.hours[0].saturating_add(before))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp(20_000 * Timestamp::DAY + 12 * Timestamp::HOUR);
    const MODES: [Mode; 3] = [Mode::LeastUsed, Mode::RoundRobin, Mode::WeightedRandom];

    fn address(at: usize) -> IpAddr {
        IpAddr::from([192, 0, 2, u8::try_from(at + 1).unwrap()])
    }

    fn candidate(at: usize, weight: u8, quota: u32) -> Candidate {
        Candidate {
            address: address(at),
            weight,
            quota,
            used: Used::default(),
        }
    }

    fn order(
        rotation: &mut Rotation,
        candidates: &[Candidate],
        mode: Mode,
        count: usize,
    ) -> String {
        let one = |_| match rotation.choose(candidates, mode, NOON) {
            Some(IpAddr::V4(address)) => char::from(b'a' + address.octets()[3] - 1),
            _ => '-',
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn round_robin_goes_on_from_where_it_was_also_when_one_is_used_up() {
        let mut rotation = Rotation::default();
        let three = [
            candidate(0, 100, 9),
            candidate(1, 10, 2),
            candidate(2, 1, 9),
        ];
        assert_eq!(
            order(&mut rotation, &three, Mode::RoundRobin, 9),
            "abcabcaca"
        );
        // Somebody came between them.
        let mut four = three.to_vec();
        four.insert(1, candidate(3, 1, 9));
        four.sort_by_key(|one| one.address);
        assert_eq!(order(&mut rotation, &four, Mode::RoundRobin, 4), "cdac");
    }

    #[test]
    fn least_used_levels_what_was_sent_in_the_last_hour() {
        let mut rotation = Rotation::default();
        let mut three = [
            candidate(0, 1, 99),
            candidate(1, 1, 99),
            candidate(2, 1, 99),
        ];
        three[0].used.hour = 3;
        three[2].used.hour = 1;
        assert_eq!(order(&mut rotation, &three, Mode::LeastUsed, 7), "bbccbca");
        // Two hours later nothing of that counts.
        let later = NOON.plus(2 * Timestamp::HOUR);
        three = [
            candidate(0, 1, 99),
            candidate(1, 1, 99),
            candidate(2, 1, 99),
        ];
        assert_eq!(
            rotation.choose(&three, Mode::LeastUsed, later),
            Some(address(0))
        );
    }

    #[test]
    fn a_report_holds_what_was_chosen_before_it_and_what_others_chose() {
        let mut rotation = Rotation::default();
        let mut one = [candidate(0, 100, 10)];
        assert_eq!(order(&mut rotation, &one, Mode::RoundRobin, 4), "aaaa");
        assert_eq!(rotation.left(&one[0]), 6);
        // The report tells of these four and of three that another node chose.
        one[0].used.today = 7;
        assert_eq!(order(&mut rotation, &one, Mode::RoundRobin, 4), "aaa-");
        // A report that is late never gives quota back.
        one[0].used.today = 2;
        assert_eq!(order(&mut rotation, &one, Mode::RoundRobin, 1), "-");
    }

    #[test]
    fn what_campaigns_take_is_left_to_nobody_else_and_is_no_more_when_it_is_counted() {
        let mut rotation = Rotation::default();
        let mut one = [candidate(0, 100, 10)];
        assert_eq!(order(&mut rotation, &one, Mode::RoundRobin, 2), "aa");
        // A campaign of five began, which knew of these two.
        one[0].used.taken = 7;
        assert_eq!(rotation.left(&one[0]), 3);
        assert_eq!(order(&mut rotation, &one, Mode::RoundRobin, 1), "a");
        assert_eq!(rotation.left(&one[0]), 2);
        // Its mails are counted, with the three others.
        one[0].used.today = 8;
        assert_eq!(rotation.left(&one[0]), 2);
        // Another one was refused and gave back what it had taken.
        one[0].used.taken = 0;
        assert_eq!(order(&mut rotation, &one, Mode::RoundRobin, 3), "aa-");
    }

    #[test]
    fn the_quota_returns_at_midnight_and_not_with_a_clock_that_goes_back() {
        let mut rotation = Rotation::default();
        let one = [candidate(0, 100, 2)];
        assert_eq!(order(&mut rotation, &one, Mode::WeightedRandom, 3), "aa-");
        let yesterday = Timestamp(NOON.0 - Timestamp::DAY);
        assert_eq!(rotation.choose(&one, Mode::WeightedRandom, yesterday), None);
        let tomorrow = super::super::returns_at(NOON);
        let chosen = rotation.choose(&one, Mode::WeightedRandom, tomorrow);
        assert_eq!(chosen, Some(address(0)));
    }

    proptest! {
        #[test]
        fn nobody_is_over_quota_and_nobody_is_refused_while_there_is_some(
            quotas in prop::collection::vec((1..=100_u8, 0..30_u32), 1..12),
            mode in 0..3_usize,
        ) {
            let candidates: Vec<_> = quotas
                .iter()
                .enumerate()
                .map(|(at, (weight, quota))| candidate(at, *weight, *quota))
                .collect();
            let able: u32 = quotas.iter().map(|(_, quota)| quota).sum();
            let mut rotation = Rotation::default();
            let mut given: BTreeMap<IpAddr, u32> = BTreeMap::new();
            for _ in 0..able {
                let chosen = rotation.choose(&candidates, MODES[mode], NOON);
                prop_assert!(chosen.is_some());
                *given.entry(chosen.unwrap()).or_default() += 1;
            }
            prop_assert_eq!(rotation.choose(&candidates, MODES[mode], NOON), None);
            for one in &candidates {
                prop_assert_eq!(given.get(&one.address).copied().unwrap_or_default(), one.quota);
            }
        }

        #[test]
        fn several_nodes_exceed_a_quota_by_what_they_chose_since_the_last_report_at_most(
            nodes in 1..5_usize, quota in 1..200_u32, every in 1..50_u64,
        ) {
            let mut rotations = vec![Rotation::default(); nodes];
            let (mut sent, mut reported) = (0_u64, 0_u64);
            let mut one = candidate(0, 100, quota);
            for step in 0..2_000_u64 {
                if step % every == 0 {
                    reported = sent;
                }
                one.used.today = reported;
                let at = usize::try_from(step).unwrap() % nodes;
                sent += u64::from(rotations[at].choose(&[one], Mode::RoundRobin, NOON).is_some());
            }
            prop_assert!(sent >= u64::from(quota), "{sent} of {quota}");
            prop_assert!(sent <= u64::from(quota) + every, "{sent} of {quota}");
        }
    }
}
