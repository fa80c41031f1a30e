//! What may enter and leave a host: rules without free text, over sets of networks with names.
//!
//! Rules are judged in order, the first that fits decides, and where none fits the chain's own fate
//! does. What no host can do without is not among them and always passes: loopback, what belongs to
//! a connection that was let through, the ICMP of path and neighbour discovery, and DHCP.

mod check;
mod decide;
mod words;

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub(super) use check::check;
pub use decide::Packet;

/// The rules of one host, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallSpec {
    /// What becomes of what enters and fits no rule.
    pub input: Fate,
    /// What becomes of what leaves and fits no rule.
    pub output: Fate,
    /// Networks by name, in order of name.
    pub sets: Vec<AddressSet>,
    /// In the order in which they are judged.
    pub rules: Vec<FirewallRule>,
    /// New rules are taken back unless a new connection to a coordinator is made within so long.
    pub rollback_seconds: u16,
    /// Counts an operator's wishes to try rules once more that were taken back.
    pub attempt: u32,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It passes.
    Accept,
    /// It is gone without a word.
    Drop,
    /// It is gone, and whoever sent it is told.
    Reject,
}

/// Networks under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSet {
    /// Lower-case letters, digits and `_`.
    pub name: String,
    /// The networks, in order, none within another. None at all: nobody is meant.
    pub networks: Vec<IpNet>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallRule {
    /// Tells it from others; shown beside its counter.
    pub name: String,
    /// Which way.
    pub direction: Direction,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where the packet goes to: ports of this host on its way in, of the other on its way out. All
    /// when there is none.
    pub ports: Vec<PortRange>,
    /// Names of sets of which one has the sender. Anybody when there is none.
    pub from: Vec<String>,
    /// The same of the receiver.
    pub to: Vec<String>,
    /// What becomes of what fits.
    pub fate: Fate,
}

/// Which way a packet goes, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It enters.
    In,
    /// It leaves.
    Out,
}

/// What a packet speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Whatever it is.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, for IPv6 its own.
    Icmp,
}

/// Ports from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last, not before the first.
    pub last: u16,
}

impl PortRange {
    /// Whether a port is among them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FirewallSpec {
    /// A set by its name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&AddressSet> {
        let at = self
            .sets
            .binary_search_by(|set| set.name.as_str().cmp(name));
        at.ok().and_then(|at| self.sets.get(at))
    }
}

#[cfg(test)]
mod tests;
