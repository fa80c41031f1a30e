//! Hosts that are ahead of the replicated state.

use std::collections::BTreeMap;

use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use super::{Registry, Tables};
use crate::push::metric_names;

/// A host that is ahead of the replicated state: planning for it would be refused by its floor, and
/// hints that a part of the log was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// What it accepted already.
    pub accepted: Generation,
    /// What the cluster would have it at.
    pub target: Option<Generation>,
    /// Since when this node knows.
    pub since: Timestamp,
}

impl Frozen {
    /// Whether a cluster in this epoch is still behind: in a younger one, its next target is above
    /// whatever the host accepted.
    #[must_use]
    pub const fn holds_in(&self, epoch: u64) -> bool {
        self.accepted.epoch >= epoch
    }
}

impl Registry {
    /// Hosts that must not be planned for, as far as this node knows.
    #[must_use]
    pub fn frozen(&self) -> BTreeMap<HostId, Frozen> {
        self.tables().frozen.clone()
    }

    /// Whether one host is frozen.
    pub(in crate::push) fn frozen_host(&self, host: &HostId) -> Option<Frozen> {
        self.tables().frozen.get(host).cloned()
    }

    /// Notes that a host is ahead of the state, or no longer is.
    pub(in crate::push) fn set_frozen(&self, host: &HostId, frozen: Option<Frozen>) {
        let mut tables = self.tables();
        match frozen {
            Some(frozen) => {
                tracing::error!(
                    %host, accepted = %frozen.accepted, target = ?frozen.target,
                    "state from the future: the host accepted more than this cluster knows; it is not planned for"
                );
                tables.frozen.insert(host.clone(), frozen);
            }
            None => {
                tables.frozen.remove(host);
            }
        }
        count_frozen(&tables);
    }
}

pub(super) fn count_frozen(tables: &Tables) {
    // Counts of hosts are far below 2^52.
    #[expect(clippy::cast_precision_loss)]
    metrics::gauge!(metric_names::FROZEN_HOSTS).set(tables.frozen.len() as f64);
}
