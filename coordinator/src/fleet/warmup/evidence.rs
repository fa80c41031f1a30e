//! What is known of an identity's mail, and the rates that it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use email_engine_protocol::api::{Rate, WarmupPlan, WarmupRates, WarmupSettings};
use email_engine_protocol::id::{HostId, ReceiverGroup};
use email_engine_protocol::observed::{BounceCategory, Counts, DayCounts, Gap};
use email_engine_protocol::time::Timestamp;

use crate::state::{FleetState, Identity};

/// Days that are judged together.
pub const WINDOW_DAYS: u32 = 7;
/// Final results from which bounces, refusals and deferrals are judged.
pub(super) const LEAST_RESULTS: u64 = 50;
/// Events from which they are.
const LEAST_EVENTS: u64 = 5;
/// Delivered at receivers with a feedback loop, from which complaints are judged.
const LEAST_LOOPED: u64 = 200;
/// Complaints from which they are.
const LEAST_COMPLAINTS: u64 = 3;

/// What is counted of the fleet's mail, wherever that is kept.
pub trait Evidence: Send + Sync {
    /// What was counted of an identity from the first to the last of these days; days without mail may be
    /// left out. May block on a disk.
    ///
    /// # Errors
    /// When that cannot be read: it is not known then, which is not none.
    fn day_counts(&self, address: IpAddr, from: u32, to: u32) -> Result<Vec<DayCounts>, Unread>;
    /// Up to when all that a host accounted for is counted.
    fn read_until(&self, host: &HostId) -> Option<Timestamp>;
    /// Times of which records of a host may be missing.
    fn gaps(&self, host: &HostId) -> Vec<Gap>;
    /// The last of these days on which an identity sent anything; none when it sent nothing.
    ///
    /// # Errors
    /// When that is not known, which is not the same as nothing.
    fn last_day(&self, address: IpAddr, _from: u32, _to: u32) -> Result<Option<u32>, Unread> {
        let reason = "nobody counts".to_owned();
        Err(Unread { address, reason })
    }
    /// What was counted of an identity in these hours, numbered from 1970-01-01; those without mail may be left
    /// out. May block on a disk.
    ///
    /// # Errors
    /// When that cannot be read.
    fn hours(
        &self,
        _address: IpAddr,
        _from: u32,
        _to: u32,
    ) -> Result<Vec<BTreeMap<ReceiverGroup, Counts>>, Unread> {
        Ok(Vec::new())
    }
    /// What an identity sent in each of these hours, numbered from 1970-01-01; those without mail may be left
    /// out.
    fn sent_by_hour(&self, _address: IpAddr, _from: u32, _to: u32) -> Vec<(u32, u64)> {
        Vec::new()
    }
}

/// Counts that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was counted of {address} cannot be read: {reason}")]
pub struct Unread {
    /// Of whom.
    pub address: IpAddr,
    /// Why.
    pub reason: String,
}

/// Knows nothing: nobody is judged, and nobody goes further.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvidence;

impl Evidence for NoEvidence {
    fn day_counts(&self, _: IpAddr, _: u32, _: u32) -> Result<Vec<DayCounts>, Unread> {
        Ok(Vec::new())
    }

    fn read_until(&self, _: &HostId) -> Option<Timestamp> {
        None
    }

    fn gaps(&self, _: &HostId) -> Vec<Gap> {
        Vec::new()
    }
}

/// The UTC day of a moment.
#[must_use]
pub fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.0 / Timestamp::DAY).unwrap_or(u32::MAX)
}

/// Its beginning.
#[must_use]
pub fn day_begins(day: u32) -> Timestamp {
    Timestamp(u64::from(day) * Timestamp::DAY)
}

/// Hosts that account for what an identity sends: its own, and where it was before and drains.
#[must_use]
pub fn accounting_hosts(state: &FleetState, identity: &Identity) -> BTreeSet<HostId> {
    let address = identity.spec.address;
    let drains = state.leaving_from(address).map(|one| &one.spec().host);
    let hosts = std::iter::once(&identity.spec.host).chain(drains);
    hosts.cloned().collect()
}

/// Whether all that was sent at these hosts before a day is counted.
#[must_use]
pub fn is_read_past(evidence: &dyn Evidence, hosts: &BTreeSet<HostId>, day: u32) -> bool {
    hosts.iter().all(|host| {
        let until = evidence.read_until(host);
        until.is_some_and(|until| until >= day_begins(day))
    })
}

/// The days of which all records of these hosts are there. Of a day with a gap it is not known what was
/// sent, bounced or accepted: it neither helps nor hinders.
#[must_use]
pub fn whole_days(
    evidence: &dyn Evidence,
    hosts: &BTreeSet<HostId>,
    counts: Vec<DayCounts>,
) -> Vec<DayCounts> {
    let gaps: Vec<Gap> = hosts.iter().flat_map(|host| evidence.gaps(host)).collect();
    let is_whole = |day: u32| {
        let (begin, end) = (day_begins(day), day_begins(day.saturating_add(1)));
        !gaps.iter().any(|gap| gap.from < end && gap.to > begin)
    };
    let whole = counts.into_iter().filter(|one| is_whole(one.day));
    whole.collect()
}

