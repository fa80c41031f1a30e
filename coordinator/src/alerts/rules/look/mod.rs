//! What a look at the fleet finds that people have to know: states that begin and end by themselves. What a
//! command brings about is raised by that command; here the same is found again, so that it is told again
//! after a day, and found to be over.

mod records;
mod zones;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use email_engine_protocol::api::{AlertKind, IpStatus, Phase, WarmupStep};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use super::{
    AlertKey, AlertSubject, Event, HostEvent, IdentityEvent, Line, OfCluster, OfHost, OfIdentity,
};
use crate::fleet::rotation::stuck;
use crate::fleet::warmup::settings_of;
use crate::state::{CertificateSubject, FleetState, Host, Identity};

/// A host is away when its agent is not connected for so long: an agent that changes nodes takes seconds.
pub const AWAY_MILLIS: u64 = 5 * 60 * Timestamp::SECOND;
/// An identity is held for long when it is in a phase for so many times its least days.
const HELD_TIMES: u64 = 3;
/// A certificate ends soon when so little of its life is left, one in so many: it is renewed at half.
const ENDING_SHARE: u64 = 4;
/// A disk is nearly full when less than this is left, and less than a tenth.
const DISK_LEFT: u64 = 2 * 1024 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;
/// Most things that are named of one host.
const NAMED: usize = 8;

/// What the nodes see of hosts and the state does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// By host, those that have enrolled.
    pub hosts: BTreeMap<HostId, HostSeen>,
    /// Hosts of which nothing is known now: a node does not say whom it has.
    pub unknown: BTreeSet<HostId>,
}

/// What is seen of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSeen {
    /// Since when its agent is missed; none while it is connected.
    pub missed_since: Option<Timestamp>,
    /// Why it was turned away when it called last.
    pub turned_away: Option<Line>,
    /// What somebody undoes again and again, and how it differs.
    pub contested: Vec<(Line, Line)>,
    /// Its file systems.
    pub disks: Vec<DiskSeen>,
    /// What its accounting says that an operator should know, in words.
    pub notices: Vec<Line>,
    /// What it accepted that the cluster does not know.
    pub ahead: Option<Generation>,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSeen {
    /// Where it is mounted.
    pub mount: Line,
    /// Bytes that are left.
    pub left: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// What is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What people are to be told and are not told yet.
    pub raised: Vec<Event>,
    /// What is over.
    pub resolved: Vec<AlertKey>,
}

/// Looks at everything.
#[must_use]
pub fn look(state: &FleetState, seen: &Seen, now: Timestamp) -> Looked {
    let mut found: Vec<Event> = Vec::new();
    let identities = state.identities.values();
    found.extend(identities.flat_map(|identity| of_identity(state, identity, now)));
    for (id, host) in state.live_hosts() {
        found.extend(of_host(state, id, host, seen, now));
    }
    found.extend(certificates(state, now));
    found.extend(records::silent(state, now));
    found.extend(zones::stuck(state, now));
    let holds: BTreeSet<AlertKey> = found.iter().map(Event::key).collect();
    let open = state.alerts.last.keys();
    let over = open.filter(|key| {
        state.alerts.is_open(key) && !holds.contains(key) && is_looked_for(state, key, seen)
    });
    let resolved = over.cloned().collect();
    found.retain(|event| state.is_news(&event.key(), now));
    Looked {
        raised: found,
        resolved,
    }
}

