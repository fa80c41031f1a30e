//! What was done about listings: who was taken out, who took whose place, and what keeps the fleet from doing
//! more of it by itself.

mod campaigns;
mod event;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::Purpose;
use email_engine_protocol::id::{ListId, TenantId};
use email_engine_protocol::time::Timestamp;

use super::{Keys, Queue, Table};
use crate::alerts::rules::Line;
use crate::fleet::failover::breaker::Cause;

pub use campaigns::{HeldCampaign, HeldCampaigns};
pub use event::{Ending, ListingEvent, ListingHit, Search};

/// All that was done about listings, and what stands against more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// Number of the next event.
    pub next: u64,
    /// Identities that were taken out, by number; bounded.
    pub events: Table<u64, std::sync::Arc<ListingEvent>>,
    /// Events whose replacement is sought; follows from the rows.
    pub searching: Keys<u64>,
    /// Promotions that count for a budget, oldest first.
    pub promotions: Queue<Promotion>,
    /// Tenants that an operator lets nobody be promoted for.
    pub frozen: BTreeMap<TenantId, Frozen>,
    /// Tenants' breakers that are open, or were released.
    pub breakers: BTreeMap<TenantId, Breaker>,
    /// Lists that named too many at once.
    pub brakes: BTreeMap<ListId, Brake>,
}

impl Failover {
    /// Most events that are kept.
    pub const EVENTS: usize = 10_000;

    /// Puts an event in, with what follows from it, and forgets the oldest that nobody is sought for when
    /// there are too many.
    pub(crate) fn insert(&mut self, id: u64, event: ListingEvent) {
        if event.search.is_open() {
            self.searching.insert(id);
        } else {
            self.searching.remove(&id);
        }
        self.events.insert(id, std::sync::Arc::new(event));
        if self.events.len() > Self::EVENTS {
            let oldest = self.events.keys().find(|id| !self.searching.contains(*id));
            if let Some(oldest) = oldest.copied() {
                self.events.remove(&oldest);
            }
        }
    }

    /// Whether an open breaker pauses what is sent for this purpose.
    #[must_use]
    pub fn pauses(&self, tenant: &TenantId, purpose: Purpose) -> bool {
        let open = self.open_breaker(tenant);
        open.is_some_and(|open| open.paused.contains(&purpose))
    }

    /// A tenant's breaker, when it is open.
    #[must_use]
    pub fn open_breaker(&self, tenant: &TenantId) -> Option<&Open> {
        self.breakers.get(tenant)?.open.as_ref()
    }

    /// Whether nothing is done because of a list.
    #[must_use]
    pub fn is_braked(&self, list: &ListId) -> bool {
        let brake = self.brakes.get(list);
        brake.is_some_and(|brake| brake.released.is_none())
    }

    /// Takes back what was a tenant's: its name may be another's one day.
    pub(crate) fn forget_tenant(&mut self, tenant: &TenantId) {
        self.frozen.remove(tenant);
        self.breakers.remove(tenant);
        let own = self
            .events
            .iter()
            .filter(|(_, event)| event.tenant == *tenant);
        for id in own.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.events.remove(&id);
            self.searching.remove(&id);
        }
    }
}

/// Somebody took another's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Whose.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// Because of which event.
    pub event: u64,
}

/// Nobody is promoted by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Since when.
    pub at: Timestamp,
    /// Who said so.
    pub by: Line,
    /// Why.
    pub reason: Line,
}

/// A tenant's breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Since when it is open, if it is, and why.
    pub open: Option<Open>,
    /// The last word that it may go on. What was so then does not open it again.
    pub released: Option<Released>,
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// What is not sent meanwhile.
    pub paused: BTreeSet<Purpose>,
}

/// An operator's word that a tenant may go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// When. Complaints of before count no more.
    pub at: Timestamp,
    /// Who.
    pub by: Line,
    /// Why.
    pub reason: Line,
    /// Who was in quarantine then, and since when: that it is counts no more.
    pub out: BTreeMap<IpAddr, Timestamp>,
    /// Number of the next event then: a budget that is spent for earlier ones opens it no more.
    pub events: u64,
}

/// A list that named too many at once: nothing is done because of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// Since when.
    pub at: Timestamp,
    /// How many addresses it newly named then.
    pub addresses: u32,
    /// The last word that it is right all the same. Whom it named then is believed.
    pub released: Option<Believed>,
}

/// An operator's word that a list is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Believed {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Line,
    /// Why.
    pub reason: Line,
}
