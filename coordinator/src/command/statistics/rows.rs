//! From what an agent counted to rows of series.

use std::collections::BTreeMap;
use std::net::IpAddr;

use email_engine_protocol::id::{HostId, ReceiverGroup, TenantId};
use email_engine_protocol::observed::{Counts, IdentityTotals, Stretch};
use email_engine_protocol::time::Timestamp;

use super::record::{first_day, first_hour};
use crate::state::{FleetState, HostAccounting, Owner, SeriesKey, Span, Subject};

/// Days of all identities of a host together that are kept in memory.
const DAYS: usize = 3;
/// That an identity is there is noted so often.
const OWNER_STALE: u64 = Timestamp::DAY;

/// Rows of one entry, to be added at once.
#[derive(Debug, Default)]
pub(super) struct Counted(BTreeMap<SeriesKey, Counts>);

impl Counted {
    pub(super) fn into_rows(self) -> BTreeMap<SeriesKey, Counts> {
        self.0
    }

    fn add(&mut self, span: Span, subject: &Subject, group: &ReceiverGroup, counts: &Counts) {
        let key = SeriesKey {
            span,
            subject: subject.clone(),
            group: group.clone(),
        };
        self.0.entry(key).or_default().add(counts);
    }
}

/// Counts the rows of a stretch for those whose they are.
pub(super) fn count(
    state: &FleetState,
    id: &HostId,
    host: &mut HostAccounting,
    stretch: &Stretch,
    now: Timestamp,
    counted: &mut Counted,
) {
    for row in &stretch.totals {
        let hour = believed(row.hour, now);
        let day = hour / 24;
        host.days.entry(day).or_default().add(&row.counts);
        while host.days.len() > DAYS {
            host.days.pop_first();
        }
        let Some(tenant) = owner(state, id, host, row, now) else {
            let lost = row.counts.sent.saturating_add(row.counts.complaints);
            host.unclaimed = host.unclaimed.saturating_add(lost);
            continue;
        };
        let of_tenant = Subject::Tenant(tenant.clone());
        let of_identity = Subject::Identity(tenant, row.address);
        for subject in [&of_tenant, &of_identity] {
            if day >= first_day(Span::day_of(now)) {
                counted.add(Span::Day(day), subject, &row.group, &row.counts);
                counted.add(Span::Whole, subject, &row.group, &row.counts);
            }
            if hour >= first_hour(Span::day_of(now)) {
                counted.add(Span::Hour(hour), subject, &row.group, &row.counts);
            }
        }
    }
}

/// A host whose clock is far ahead sends now all the same: what it dates later than tomorrow is counted
/// for this hour, and neither lost nor put where nobody looks for a year.
fn believed(hour: u32, now: Timestamp) -> u32 {
    let latest = Span::hour_of(now.plus(Timestamp::DAY));
    if hour > latest {
        Span::hour_of(now)
    } else {
        hour
    }
}

/// Whose an address is that a host counted for: the host must have it, or have had it a moment ago.
fn owner(
    state: &FleetState,
    id: &HostId,
    host: &mut HostAccounting,
    row: &IdentityTotals,
    now: Timestamp,
) -> Option<TenantId> {
    let Some(tenant) = current(state, id, row.address) else {
        return host.owners.get(&row.address).map(|own| own.tenant.clone());
    };
    let is_fresh = |owner: &Owner| owner.tenant == tenant && now.since(owner.seen_at) < OWNER_STALE;
    if !host.owners.get(&row.address).is_some_and(is_fresh) {
        let owner = Owner {
            tenant: tenant.clone(),
            seen_at: now,
        };
        host.owners.insert(row.address, owner);
    }
    Some(tenant)
}

fn current(state: &FleetState, host: &HostId, address: IpAddr) -> Option<TenantId> {
    let identity = state.identities.get(&address);
    let here = identity.filter(|identity| identity.spec.host == *host);
    if let Some(identity) = here {
        return Some(identity.spec.tenant.clone());
    }
    let mut leaving = state.leaving_from(address).map(|leaving| leaving.spec());
    let left = leaving.find(|spec| spec.host == *host);
    left.map(|spec| spec.tenant.clone())
}
