//! The mass brake.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use crate::dnsbl::query::Subject;
use crate::state::FleetState;

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

/// Lists that nothing is done because of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brakes {
    pulled: BTreeSet<ListId>,
    /// Those that name too many and are not braked yet, and how many they name.
    due: BTreeMap<ListId, u32>,
}

impl Brakes {
    /// As they are, found in one look over all listings. What a list named when an operator last said that it is
    /// right is counted no more.
    #[must_use]
    pub fn of(state: &FleetState, now: Timestamp) -> Self {
        let brakes = &state.failover.brakes;
        let mut newly: BTreeMap<&ListId, usize> = BTreeMap::new();
        for (subject, rows) in &state.listings.rows {
            if !matches!(subject, Subject::Address(_)) {
                continue;
            }
            for (list, row) in rows {
                let believed = brakes.get(list).and_then(|brake| brake.released.as_ref());
                let is_new = now.since(row.first_seen) <= WINDOW
                    && believed.is_none_or(|word| row.first_seen > word.at);
                if row.is_open() && is_new {
                    *newly.entry(list).or_default() += 1;
                }
            }
        }
        let fleet = state.identities.len();
        let due = newly
            .into_iter()
            .filter(|(list, newly)| is_pulled(*newly, fleet) && !state.failover.is_braked(list));
        let pulled = brakes.keys().filter(|list| state.failover.is_braked(list));
        Self {
            pulled: pulled.cloned().collect(),
            due: due
                .map(|(list, newly)| (list.clone(), u32::try_from(newly).unwrap_or(u32::MAX)))
                .collect(),
        }
    }

    /// Whether nothing is done because of a list.
    #[must_use]
    pub fn holds(&self, list: &ListId) -> bool {
        self.pulled.contains(list) || self.due.contains_key(list)
    }

    /// Lists that are to be braked, and how many they name.
    #[must_use]
    pub const fn due(&self) -> &BTreeMap<ListId, u32> {
        &self.due
    }
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
