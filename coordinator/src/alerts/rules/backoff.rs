//! When a delivery is tried again.

use email_engine_protocol::time::Timestamp;

/// After the first failure.
const FIRST: u64 = 15 * Timestamp::SECOND;
/// Longest pause, its scatter not counted.
pub const LONGEST: u64 = Timestamp::HOUR;

/// Milliseconds until the next attempt, after so many that failed: twice as long each time, up to an hour,
/// and up to a quarter longer as chance has it (`random`, which is not drawn here), so that what failed
/// together does not come back together. Whoever is asked to wait waits at least that long.
#[must_use]
pub fn pause(failed: u32, random: u16, asked: Option<u64>) -> u64 {
    let doubled = FIRST.saturating_mul(1 << failed.saturating_sub(1).min(20));
    let usual = doubled.min(LONGEST);
    let least = usual.max(asked.unwrap_or_default().min(LONGEST));
    least + least / 4 * u64::from(random) / u64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_scatter_by_a_quarter() {
        let seconds = |failed, random, asked| pause(failed, random, asked) / 1_000;
        let usual: Vec<_> = (1..11).map(|failed| seconds(failed, 0, None)).collect();
        assert_eq!(usual, [15, 30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert_eq!(seconds(3, u16::MAX, None), 75);
        assert_eq!(seconds(u32::MAX, u16::MAX, None), 4_500);
        assert_eq!(seconds(1, 0, Some(40_000)), 40);
        assert_eq!(
            seconds(1, 0, Some(u64::MAX)),
            3_600,
            "nobody is believed for longer"
        );
    }
}
