//! A campaign that is larger than one identity's quota.

use std::net::IpAddr;

use super::rotation::{Candidate, Rotation};
use crate::fleet::shares::{Share, divide};

/// Identities that send a volume together, or as much of it as they may today.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Mails of each, in order of address; nobody with none.
    pub parts: Vec<(IpAddr, u64)>,
    /// What is left over for today.
    pub missing: u64,
    /// Days after today, at today's quotas, until that has been sent too.
    pub more_days: u64,
}

/// Divides a volume by weight among those that have quota left.
#[must_use]
pub fn cover(rotation: &Rotation, candidates: &[Candidate], volume: u64) -> Cover {
    let shares: Vec<Share> = candidates
        .iter()
        .map(|one| Share {
            probability: one.weight,
            daily: u32::try_from(rotation.left(one)).unwrap_or(u32::MAX),
        })
        .collect();
    let given = divide(&shares, volume);
    let sum: u64 = given.iter().sum();
    let missing = volume - sum;
    let a_day: u64 = candidates.iter().map(|one| u64::from(one.quota)).sum();
    Cover {
        parts: candidates
            .iter()
            .zip(given)
            .filter(|(_, mails)| *mails > 0)
            .map(|(one, mails)| (one.address, mails))
            .collect(),
        missing,
        more_days: missing.div_ceil(a_day.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::Rotation as Mode;
    use email_engine_protocol::time::Timestamp;

    use super::*;
    use crate::fleet::selection::Used;

    fn candidates() -> [Candidate; 3] {
        [(1, 100, 10_000), (2, 50, 1_000), (3, 10, 50)].map(|(last, weight, quota)| Candidate {
            address: IpAddr::from([192, 0, 2, last]),
            weight,
            quota,
            used: Used::default(),
        })
    }

    fn parts(cover: &Cover) -> Vec<u64> {
        cover.parts.iter().map(|(_, mails)| *mails).collect()
    }

    #[test]
    fn a_volume_is_divided_by_weight_within_what_is_left() {
        let mut rotation = Rotation::default();
        let mut all = candidates();
        assert_eq!(parts(&cover(&rotation, &all, 1_600)), [1_033, 517, 50]);
        // What is used already is not there to be given.
        all[1].used.today = 600;
        let now = Timestamp(20_000 * Timestamp::DAY);
        for _ in 0..50 {
            assert!(rotation.choose(&all[2..], Mode::RoundRobin, now).is_some());
        }
        let covered = cover(&rotation, &all, 5_000);
        assert_eq!(parts(&covered), [4_600, 400]);
        assert_eq!((covered.missing, covered.more_days), (0, 0));
    }

    #[test]
    fn what_is_missing_is_said_with_the_days_that_it_takes() {
        let covered = cover(&Rotation::default(), &candidates(), 33_151);
        assert_eq!(parts(&covered), [10_000, 1_000, 50]);
        // 11,050 a day: two days more, and one mail on the third.
        assert_eq!((covered.missing, covered.more_days), (22_101, 3));
        assert_eq!(cover(&Rotation::default(), &[], 7).missing, 7);
    }
}
