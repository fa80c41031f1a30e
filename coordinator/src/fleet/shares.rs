//! How mail is divided between the identities of one purpose.
//!
//! Nothing routes by weight: the application chooses a delivery server for each message by its
//! `probability`, stops at the server's quota, and the virtual MTA caps attempts. What these three come to
//! is said here, by one function without chance in it: each identity gets mail in proportion to its
//! probability until its day's quota is reached, and what it cannot take goes to the others.

use email_engine_protocol::api::{IpSpec, IpStatus};

use crate::state::Identity;

/// Whether an identity of this declaration is meant to take new mail; whether it does, its warm-up says as
/// well ([`Identity::takes_mail`]).
#[must_use]
pub const fn takes_mail(spec: &IpSpec) -> bool {
    matches!(spec.status, IpStatus::Active | IpStatus::Warming)
}

/// What decides how much of the mail an identity gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The application's `probability`, 0 to 100.
    pub probability: u8,
    /// Mails a day at most.
    pub daily: u32,
}

impl Share {
    /// The share of an identity; nothing when it takes no mail.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        if identity.takes_mail() {
            Self {
                probability: identity.weight(),
                daily: identity.daily_quota(),
            }
        } else {
            Self {
                probability: 0,
                daily: 0,
            }
        }
    }
}

/// How many of a day's mails each identity gets. What is missing to `mails` in the sum finds no identity
/// that may take it. Of equal claims the first in the list goes first.
#[must_use]
pub fn divide(shares: &[Share], mails: u64) -> Vec<u64> {
    let mut given = vec![0_u64; shares.len()];
    let mut left = mails;
    loop {
        let open: Vec<usize> = (0..shares.len())
            .filter(|at| shares[*at].probability > 0 && given[*at] < u64::from(shares[*at].daily))
            .collect();
        let weights: u64 = open
            .iter()
            .map(|at| u64::from(shares[*at].probability))
            .sum();
        if left == 0 || weights == 0 {
            return given;
        }
        let round = left;
        let mut is_full = false;
        for at in &open {
            let room = u64::from(shares[*at].daily) - given[*at];
            let claim =
                u128::from(round) * u128::from(shares[*at].probability) / u128::from(weights);
            let claim = u64::try_from(claim).unwrap_or(u64::MAX);
            is_full |= claim >= room;
            given[*at] += claim.min(room);
            left -= claim.min(room);
        }
        if !is_full {
            // Nobody is full, so less is left than there are identities: the remainders of the division.
            remainders(shares, &mut given, &open, left, round, weights);
            return given;
        }
    }
}