/// Whether it would have been found: others see to the ends of what they raise.
fn is_looked_for(state: &FleetState, key: &AlertKey, seen: &Seen) -> bool {
    use AlertKind::{
        AccountingGap, CertificateEnding, DiskLow, DnsInvalid, DnsZoneStuck, DriftContested,
        HostAway, HostRefused, Quarantined, RotationWaits, StateFromFuture, WarmupHeld,
        WarmupPaused, WarmupStopped, ZoneUnknown,
    };
    match (key.kind, &key.subject) {
        (WarmupHeld | WarmupPaused | WarmupStopped | Quarantined | RotationWaits, _)
        | (CertificateEnding | DnsZoneStuck | HostRefused | ZoneUnknown, _) => true,
        (DnsInvalid, AlertSubject::Identity(address)) => {
            records::is_right(state, *address, key.cause.as_str())
        }
        // What only its agent can tell is not over because the agent is silent.
        (DiskLow | DriftContested, AlertSubject::Host(host)) => {
            let known = seen.hosts.get(host);
            !seen.unknown.contains(host) && known.is_none_or(|known| known.missed_since.is_none())
        }
        (HostAway | StateFromFuture | AccountingGap, AlertSubject::Host(host)) => {
            !seen.unknown.contains(host)
        }
        _ => false,
    }
}

fn of_identity(state: &FleetState, identity: &Arc<Identity>, now: Timestamp) -> Vec<Event> {
    let plan = &identity.warmup;
    let sends = matches!(identity.spec.status, IpStatus::Active | IpStatus::Warming);
    let mut found = Vec::new();
    if let Some(stop) = plan.stopped.as_ref().filter(|_| sends) {
        let reasons = stop.reasons.iter().map(Line::said).collect();
        found.push(OfIdentity::WarmupStopped { reasons });
    } else if let Some(until) = plan.paused_until.filter(|_| sends) {
        let judged = plan.verdict.as_ref();
        let broken = |step| matches!(step, WarmupStep::Pause | WarmupStep::StayPaused);
        let reasons = match judged.filter(|verdict| broken(verdict.step)) {
            Some(verdict) => verdict.reasons.iter().map(Line::said).collect(),
            None => vec!["An operator paused it.".into()],
        };
        found.push(OfIdentity::WarmupPaused { reasons, until });
    } else if identity.spec.status == IpStatus::Warming && plan.phase != Phase::Active {
        let settings = settings_of(state, &identity.spec.tenant);
        let long = u64::from(settings.least_days) * HELD_TIMES * Timestamp::DAY;
        if now.since(plan.phase_started_at) > long {
            let reasons = plan.verdict.iter().flat_map(|verdict| &verdict.reasons);
            found.push(OfIdentity::WarmupHeld {
                phase: plan.phase,
                since: plan.phase_started_at,
                reasons: reasons.map(Line::said).collect(),
            });
        }
    }
    found.extend(quarantined(identity));
    found.extend(records::invalid(state, identity));
    if let Some(why) = stuck(identity, now) {
        found.push(OfIdentity::RotationWaits { why: why.into() });
    }
    let event = |what| IdentityEvent {
        address: identity.spec.address,
        domain: identity.spec.domain.clone(),
        what,
    };
    let events = found.into_iter().map(event);
    events
        .map(|event| Event::Identity(Box::new(event)))
        .collect()
}

/// An operator put it there. What the cluster itself takes out is told as the listing that it is.
fn quarantined(identity: &Identity) -> Option<OfIdentity> {
    if identity.spec.status != IpStatus::Quarantine {
        return None;
    }
    let turns = identity.life.turns();
    let mut turns = turns.filter(|turn| turn.to == IpStatus::Quarantine);
    let turn = turns.next().filter(|turn| turn.actor.starts_with("key "))?;
    let lists = identity.life.quarantine.iter().flat_map(|out| &out.lists);
    Some(OfIdentity::Quarantined {
        lists: lists.map(Line::said).collect(),
        by: turn.actor.as_str().into(),
        reason: turn.reason.as_str().into(),
    })
}