/// The days up to this one that are judged, each once, without what was forgiven.
pub(super) fn window(plan: &WarmupPlan, counts: &[DayCounts], last: u32) -> Vec<DayCounts> {
    let first = (last.saturating_add(1)).saturating_sub(WINDOW_DAYS);
    let forgiven = plan.forgiven.as_ref();
    let first = forgiven.map_or(first, |forgiven| forgiven.day.max(first));
    let mut days: BTreeMap<u32, DayCounts> = BTreeMap::new();
    for one in counts
        .iter()
        .filter(|one| (first..=last).contains(&one.day))
    {
        let day = days.entry(one.day).or_insert_with(|| DayCounts {
            day: one.day,
            groups: BTreeMap::new(),
        });
        for (group, counts) in &one.groups {
            day.groups.entry(group.clone()).or_default().add(counts);
        }
    }
    if let Some(forgiven) = forgiven
        && let Some(day) = days.get_mut(&forgiven.day)
    {
        for (group, counts) in &mut day.groups {
            if let Some(known) = forgiven.groups.get(group) {
                subtract(counts, known);
            }
        }
    }
    days.into_values().collect()
}

fn subtract(counts: &mut Counts, known: &Counts) {
    for (own, known) in [
        (&mut counts.sent, known.sent),
        (&mut counts.delivered, known.delivered),
        (&mut counts.bounced, known.bounced),
        (&mut counts.deferred, known.deferred),
        (&mut counts.complaints, known.complaints),
        (&mut counts.returned, known.returned),
    ] {
        *own = own.saturating_sub(known);
    }
    for (own, known) in counts.categories.0.iter_mut().zip(known.categories.0) {
        *own = own.saturating_sub(known);
    }
}

/// The rates of these days. Each is of what has nothing to do with the others, so that more of one fault
/// never makes another look smaller; samples are of all results, so that neither does it leave them
/// unmeasured.
#[must_use]
pub fn rates(
    days: &[DayCounts],
    quota: u32,
    settings: &WarmupSettings,
    loops: &BTreeSet<ReceiverGroup>,
) -> WarmupRates {
    let mut groups: BTreeMap<&ReceiverGroup, Counts> = BTreeMap::new();
    let mut total = Counts::NONE;
    let mut used_days = 0;
    for day in days {
        for (group, counts) in &day.groups {
            groups.entry(group).or_default().add(counts);
            total.add(counts);
        }
        let used = u128::from(day.total().delivered) * 100;
        used_days += u32::from(used >= u128::from(quota) * u128::from(settings.used_percent));
    }
    WarmupRates {
        // What came back was counted as delivered before it bounced.
        bounces: rate(
            total.bounced,
            total.delivered.saturating_sub(total.returned),
            total.sent,
        ),
        complaints: complaints(&groups, total.complaints, loops),
        blocks: worst_blocks(&groups),
        deferrals: deferrals(&total),
        delivered: total.delivered,
        used_days,
    }
}

fn rate(events: u64, delivered: u64, results: u64) -> Rate {
    let of = delivered.saturating_add(events);
    Rate {
        events,
        of,
        measured: results.max(of) >= LEAST_RESULTS && events >= LEAST_EVENTS,
    }
}

/// Of those delivered: one that was deferred is delivered later as a rule.
fn deferrals(total: &Counts) -> Rate {
    let of = total.delivered.max(total.deferred);
    let results = total.sent.max(of);
    Rate {
        events: total.deferred,
        of,
        measured: results >= LEAST_RESULTS && total.deferred >= LEAST_EVENTS,
    }
}

/// Complaints come with or without a group; what they are of is what was delivered where a loop reports
/// them.
fn complaints(
    groups: &BTreeMap<&ReceiverGroup, Counts>,
    events: u64,
    loops: &BTreeSet<ReceiverGroup>,
) -> Option<Rate> {
    if loops.is_empty() {
        return None;
    }
    let looped = groups.iter().filter(|(group, _)| loops.contains(**group));
    let of = looped.fold(0_u64, |sum, (_, counts)| {
        sum.saturating_add(counts.delivered)
    });
    Some(Rate {
        events,
        of,
        measured: of >= LEAST_LOOPED && events >= LEAST_COMPLAINTS,
    })
}

fn worst_blocks(groups: &BTreeMap<&ReceiverGroup, Counts>) -> Option<(ReceiverGroup, Rate)> {
    let mut worst: Option<(&ReceiverGroup, Rate)> = None;
    for (group, counts) in groups {
        let spam = counts.categories.of(BounceCategory::SpamRelated);
        let policy = counts.categories.of(BounceCategory::PolicyRelated);
        let blocks = rate(spam.saturating_add(policy), counts.delivered, counts.sent);
        if blocks.events > 0 && worst.is_none_or(|(_, worst)| blocks.is_worse_than(&worst)) {
            worst = Some((group, blocks));
        }
    }
    worst.map(|(group, rate)| (group.clone(), rate))
}
