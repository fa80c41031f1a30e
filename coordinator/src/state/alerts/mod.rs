//! Alerts: what was raised, how far each delivery is, and by which channels, routes and silences. What they
//! mean is said in [`crate::alerts::rules`].

mod channel;
mod row;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Occasion, RouteSpec};
use email_engine_protocol::id::{ChannelName, RouteName, TenantId};
use email_engine_protocol::time::Timestamp;

use super::{Keys, Table};
use crate::alerts::rules::AlertKey;

pub use channel::{Channel, Silence};
pub use row::{Alert, Delivery};

/// When something is tried next, and what: an alert's number, to whom, on which occasion.
pub type Due = (Timestamp, u64, Occasion, ChannelName);

/// All that is known of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    /// Number of the next one.
    pub next: u64,
    /// Those that are kept, by number; bounded.
    pub rows: Table<u64, Arc<Alert>>,
    /// The last of each, which is the one that the same is counted at.
    pub last: Table<AlertKey, u64>,
    /// Deliveries that wait, by when; follows from the rows.
    pub due: Keys<Due>,
    /// Those that are over and wait for nobody: the first to go. Follows from the rows.
    pub settled: Keys<u64>,
    /// Ways to people.
    pub channels: BTreeMap<ChannelName, Arc<Channel>>,
    /// Who is told what.
    pub routes: BTreeMap<RouteName, RouteSpec>,
    /// What is kept quiet.
    pub silences: BTreeMap<u64, Silence>,
    /// Number of the next silence.
    pub next_silence: u64,
}

impl Alerts {
    /// Puts a row in, with what follows from it.
    pub(crate) fn insert(&mut self, id: u64, row: Alert) {
        for (at, channel, occasion) in row.waiting() {
            self.due.insert((at, id, occasion, channel.clone()));
        }
        if row.is_settled() {
            self.settled.insert(id);
        }
        self.rows.insert(id, Arc::new(row));
    }

    /// Takes a row out, with what follows from it; it stays the last of its key.
    pub(crate) fn take(&mut self, id: u64) -> Option<Arc<Alert>> {
        let row = self.rows.remove(&id)?;
        for (at, channel, occasion) in row.waiting() {
            self.due.remove(&(at, id, occasion, channel.clone()));
        }
        self.settled.remove(&id);
        Some(row)
    }

    /// Forgets a row.
    pub(crate) fn remove(&mut self, id: u64) {
        if let Some(row) = self.take(id) {
            let key = row.event.key();
            if self.last.get(&key) == Some(&id) {
                self.last.remove(&key);
            }
        }
    }

    /// Takes back what was a tenant's: its name may be another's one day.
    pub(crate) fn forget_tenant(&mut self, tenant: &TenantId) {
        let is_its = |of: &Option<TenantId>| of.as_ref() == Some(tenant);
        let rows = self.rows.iter().filter(|(_, row)| is_its(&row.tenant));
        let rows: Vec<u64> = rows.map(|(id, _)| *id).collect();
        rows.into_iter().for_each(|id| self.remove(id));
        self.channels.retain(|_, channel| !is_its(&channel.tenant));
        self.routes.retain(|_, route| !is_its(&route.tenant));
        self.silences.retain(|_, silence| !is_its(&silence.tenant));
    }

    /// Deliveries that wait for a channel.
    #[must_use]
    pub fn waiting_for(&self, channel: &ChannelName) -> u64 {
        let waiting = self.due.iter().filter(|(.., of)| of == channel);
        waiting.count() as u64
    }
}
