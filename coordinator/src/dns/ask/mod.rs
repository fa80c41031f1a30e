//! Asks the servers of DNS: the way to the network, and the only one of this room.
//!
//! - [`exchange()`] sends one message to one server and takes its answer: bounded, with time limits, over TCP
//!   when it does not fit.
//! - `zones` finds who is authoritative for a name, by the operator's own resolvers.
//! - [`Asker`] answers what [`verdict`](super::verdict) lacks, and remembers it for one look: looks share
//!   nothing, so that each sees the present.

mod asker;
mod exchange;
mod message;
mod zones;

pub use asker::{Asker, look};
pub use exchange::{ExchangeError, exchange, exchange_signed};
pub use message::query;
pub use zones::{Server, Zone};

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// Where questions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskConfig {
    /// Resolvers that find zones and answer what is not ours, tried in turn.
    pub resolvers: Vec<SocketAddr>,
    /// Whether an operator named them: the domains of sandboxes are examples, which nobody looks up in the
    /// world by chance.
    pub are_named: bool,
    /// Port of authoritative servers.
    pub port: u16,
    /// How long one attempt waits.
    pub patience: Duration,
}

impl AskConfig {
    /// Usual patience with a server.
    pub const PATIENCE: Duration = Duration::from_secs(3);

    /// The resolvers that a file names as `/etc/resolv.conf` does; those that cannot be read are none.
    #[must_use]
    pub fn resolvers_of(path: &Path) -> Vec<SocketAddr> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let named = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next())?
        });
        let parsed = named.filter_map(|word| word.parse::<IpAddr>().ok());
        parsed.map(|address| SocketAddr::new(address, 53)).collect()
    }
}
