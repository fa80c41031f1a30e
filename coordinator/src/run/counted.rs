//! What is counted of the fleet's mail, for whoever judges by it.

use std::error::Error;
use std::net::IpAddr;

use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::{DayCounts, Gap};
use email_engine_protocol::time::Timestamp;

use crate::fleet::warmup::{Evidence, Unread};
use crate::raft::Cluster;

/// The series and cursors as this node has applied them.
pub(super) struct Counted(pub(super) Cluster);

impl Evidence for Counted {
    fn day_counts(&self, address: IpAddr, from: u32, to: u32) -> Result<Vec<DayCounts>, Unread> {
        let tenant = self.0.view(|state| {
            let identity = state.identities.get(&address);
            identity.map(|identity| identity.spec.tenant.clone())
        });
        let Some(tenant) = tenant else {
            return Ok(Vec::new());
        };
        self.0
            .day_counts(&tenant, address, from..=to)
            .map_err(|error| {
                let cause = error.source().map(|cause| format!(": {cause}"));
                let reason = format!("{error}{}", cause.unwrap_or_default());
                Unread { address, reason }
            })
    }

    fn read_until(&self, host: &HostId) -> Option<Timestamp> {
        self.0.view(|state| state.judged_until(host))
    }

    fn gaps(&self, host: &HostId) -> Vec<Gap> {
        self.0.view(|state| {
            let known = state.accounting.hosts.get(host);
            known.map_or_else(Vec::new, |known| known.gaps.iter().copied().collect())
        })
    }
}
