//! Exact shares without bursts.
//!
//! Each step gives everybody its weight as credit and takes the sum of all weights from whoever is chosen:
//! of those with credit, the one that would be a whole mail behind soonest. Such a choice (of the earliest
//! deadline among those whose time has come) keeps each within one mail of its exact share after every step,
//! where drawing lots would be off by the square root of the steps, and where the heaviest never comes twice
//! in a row while another is due.

use std::net::IpAddr;

/// Whose turn it is among identities with weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    credits: Vec<(IpAddr, u8, i64)>,
}

impl Turns {
    /// The next one of these, which are in order of address and have weights above 0. Another set, or
    /// another weight, begins anew.
    pub(super) fn next(&mut self, among: &[(IpAddr, u8)]) -> Option<IpAddr> {
        let known = self
            .credits
            .iter()
            .map(|(address, weight, _)| (*address, *weight));
        if !known.eq(among.iter().copied()) {
            self.credits = among
                .iter()
                .map(|(address, weight)| (*address, *weight, 0))
                .collect();
        }
        let total: i64 = among.iter().map(|(_, weight)| i64::from(*weight)).sum();
        for (_, weight, credit) in &mut self.credits {
            *credit += i64::from(*weight);
        }
        let due = self.credits.iter_mut().filter(|(_, _, credit)| *credit > 0);
        // Steps until it is a whole mail behind: (total - credit) / weight, compared without dividing.
        let chosen = due.min_by(|a, b| {
            let left = i128::from(total - a.2) * i128::from(b.1);
            let right = i128::from(total - b.2) * i128::from(a.1);
            left.cmp(&right).then(a.0.cmp(&b.0))
        })?;
        chosen.2 -= total;
        Some(chosen.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn among(weights: &[u8]) -> Vec<(IpAddr, u8)> {
        let one = |(at, weight): (usize, &u8)| {
            let last = u8::try_from(at + 1).unwrap();
            (IpAddr::from([192, 0, 2, last]), *weight)
        };
        weights.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_heavy_one_is_mixed_with_the_others() {
        let among = among(&[50, 30, 20]);
        let mut turns = Turns::default();
        let order: String = (0..20)
            .map(|_| match turns.next(&among) {
                Some(IpAddr::V4(address)) => char::from(b'a' + address.octets()[3] - 1),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(order, "abacababacabacababac");
        for ten in [&order[..10], &order[10..]] {
            let count = |who| ten.chars().filter(|one| *one == who).count();
            assert_eq!((count('a'), count('b'), count('c')), (5, 3, 2), "{order}");
        }
        assert!(!order.contains("aa"), "{order}");
    }

    #[test]
    fn nobody_is_chosen_of_nobody_and_a_new_set_begins_anew() {
        let mut turns = Turns::default();
        assert_eq!(turns.next(&[]), None);
        let (two, one) = (among(&[1, 1]), among(&[7]));
        assert_eq!(turns.next(&two), Some(two[0].0));
        assert_eq!(turns.next(&one), Some(one[0].0));
        assert_eq!(turns.next(&two), Some(two[0].0));
    }

    proptest! {
        #[test]
        fn after_every_step_each_is_within_one_of_its_exact_share(
            weights in prop::collection::vec(1..=100_u8, 1..40),
            steps in 1..600_u64,
        ) {
            let among = among(&weights);
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let mut turns = Turns::default();
            let mut given: BTreeMap<IpAddr, u64> = BTreeMap::new();
            for step in 1..=steps {
                *given.entry(turns.next(&among).unwrap()).or_default() += 1;
                for (address, weight) in &among {
                    let got = given.get(address).copied().unwrap_or_default() * total;
                    let share = step * u64::from(*weight);
                    prop_assert!(got.abs_diff(share) < total, "{address} after {step}");
                }
            }
        }
    }
}
