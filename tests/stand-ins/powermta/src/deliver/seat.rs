//! `mx-connection-limit` and `ip-connection-limit`: connections of one address to one host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;

use super::route::Hop;
use crate::config::Config;
use crate::engine::{Engine, locked};
use crate::queue::QueueKey;

/// Whose connections are counted together: an address of ours, and a host or an address of theirs.
type Pair = (Option<IpAddr>, String);

/// Who is connected to whom.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    taken: BTreeMap<Pair, u64>,
    /// How often a seat became free.
    freed: u64,
}

/// One connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Seat<'a> {
    engine: &'a Engine,
    pairs: [Pair; 2],
}

/// Every seat is taken, as it was when so many had become free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    freed: u64,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut inner = locked(&self.engine.seats.inner);
        inner.freed += 1;
        for pair in &self.pairs {
            if let Some(count) = inner.taken.get_mut(pair) {
                *count = count.saturating_sub(1);
            }
        }
        inner.taken.retain(|_, count| *count > 0);
        drop(inner);
        self.engine.queues().release();
        self.engine.work.notify_one();
    }
}

/// A seat at a host, unless its limit or its address's is reached.
pub(super) fn take<'a>(
    engine: &'a Engine,
    config: &Config,
    source: Option<IpAddr>,
    hop: &Hop,
) -> Result<Seat<'a>, Full> {
    let address = hop.address.ip();
    let pairs = [
        (source, hop.host.clone()),
        (source, format!("address {address}")),
    ];
    let limits = [
        config.most_to_exchanger(&hop.host),
        config.most_to_address(address),
    ];
    let mut inner = locked(&engine.seats.inner);
    let full = pairs.iter().zip(limits).any(|(pair, most)| {
        let taken = inner.taken.get(pair).copied().unwrap_or_default();
        most.is_some_and(|most| taken >= most)
    });
    if full {
        return Err(Full { freed: inner.freed });
    }
    for pair in &pairs {
        *inner.taken.entry(pair.clone()).or_default() += 1;
    }
    drop(inner);
    Ok(Seat { engine, pairs })
}

/// Lets a queue wait for a seat, unless one became free since it was told that there is none.
pub(super) fn wait(engine: &Engine, key: &QueueKey, full: Full, until: i64) {
    // Held until the queue is told: who leaves now would wake nobody.
    let inner = locked(&engine.seats.inner);
    if inner.freed == full.freed {
        let why = "every host has as many connections as its limit allows";
        engine.queues().hold(key, why, until);
    }
}
