//! What is counted of the fleet's mail, for whoever judges by it.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;

use email_engine_protocol::id::{HostId, ReceiverGroup, TenantId};
use email_engine_protocol::observed::{Counts, DayCounts, Gap};
use email_engine_protocol::time::Timestamp;

use crate::fleet::warmup::{Evidence, Unread};
use crate::raft::Cluster;
use crate::state::{Span, Subject};

/// The series and cursors as this node has applied them.
pub(super) struct Counted(pub(super) Cluster);

impl Counted {
    fn tenant_of(&self, address: IpAddr) -> Option<TenantId> {
        self.0.view(|state| {
            let identity = state.identities.get(&address);
            identity.map(|identity| identity.spec.tenant.clone())
        })
    }

    /// What an identity sent in each of these spans in which it did, oldest first.
    fn spans(&self, address: IpAddr, spans: &[Span]) -> Result<Vec<(Span, u64)>, Unread> {
        let Some(tenant) = self.tenant_of(address) else {
            let reason = "it is no identity any more".to_owned();
            return Err(Unread { address, reason });
        };
        let subject = Subject::Identity(tenant, address);
        let counted = self.0.series(&subject, spans);
        let counted = counted.map_err(|error| unread(address, &error))?;
        let sent = |(span, groups): (Span, BTreeMap<_, Counts>)| {
            let all = groups.values().map(|counts| counts.sent);
            (span, all.fold(0, u64::saturating_add))
        };
        Ok(counted.into_iter().map(sent).collect())
    }
}

impl Evidence for Counted {
    fn day_counts(&self, address: IpAddr, from: u32, to: u32) -> Result<Vec<DayCounts>, Unread> {
        let Some(tenant) = self.tenant_of(address) else {
            return Ok(Vec::new());
        };
        self.0
            .day_counts(&tenant, address, from..=to)
            .map_err(|error| unread(address, &error))
    }

    fn last_day(&self, address: IpAddr, from: u32, to: u32) -> Result<Option<u32>, Unread> {
        let days: Vec<_> = (from..=to).map(Span::Day).collect();
        let counted = self.spans(address, &days)?;
        let sent = |(span, sent): (Span, u64)| match span {
            Span::Day(day) if sent > 0 => Some(day),
            _ => None,
        };
        Ok(counted.into_iter().filter_map(sent).next_back())
    }

    fn sent_by_hour(&self, address: IpAddr, from: u32, to: u32) -> Vec<(u32, u64)> {
        let hours: Vec<_> = (from..=to).map(Span::Hour).collect();
        // Whoever chooses by them goes by what it gave out itself, then.
        let counted = self.spans(address, &hours).unwrap_or_default();
        let sent = |(span, sent)| match span {
            Span::Hour(hour) => Some((hour, sent)),
            Span::Day(_) | Span::Whole => None,
        };
        counted.into_iter().filter_map(sent).collect()
    }

    fn hours(
        &self,
        address: IpAddr,
        from: u32,
        to: u32,
    ) -> Result<Vec<BTreeMap<ReceiverGroup, Counts>>, Unread> {
        let Some(tenant) = self.tenant_of(address) else {
            return Ok(Vec::new());
        };
        let hours: Vec<_> = (from..=to).map(Span::Hour).collect();
        let subject = Subject::Identity(tenant, address);
        let counted = self.0.series(&subject, &hours);
        let counted = counted.map_err(|error| unread(address, &error))?;
        Ok(counted.into_iter().map(|(_, groups)| groups).collect())
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

fn unread(address: IpAddr, error: &dyn Error) -> Unread {
    let cause = error.source().map(|cause| format!(": {cause}"));
    let reason = format!("{error}{}", cause.unwrap_or_default());
    Unread { address, reason }
}
