//! The mass brake.

use email_engine_protocol::time::Timestamp;

/// Addresses that are newly on one list within this time are counted together.
pub const WINDOW: u64 = 4 * Timestamp::HOUR;
/// So many are never too many.
const LEAST: usize = 3;
/// More than so many always are.
const MOST: usize = 20;
/// Of a fleet between the two, in percent.
const PERCENT: usize = 5;

/// How many addresses one list may newly name within [`WINDOW`] in a fleet of so many.
#[must_use]
pub const fn most(fleet: usize) -> usize {
    let part = fleet.saturating_mul(PERCENT) / 100;
    if part < LEAST {
        LEAST
    } else if part > MOST {
        MOST
    } else {
        part
    }
}

/// Whether a list names so many that nothing is done because of it.
#[must_use]
pub const fn is_pulled(newly: usize, fleet: usize) -> bool {
    newly > most(fleet)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// max(3, min(5 % of the fleet, 20)).
    #[test]
    fn a_small_fleet_may_lose_three_and_a_large_one_twenty() {
        for (fleet, allowed) in [
            (0, 3),
            (5, 3),
            (60, 3),
            (80, 4),
            (100, 5),
            (399, 19),
            (400, 20),
            (100_000, 20),
        ] {
            assert_eq!(most(fleet), allowed, "{fleet}");
            assert!(!is_pulled(allowed, fleet) && is_pulled(allowed + 1, fleet));
        }
    }
}
