//! How many promotions there may be.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::FailoverSettings;
use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

/// The longest that a promotion counts.
pub const WEEK: u64 = 7 * Timestamp::DAY;

/// A promotion that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// When.
    pub at: Timestamp,
}

/// A budget that is spent. Part of the log: append-only.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
pub enum Spent {
    /// The tenant's of 24 hours: it opens the tenant's breaker.
    #[error("its promotions of 24 hours are spent until {0}")]
    Day(Timestamp),
    /// The tenant's of 7 days: it opens the tenant's breaker.
    #[error("its promotions of 7 days are spent until {0}")]
    Week(Timestamp),
    /// The fleet's of an hour, which is no tenant's fault: it is waited for.
    #[error("the fleet's promotions of an hour are spent until {0}")]
    Hour(Timestamp),
}

impl Spent {
    /// Whether it is the tenant's own.
    #[must_use]
    pub const fn is_tenants(self) -> bool {
        matches!(self, Self::Day(_) | Self::Week(_))
    }
}

/// Whether a tenant may have one more promotion now; else the budget that is free again last. A promotion of a
/// time that is still to come counts as made now: clocks are set.
///
/// # Errors
/// The budget that is spent.
pub fn check<'a>(
    made: impl Iterator<Item = Made<'a>> + Clone,
    tenant: &TenantId,
    settings: &FailoverSettings,
    now: Timestamp,
) -> Result<(), Spent> {
    let own = made.clone().filter(|one| one.tenant == tenant);
    let own = own.map(|one| one.at);
    let day = free_at(own.clone(), settings.promotions_a_day, Timestamp::DAY, now);
    let week = free_at(own, settings.promotions_a_week, WEEK, now);
    let all = made.map(|one| one.at);
    let hour = free_at(all, settings.fleet_promotions_an_hour, Timestamp::HOUR, now);
    // What is the tenant's own comes before what is everybody's.
    match (day, week, hour) {
        (Some(day), Some(week), _) if day > week => Err(Spent::Day(day)),
        (_, Some(week), _) => Err(Spent::Week(week)),
        (Some(day), None, _) => Err(Spent::Day(day)),
        (None, None, Some(hour)) => Err(Spent::Hour(hour)),
        (None, None, None) => Ok(()),
    }
}

/// When one more fits into a window that holds so many; none when it does now.
fn free_at(
    made: impl Iterator<Item = Timestamp>,
    most: u32,
    window: u64,
    now: Timestamp,
) -> Option<Timestamp> {
    let mut within: Vec<_> = made
        .map(|at| at.min(now))
        .filter(|at| now.since(*at) < window)
        .collect();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    // So many must have left the window that one more fits.
    let leaving = within.len().checked_sub(most)?;
    within.sort_unstable();
    within.get(leaving).map(|at| at.plus(window))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000 * Timestamp::DAY);

    fn id(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn ago(millis: u64) -> Timestamp {
        Timestamp(NOW.0 - millis)
    }

    fn checked(own: &[Timestamp], others: &[Timestamp]) -> Result<(), Spent> {
        let (tenant, other) = (id("client-1"), id("client-2"));
        let own = own.iter().map(|at| (&tenant, *at));
        let others = others.iter().map(|at| (&other, *at));
        let made = own.chain(others).map(|(tenant, at)| Made { tenant, at });
        check(made, &tenant, &FailoverSettings::default(), NOW)
    }

    #[test]
    fn a_tenant_has_one_a_day_and_two_a_week() {
        assert_eq!(checked(&[], &[]), Ok(()));
        let day = Timestamp::DAY;
        assert_eq!(checked(&[ago(1)], &[]), Err(Spent::Day(ago(1).plus(day))));
        assert_eq!(checked(&[ago(day)], &[]), Ok(()));
        let twice = [ago(day), ago(3 * day)];
        assert_eq!(
            checked(&twice, &[]),
            Err(Spent::Week(ago(3 * day).plus(WEEK)))
        );
        let late = [ago(1), ago(WEEK - 1)];
        assert_eq!(checked(&late, &[]), Err(Spent::Day(ago(1).plus(day))));
        assert_eq!(checked(&[ago(day), ago(WEEK)], &[]), Ok(()));
        assert_eq!(checked(&[], &[ago(2 * Timestamp::HOUR); 9]), Ok(()));
    }

    #[test]
    fn the_fleet_has_two_an_hour_whosever_they_are() {
        let hour = Timestamp::HOUR;
        let spent = checked(&[], &[ago(1), ago(9)]);
        assert_eq!(spent, Err(Spent::Hour(ago(9).plus(hour))));
        assert!(!spent.unwrap_err().is_tenants());
        let three = checked(&[], &[ago(1), ago(5), ago(9)]);
        assert_eq!(
            three,
            Err(Spent::Hour(ago(5).plus(hour))),
            "two have to leave the hour"
        );
        assert_eq!(checked(&[], &[ago(1), ago(hour)]), Ok(()));
    }

    proptest! {
        /// Whatever was made, and whatever the clock does: when the time that is told has come, one more fits as
        /// far as that budget goes, and never earlier.
        #[test]
        fn what_is_told_is_when_one_more_fits(
            own in prop::collection::vec(0..9 * Timestamp::DAY, 0..6),
            others in prop::collection::vec(0..2 * Timestamp::HOUR, 0..4),
        ) {
            let own: Vec<_> = own.into_iter().map(ago).collect();
            let others: Vec<_> = others.into_iter().map(ago).collect();
            let within = |times: &[Timestamp], window| {
                times.iter().filter(|at| NOW.since(**at) < window).count()
            };
            let day = within(&own, Timestamp::DAY);
            let week = within(&own, WEEK);
            let hour = within(&own, Timestamp::HOUR) + within(&others, Timestamp::HOUR);
            let free = day < 1 && week < 2 && hour < 2;
            let result = checked(&own, &others);
            prop_assert_eq!(result.is_ok(), free);
            if let Err(Spent::Day(at) | Spent::Week(at) | Spent::Hour(at)) = result {
                prop_assert!(at > NOW);
            }
        }
    }
}
