//! What strangers may cost. Whoever shows a token that this node does not know makes it ask the leader,
//! and the leader a majority: all who ask at once share one such read, and who shows wrong tokens too
//! often waits.

use std::net::IpAddr;

use tokio::sync::Mutex;

use super::{Refused, unavailable};
use crate::push::{Fleet, now};
use crate::throttle::Throttle;

/// What an address is told that showed too many.
const TOO_MANY: &str = "too many join tokens from this address were not accepted; wait a minute";

/// Failures by address, and the read that is shared.
#[derive(Debug, Default)]
pub(in crate::push) struct Strangers {
    throttle: Throttle,
    reads: SharedReads,
}

impl Strangers {
    /// Brings this node up to date for somebody at this address. It counts as a failure of that
    /// address until [`known`](Self::known) says that it was none.
    pub(super) async fn look_up<F: Fleet>(&self, fleet: &F, from: IpAddr) -> Result<(), Refused> {
        let (from, now) = (from.to_canonical(), now());
        if self.throttle.exhausted(from, now) {
            return Err(unavailable(TOO_MANY));
        }
        self.throttle.failed(from, now);
        self.reads.linearize(fleet).await
    }

    /// What was looked up is known.
    pub(super) fn known(&self, from: IpAddr) {
        self.throttle.forgive(from.to_canonical());
    }
}

/// Reads of the newest state, one at a time, each for all who came before it began.
#[derive(Debug, Default)]
struct SharedReads {
    begun: std::sync::atomic::AtomicU64,
    last: Mutex<Last>,
}

/// The last read that ended, and how.
#[derive(Debug, Default)]
struct Last {
    number: u64,
    failed: Option<Refused>,
}

impl SharedReads {
    async fn linearize<F: Fleet>(&self, fleet: &F) -> Result<(), Refused> {
        use std::sync::atomic::Ordering::SeqCst;
        // One that has begun already may have missed what was committed just now.
        let wanted = self.begun.load(SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.number < wanted {
            let number = self.begun.fetch_add(1, SeqCst) + 1;
            let failed = fleet.linearize().await.map_err(unavailable).err();
            *last = Last { number, failed };
        }
        last.failed.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::push::testbed::{TestNode, wait_for};

    #[tokio::test]
    async fn all_who_ask_while_a_read_is_under_way_share_the_next() {
        let node = TestNode::start();
        let reads = Arc::new(SharedReads::default());
        let before = node.fleet.reads();
        let held = node.fleet.hold_reads().await;
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let (reads, fleet) = (reads.clone(), node.fleet.clone());
                tokio::spawn(async move { reads.linearize(&fleet).await })
            })
            .collect();
        // The first has begun its read, and all others have come.
        while Arc::strong_count(&reads) < 101 || node.fleet.reads() == before {
            tokio::task::yield_now().await;
        }
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        drop(held);
        for one in asked {
            wait_for(one, "everybody is answered")
                .await
                .unwrap()
                .unwrap();
        }
        assert_eq!(node.fleet.reads() - before, 2);
    }
}
