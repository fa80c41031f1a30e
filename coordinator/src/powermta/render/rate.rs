//! How fast an identity may go.
//!
//! Two brakes work together: `MailWizz` stops at the day's quota, and PowerMTA caps *attempts*, retries
//! included, at one and a half times the quota, spread over the hours of a day. An equal cap would let
//! one day's deferrals eat the next day's mail.

/// Attempts an hour that PowerMTA allows for a daily quota: 1.5 times the quota, spread over 24 hours,
/// rounded down so that the cap is never above, and at least one.
#[must_use]
pub fn hourly_cap(daily_quota: u32) -> u32 {
    let cap = u64::from(daily_quota) * 3 / 48;
    u32::try_from(cap).unwrap_or(u32::MAX).max(1)
}

/// Mails an hour that `MailWizz` hands over for a daily quota. Rounded up: the daily quota stops it,
/// and for every quota of the warm-up it stays at or below what PowerMTA lets out.
#[must_use]
pub const fn hourly_quota(daily_quota: u32) -> u32 {
    daily_quota.div_ceil(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_is_at_most_one_and_a_half_quotas_a_day() {
        for (quota, cap) in [
            (50, 3),
            (100, 6),
            (250, 15),
            (500, 31),
            (1_000, 62),
            (2_000, 125),
            (10_000, 625),
            (50_000, 3_125),
        ] {
            assert_eq!(hourly_cap(quota), cap);
            assert!(u64::from(cap) * 24 * 2 <= u64::from(quota) * 3, "{quota}");
            assert!(hourly_quota(quota) <= cap, "{quota}");
        }
        assert_eq!(hourly_cap(0), 1);
        assert_eq!(hourly_cap(u32::MAX), 268_435_455);
    }
}
