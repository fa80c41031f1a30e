//! What is held against addresses that no identity has. Lists and receivers know an address and not who
//! entered it here: whoever was out or stopped when it left is so when it comes again.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::WarmupStop;
use email_engine_protocol::time::Timestamp;

use super::{Identity, Quarantine};
use crate::state::{Keys, Table};

/// How long an address is held to what it left with. Lists forget most addresses within weeks, and nobody
/// looks at this one meanwhile.
const HELD_MILLIS: u64 = 90 * Timestamp::DAY;

/// What an address left with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Why it was out, when it was, and since when.
    pub quarantine: Option<(Quarantine, Timestamp)>,
    /// Why it was stopped, when it was.
    pub stopped: Option<WarmupStop>,
    /// From here on it is not held to it any more.
    pub until: Timestamp,
}

impl Held {
    /// What is held against an identity that leaves now; nothing against most.
    #[must_use]
    pub fn of(identity: &Identity, now: Timestamp) -> Option<Self> {
        let life = &identity.life;
        let quarantine = life.quarantine.clone().map(|out| (out, life.since));
        let stopped = identity.warmup.stopped.clone();
        (quarantine.is_some() || stopped.is_some()).then(|| Self {
            quarantine,
            stopped,
            until: now.plus(HELD_MILLIS),
        })
    }
}

/// The addresses, bounded: where there are too many, what would end first goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAddresses {
    rows: Table<IpAddr, Arc<Held>>,
    /// The same by their ends.
    ends: Keys<(Timestamp, IpAddr)>,
}

impl HeldAddresses {
    /// Most addresses: all of a fleet.
    pub const MOST: usize = 250_000;

    /// Holds an address to something; what is over by now goes.
    pub fn keep(&mut self, address: IpAddr, held: Held, now: Timestamp) {
        self.forget(address);
        while let Some((until, first)) = self.ends.first().copied() {
            if until > now && self.rows.len() < Self::MOST {
                break;
            }
            self.forget(first);
        }
        self.ends.insert((held.until, address));
        self.rows.insert(address, Arc::new(held));
    }

    /// What an address is held to at this moment.
    #[must_use]
    pub fn of(&self, address: IpAddr, now: Timestamp) -> Option<&Held> {
        let held = self.rows.get(&address).map(|held| &**held);
        held.filter(|held| now < held.until)
    }

    /// It is an identity's again, whose row says so from now on.
    pub fn forget(&mut self, address: IpAddr) {
        if let Some(held) = self.rows.remove(&address) {
            self.ends.remove(&(held.until, address));
        }
    }

    /// All addresses that are held to something, in their order.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.rows.keys().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether both orders hold the same addresses.
    pub(crate) fn is_consistent(&self) -> bool {
        let ends = self
            .rows
            .iter()
            .map(|(address, held)| (held.until, *address));
        ends.collect::<Keys<_>>() == self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(until: u64) -> Held {
        Held {
            quarantine: None,
            stopped: None,
            until: Timestamp(until),
        }
    }

    fn address(at: u32) -> IpAddr {
        crate::command::fixture::address(at)
    }

    #[test]
    fn it_ends_by_its_date_and_the_newest_word_counts() {
        let mut all = HeldAddresses::default();
        all.keep(address(0), held(10), Timestamp(1));
        assert!(all.of(address(0), Timestamp(9)).is_some());
        assert!(all.of(address(0), Timestamp(10)).is_none());
        all.keep(address(0), held(20), Timestamp(2));
        assert!(all.of(address(0), Timestamp(10)).is_some());
        // What is over goes when another one comes.
        all.keep(address(1), held(40), Timestamp(30));
        assert_eq!(all.addresses().collect::<Vec<_>>(), [address(1)]);
        assert!(all.is_consistent());
    }

    #[test]
    fn of_too_many_the_one_that_would_end_first_goes_first() {
        let mut all = HeldAddresses::default();
        let most = u32::try_from(HeldAddresses::MOST).unwrap();
        for at in 0..most {
            // The first that comes is not the first that ends.
            let until = if at == 7 { 50 } else { 100 + u64::from(at) };
            all.keep(address(at), held(until), Timestamp(1));
        }
        assert_eq!(all.len(), HeldAddresses::MOST);
        all.keep(address(most), held(1_000_000), Timestamp(2));
        assert_eq!(all.len(), HeldAddresses::MOST);
        assert!(all.of(address(7), Timestamp(2)).is_none());
        assert!(all.of(address(0), Timestamp(2)).is_some());
        assert!(all.is_consistent());
    }
}