fn of_host(
    state: &FleetState,
    id: &HostId,
    host: &Host,
    seen: &Seen,
    now: Timestamp,
) -> Vec<Event> {
    let mut found = Vec::new();
    let event = |what| {
        let host = id.clone();
        Event::Host(HostEvent { host, what })
    };
    found.extend(refused(state, id));
    let uncounted = state.accounting.uncounted(id).current(now).words();
    let mut missing: Vec<Line> = uncounted.iter().map(Line::new).collect();
    let known = seen.hosts.get(id).filter(|_| host.keys.is_some());
    if let Some(known) = known {
        missing.extend(known.notices.iter().cloned());
        found.extend(of_agent(state, id, known, now).map(event));
    }
    if !missing.is_empty() {
        missing.truncate(NAMED);
        found.push(event(OfHost::Uncounted { what: missing }));
    }
    found
}

/// What is seen of its agent, and told by it.
fn of_agent<'a>(
    state: &FleetState,
    id: &HostId,
    known: &'a HostSeen,
    now: Timestamp,
) -> impl Iterator<Item = OfHost> + 'a {
    let missed = known.missed_since;
    let away = missed.filter(|since| now.since(*since) >= AWAY_MILLIS);
    let away = away.map(|since| {
        let why = known.turned_away.clone();
        OfHost::Away { since, why }
    });
    let target = state.targets.get(id).map(|target| target.generation);
    let ahead = known.ahead.map(|holds| OfHost::FromFuture {
        holds: format!("generation {holds}").into(),
        known: target.map_or_else(
            || "none".into(),
            |target| format!("generation {target}").into(),
        ),
    });
    let contested = known.contested.iter().take(NAMED);
    let contested = contested.map(|(resource, reason)| OfHost::Contested {
        resource: resource.clone(),
        reason: reason.clone(),
    });
    let low = known.disks.iter().filter(|disk| {
        disk.size > DISK_LEFT && disk.left < DISK_LEFT && disk.left < disk.size / 10
    });
    let low = low.map(|disk| OfHost::DiskLow {
        mount: disk.mount.clone(),
        left_mib: disk.left / MIB,
        size_mib: disk.size / MIB,
    });
    away.into_iter().chain(ahead).chain(contested).chain(low)
}

/// That a host did not take the target that it has, while that is so.
#[must_use]
pub fn refused(state: &FleetState, id: &HostId) -> Option<Event> {
    let outcome = state.outcomes.get(id)?;
    let attempt = outcome.attempted.as_ref()?;
    let target = state.targets.get(id)?.generation;
    if attempt.generation != target || outcome.running == Some(target) {
        return None;
    }
    let what = OfHost::Refused {
        generation: Line::said(attempt.generation),
        stage: format!("{:?}", attempt.stage).to_ascii_lowercase().into(),
        reason: attempt.reason.as_str().into(),
    };
    let host = id.clone();
    Some(Event::Host(HostEvent { host, what }))
}

/// Certificates in use that nobody renewed. One whose owner is gone, or that another took the place of, is
/// nobody's any more.
fn certificates(state: &FleetState, now: Timestamp) -> Vec<Event> {
    let mut newest: BTreeMap<&CertificateSubject, (Timestamp, Timestamp)> = BTreeMap::new();
    for (serial, row) in &state.certificates {
        if state.revoked.contains(serial) {
            continue;
        }
        let term = newest.entry(&row.subject).or_default();
        if row.not_after > term.1 {
            *term = (row.issued_at, row.not_after);
        }
    }
    let ends = newest.into_iter().filter(|(_, (issued, ends))| {
        let life = ends.since(*issued);
        now.since(*issued) > life - life / ENDING_SHARE && life > 0
    });
    let told = ends.filter_map(|(subject, (_, ends_at))| match subject {
        CertificateSubject::Host(host) => {
            state.live_host(host)?;
            let what = OfHost::CertificateEnding { ends_at };
            let host = host.clone();
            Some(Event::Host(HostEvent { host, what }))
        }
        CertificateSubject::Node(node) => {
            let row = state.nodes.get(node)?;
            let is_gone = row.role == email_engine_protocol::api::MemberRole::Removed;
            let node = *node;
            (!is_gone).then_some(Event::Cluster(OfCluster::NodeCertificateEnding {
                node,
                ends_at,
            }))
        }
    });
    told.collect()
}
