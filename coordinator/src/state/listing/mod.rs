//! Who is on which list of bad senders, who saw it and when; how the lists answer; and the sweep that is
//! under way. Observations, not decisions: nothing here takes anybody out of service.

mod replies;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::ListingClass;
use email_engine_protocol::id::{ListId, NodeId};
use email_engine_protocol::time::Timestamp;

use super::{Keys, Table};
use crate::dnsbl::query::Subject;

pub use replies::Replies;

/// Everything that lists said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listings {
    /// By whom and list; those that ended stay for a while.
    pub rows: Table<Subject, BTreeMap<ListId, Arc<Listing>>>,
    /// How each list answers.
    pub lists: BTreeMap<ListId, ListHealth>,
    /// The last sweep.
    pub sweep: Option<Sweep>,
    /// What receivers' replies say of lists, by identity.
    pub replies: Table<IpAddr, BTreeMap<ListId, Arc<Replies>>>,
}

/// Somebody on one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// Who saw it, and when first.
    pub observers: BTreeMap<Observer, Timestamp>,
    /// What the list answered last.
    pub codes: BTreeSet<Ipv4Addr>,
    /// The strongest class of that.
    pub class: ListingClass,
    /// What the codes mean.
    pub meaning: String,
    /// The list's own words.
    pub reason: Option<String>,
    /// Since when two who do not share a resolver have seen it, far enough apart in time.
    pub confirmed_at: Option<Timestamp>,
    /// Since when the list, while it was healthy, has nothing against it any more.
    pub cleared_at: Option<Timestamp>,
}

impl Listing {
    /// Whether it counts: confirmed, and not over.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some() && self.cleared_at.is_none()
    }

    /// Whether it is not over.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.cleared_at.is_none()
    }
}

/// Whose eyes: a node, and the resolver that it asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observer {
    /// Which node.
    pub node: NodeId,
    /// Which resolver, as address and port.
    pub resolver: String,
}

impl Observer {
    /// Whether two see by different eyes: another resolver, and another node where there is one. Every node
    /// has a resolver of its own on its loopback, so that the same words on two nodes are two resolvers.
    #[must_use]
    pub fn is_independent_of(&self, other: &Self, is_alone: bool) -> bool {
        if is_alone {
            self.resolver != other.resolver
        } else {
            self.node != other.node
        }
    }
}

/// How a list answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListHealth {
    /// When it last answered its test points right, before and after a run.
    pub healthy_at: Option<Timestamp>,
    /// Since when it does not, and why.
    pub unhealthy: Option<(Timestamp, String)>,
    /// When it was first asked.
    pub known_since: Timestamp,
    /// When the sweep began of which it was asked last.
    pub swept_from: Option<Timestamp>,
    /// Of whom nothing is known since then although it is healthy.
    pub unknown: Keys<Subject>,
}

/// One look at everybody on every list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Counts up.
    pub number: u64,
    /// When it began.
    pub began_at: Timestamp,
    /// When all lists were through, or the next one began.
    pub closed_at: Option<Timestamp>,
    /// Nodes among which its lists are shared out.
    pub members: BTreeSet<NodeId>,
    /// The lists, and what came of them.
    pub lists: BTreeMap<ListId, SweptList>,
    /// What held when it began.
    pub rules: SweepRules,
}

/// Times that a sweep goes by, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRules {
    /// Between the beginnings of two.
    pub every: u64,
    /// Between two sightings that confirm each other.
    pub confirm: u64,
    /// After which another node takes a list over.
    pub takeover: u64,
}

impl Default for SweepRules {
    fn default() -> Self {
        Self {
            every: 4 * Timestamp::HOUR,
            confirm: 10 * 60 * Timestamp::SECOND,
            takeover: 15 * 60 * Timestamp::SECOND,
        }
    }
}

/// One list of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweptList {
    /// What a listing on it may do to an address.
    pub weight: ListWeight,
    /// Identities in quarantine that it has nothing against.
    pub clean: BTreeSet<Subject>,
    /// What came of it, once it did.
    pub run: Option<ListRun>,
}

/// What a listing may do to an address. Append-only: in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ListWeight {
    /// It is told, or it is of names.
    #[default]
    Told,
    /// It slows it.
    Slows,
    /// It takes it out of service.
    TakesOut,
}

impl ListWeight {
    /// Whether an identity must be off such a list to leave quarantine.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Told)
    }
}

/// What came of asking one list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRun {
    /// Who asked.
    pub observer: Observer,
    /// When that was said.
    pub at: Timestamp,
    /// Why it is not believed; none when it is.
    pub trouble: Option<String>,
    /// Whom it was asked about.
    pub subjects: u32,
    /// How many of them it has something against.
    pub listed: u32,
    /// Of how many nothing is known.
    pub unknown: u32,
}