/// One mail more for those with the largest remainders, each of which has room for it.
fn remainders(
    shares: &[Share],
    given: &mut [u64],
    open: &[usize],
    left: u64,
    round: u64,
    weights: u64,
) {
    let remainder =
        |at: usize| u128::from(round) * u128::from(shares[at].probability) % u128::from(weights);
    let mut order = open.to_vec();
    order.sort_by_key(|at| std::cmp::Reverse(remainder(*at)));
    let count = usize::try_from(left).unwrap_or(usize::MAX);
    for at in order.into_iter().take(count) {
        given[at] += 1;
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{Phase, WarmupSettings, WarmupStop};
    use email_engine_protocol::time::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::command::fixture::{Fleet, address};
    use crate::fleet::warmup::at_phase;
    use crate::powermta::{hourly_cap, hourly_quota};

    const fn share(probability: u8, daily: u32) -> Share {
        Share { probability, daily }
    }

    #[test]
    fn mail_goes_by_probability_and_what_one_cannot_take_goes_to_the_others() {
        let shares = [share(100, 10_000), share(50, 1_000), share(10, 50)];
        assert_eq!(divide(&shares, 160), [100, 50, 10]);
        assert_eq!(divide(&shares, 1_600), [1_033, 517, 50]);
        assert_eq!(divide(&shares, 5_000), [3_950, 1_000, 50]);
        assert_eq!(divide(&shares, 1_000_000), [10_000, 1_000, 50]);
        assert_eq!(divide(&[share(1, 9), share(1, 9)], 3), [2, 1]);
        assert_eq!(divide(&[share(0, 9)], 3), [0]);
        assert_eq!(divide(&[], 3), Vec::<u64>::new());
    }

    #[test]
    fn whoever_takes_no_mail_has_no_share_and_every_other_has_both_halves_of_one() {
        use IpStatus::{Active, Quarantine, Resting, Retiring, Standby, Warming};
        use Phase::{Week1, Week2, Week3, Week4, Week5, Week6};
        let fleet = Fleet::with_identities(1);
        let mut identity = (*fleet.state.identities[&address(0)]).clone();
        for phase in [Week1, Week2, Week3, Week4, Week5, Week6, Phase::Active] {
            for status in [Active, Quarantine, Resting, Retiring, Standby, Warming] {
                identity.spec.status = status;
                identity.warmup = at_phase(phase, &WarmupSettings::default(), Timestamp(0));
                let share = Share::of(&identity);
                let sends = takes_mail(&identity.spec);
                assert_eq!(share.probability > 0, sends, "{status:?} {phase:?}");
                assert_eq!(share.daily > 0, sends, "{status:?} {phase:?}");
                assert!(share.probability <= 100);
                // What the application hands over in an hour is let out in it.
                assert!(!sends || hourly_quota(share.daily) <= hourly_cap(share.daily));
                // What is stopped takes none, whatever its status says.
                let at = Timestamp(1);
                let reasons = Vec::new();
                identity.warmup.stopped = Some(WarmupStop { at, reasons });
                assert_eq!(Share::of(&identity).probability, 0);
            }
        }
    }

    fn shares() -> impl Strategy<Value = Vec<Share>> {
        let one = (0..=100_u8, prop_oneof![0..60_u32, 0..50_001_u32]);
        let one = one.prop_map(|(probability, daily)| share(probability, daily));
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn nobody_is_over_quota_and_nothing_is_lost_that_somebody_may_take(
            shares in shares(),
            mails in prop_oneof![0..200_u64, 0..1_000_000_u64, Just(u64::MAX)],
        ) {
            let given = divide(&shares, mails);
            prop_assert_eq!(&given, &divide(&shares, mails), "the same every time");
            prop_assert_eq!(given.len(), shares.len());
            for (given, share) in given.iter().zip(&shares) {
                prop_assert!(*given <= u64::from(share.daily));
                prop_assert!(share.probability > 0 || *given == 0);
            }
            let able = shares.iter().filter(|share| share.probability > 0);
            let able: u64 = able.map(|share| u64::from(share.daily)).sum();
            prop_assert_eq!(given.iter().sum::<u64>(), mails.min(able));
        }

        #[test]
        fn below_the_quotas_each_is_within_one_mail_of_its_part(
            probabilities in prop::collection::vec(0..=100_u8, 1..12),
            mails in 0..1_000_000_u64,
        ) {
            let shares: Vec<_> = probabilities.iter().map(|one| share(*one, u32::MAX)).collect();
            let weights: u64 = probabilities.iter().map(|one| u64::from(*one)).sum();
            for (given, probability) in divide(&shares, mails).into_iter().zip(probabilities) {
                let (weighed, part) = (given * weights, mails * u64::from(probability));
                prop_assert!(weights == 0 || weighed.abs_diff(part) <= weights);
            }
        }

        #[test]
        fn more_mail_never_gives_anybody_noticeably_less(
            shares in shares(),
            mails in 0..100_000_u64,
            more in 0..1_000_u64,
        ) {
            let (some, more) = (divide(&shares, mails), divide(&shares, mails + more));
            for (some, more) in some.into_iter().zip(more) {
                prop_assert!(more + 1 >= some, "{} became {}", some, more);
            }
        }
    }
}
