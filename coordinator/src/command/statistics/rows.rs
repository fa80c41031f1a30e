//! From what an agent counted to rows of series.

use std::collections::BTreeMap;

use email_engine_protocol::api::Uncounted;
use email_engine_protocol::id::{HostId, ReceiverGroup};
use email_engine_protocol::limits;
use email_engine_protocol::observed::{Counts, Stretch};
use email_engine_protocol::time::Timestamp;

use super::owners;
use super::record::{first_day, first_hour};
use crate::state::{FleetState, HostAccounting, SeriesKey, Span, Subject};

/// Days of all identities of a host together that are kept in memory.
const DAYS: usize = 3;

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
    let (mut unclaimed, mut too_old) = (0_u64, 0_u64);
    for row in &stretch.totals {
        let hour = believed(row.hour, now);
        let day = hour / 24;
        host.days.entry(day).or_default().add(&row.counts);
        while host.days.len() > DAYS {
            host.days.pop_first();
        }
        owners::note(state, id, host, row.address, now);
        let Some(tenant) = owners::at(host, row.address, hour) else {
            unclaimed = unclaimed.saturating_add(row.counts.records());
            continue;
        };
        if day < first_day(Span::day_of(now)) {
            too_old = too_old.saturating_add(row.counts.records());
            continue;
        }
        let group = group(host, &row.group);
        let of_tenant = Subject::Tenant(tenant.clone());
        let of_identity = Subject::Identity(tenant, row.address);
        for subject in [&of_tenant, &of_identity] {
            counted.add(Span::Day(day), subject, &group, &row.counts);
            counted.add(Span::Whole, subject, &group, &row.counts);
            if hour >= first_hour(Span::day_of(now)) {
                counted.add(Span::Hour(hour), subject, &group, &row.counts);
            }
        }
    }
    Uncounted::note(&mut host.unclaimed, unclaimed, now);
    Uncounted::note(&mut host.too_old, too_old, now);
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

/// The group as it is stored. Each makes rows of its own: of those that a host counts for in a day there
/// are no more than a catalogue has, and what is beyond is another's.
fn group(host: &mut HostAccounting, group: &ReceiverGroup) -> ReceiverGroup {
    if !host.groups.contains(group) {
        if host.groups.len() >= limits::RECEIVER_GROUPS {
            return ReceiverGroup::other();
        }
        host.groups.insert(group.clone());
    }
    group.clone()
}
