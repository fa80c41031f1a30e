//! The number of a desired state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `(epoch, number)`, compared lexicographically within one cluster and host.
///
/// The number grows by one with every accepted target; the epoch only by restore or recovery, so
/// that a cluster that was taken back to an older backup still speaks with authority.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Generation {
    /// Raised by restore or recovery only.
    pub epoch: u64,
    /// Raised by one per accepted target; the first is 1.
    pub number: u64,
}

impl Generation {
    /// The generation that follows within `epoch`: the number goes on over a change of epoch, so
    /// that a number names one target for ever.
    #[must_use]
    pub const fn next(self, epoch: u64) -> Self {
        Self {
            epoch,
            number: self.number.saturating_add(1),
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_epoch_wins_over_any_number() {
        let old = Generation {
            epoch: 1,
            number: 900,
        };
        let new = Generation {
            epoch: 2,
            number: 3,
        };
        assert!(new > old);
        assert_eq!(
            old.next(2),
            Generation {
                epoch: 2,
                number: 901
            }
        );
        assert_eq!(old.to_string(), "1.900");
    }
}
