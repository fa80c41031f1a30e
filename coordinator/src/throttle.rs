//! How often one address may fail: with API keys, and with join tokens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use email_engine_protocol::time::Timestamp;

/// Counts failed attempts by address, so that guessing costs the cluster nothing.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<BTreeMap<IpAddr, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Timestamp,
    count: u32,
}

/// Failed attempts of one address within a window, before it is told to wait.
const FAILURES: u32 = 20;
const WINDOW: u64 = 60 * Timestamp::SECOND;
/// Addresses that are remembered.
const ADDRESSES: usize = 10_000;

impl Throttle {
    /// Whether this address failed too often of late.
    pub(crate) fn exhausted(&self, address: IpAddr, now: Timestamp) -> bool {
        self.locked()
            .get(&address)
            .is_some_and(|seen| now.since(seen.since) < WINDOW && seen.count >= FAILURES)
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut failures = self.locked();
        if failures.len() >= ADDRESSES && !failures.contains_key(&address) {
            failures.retain(|_, seen| now.since(seen.since) < WINDOW);
            if failures.len() >= ADDRESSES {
                failures.pop_first();
            }
        }
        let seen = failures.entry(address).or_insert(Failures {
            since: now,
            count: 0,
        });
        if now.since(seen.since) >= WINDOW {
            *seen = Failures {
                since: now,
                count: 0,
            };
        }
        seen.count = seen.count.saturating_add(1);
    }

    /// Takes one failure back: what was counted ahead turned out well.
    pub(crate) fn forgive(&self, address: IpAddr) {
        if let Some(seen) = self.locked().get_mut(&address) {
            seen.count = seen.count.saturating_sub(1);
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<IpAddr, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_keeps_failing_waits_out_the_window() {
        let throttle = Throttle::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let start = Timestamp(1_000_000);
        for _ in 0..FAILURES {
            assert!(!throttle.exhausted(address, start));
            throttle.failed(address, start);
        }
        assert!(throttle.exhausted(address, start));
        assert!(!throttle.exhausted(IpAddr::from([192, 0, 2, 2]), start));
        assert!(!throttle.exhausted(address, start.plus(WINDOW)));
        throttle.forgive(address);
        assert!(!throttle.exhausted(address, start), "one turned out well");
        throttle.failed(address, start.plus(WINDOW));
        assert!(!throttle.exhausted(address, start.plus(WINDOW)));
    }
}
