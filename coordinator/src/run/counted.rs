//! What is counted of the fleet's mail, for whoever judges by it.

use std::net::IpAddr;

use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::DayCounts;
use email_engine_protocol::time::Timestamp;

use crate::fleet::warmup::Evidence;
use crate::raft::Cluster;

/// The series and cursors as this node has applied them.
pub(super) struct Counted(pub(super) Cluster);

impl Evidence for Counted {
    /// A row that cannot be read is told and taken for a day of which nothing is known: without counts nobody
    /// goes further, and nobody is held back.
    fn day_counts(&self, address: IpAddr, from: u32, to: u32) -> Vec<DayCounts> {
        let tenant = self.0.view(|state| {
            let identity = state.identities.get(&address);
            identity.map(|identity| identity.spec.tenant.clone())
        });
        let Some(tenant) = tenant else {
            return Vec::new();
        };
        let read = self.0.day_counts(&tenant, address, from..=to);
        read.unwrap_or_else(|error| {
            tracing::warn!(%address, error = &error as &dyn std::error::Error, "counts are not read");
            Vec::new()
        })
    }

    fn read_until(&self, host: &HostId) -> Option<Timestamp> {
        self.0.view(|state| state.judged_until(host))
    }
}
