//! A listed identity that was taken out, and what came of the search for another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{IpStatus, ListingClass, Purpose};
use email_engine_protocol::id::{ListId, TenantId};
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use crate::fleet::failover::Obstacle;
use crate::state::Identity;

/// An identity was taken out because lists have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingEvent {
    /// Which one.
    pub address: IpAddr,
    /// Its domain.
    pub domain: DomainName,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it sent.
    pub purpose: Purpose,
    /// The lists that it was taken out by.
    pub lists: BTreeMap<ListId, ListingHit>,
    /// When.
    pub at: Timestamp,
    /// Fleet revision that it was done by.
    pub revision: u64,
    /// Mails a day that were lost with it.
    pub lost: u32,
    /// Whether another is sought, and what came of it.
    pub search: Search,
}

impl ListingEvent {
    /// Whether it is why an identity is out now: since then it was neither let go and taken out anew, nor is it
    /// another one at the same address.
    #[must_use]
    pub fn is_behind(&self, identity: &Identity) -> bool {
        use IpStatus::{Active, Quarantine, Warming};
        let turns = identity.life.turns();
        let mut turns = turns.filter(|turn| matches!(turn.to, Quarantine | Active | Warming));
        let is_last = turns
            .next()
            .is_none_or(|turn| turn.to == Quarantine && turn.at == self.at);
        self.address == identity.spec.address && self.at >= identity.added_at && is_last
    }
}

/// What one list said when it was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingHit {
    /// What it answered.
    pub codes: BTreeSet<Ipv4Addr>,
    /// The strongest class of that.
    pub class: ListingClass,
    /// What it means.
    pub meaning: String,
}

/// Whether another takes its place. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Search {
    /// It did not send: nothing is lost, and nobody is sought.
    NothingLost,
    /// Another is sought.
    Open {
        /// What stood in the way when it was looked at last.
        obstacle: Option<Obstacle>,
    },
    /// Another took its place.
    Replaced {
        /// Which one.
        by: IpAddr,
        /// Its domain.
        domain: DomainName,
        /// How much of what was lost it can send, in percent.
        restores_percent: u32,
        /// When.
        at: Timestamp,
        /// Fleet revision that it was done by.
        revision: u64,
    },
    /// Nobody did, and nobody is sought any more.
    Ended {
        /// When.
        at: Timestamp,
        /// Why.
        why: Ending,
        /// What stood in the way last.
        obstacle: Option<Obstacle>,
    },
}

impl Search {
    /// Whether it goes on.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// Why nobody is sought any more. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The time for it is over.
    TooLate,
    /// The listed one is not in quarantine any more, or gone.
    Over,
}
