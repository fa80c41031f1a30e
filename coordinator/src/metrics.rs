//! Every metric of a coordinator node: name, unit and help in one list, label sets bounded.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::id::NodeId;
use email_engine_protocol::observed::{Convergence, MailNotice, MailNotices};
use email_engine_protocol::time::Timestamp;

use crate::push::metric_names::{
    DENIED, ENROLLMENTS, FROZEN_HOSTS, HANDSHAKES_SHED, OFFERS, OUTCOMES_RECORDED, PLAN_ERRORS,
    PREPARED_KEYS, REPORTS_REFUSED, SESSIONS,
};
use crate::raft::RaftStatus;
use crate::raft::metric_names::{
    BODIES_DAMAGED, BODIES_MENDED, PURGED_INDEX, SNAPSHOT_INDEX, SNAPSHOTS_INSTALLED,
    SNAPSHOTS_ROTTEN, SNAPSHOTS_SENT,
};
use crate::state::{FleetState, HostLifecycle};

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name that dashboards rely on.
    pub name: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// What of.
    pub unit: Unit,
    /// What it tells.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Metric {
    Metric {
        name,
        kind,
        unit,
        help,
    }
}

const IPS: &str = "email_engine_ips_total";
const WARMUP_QUOTA: &str = "email_engine_warmup_quota";
const IP_WARMUP_QUOTA: &str = "email_engine_ip_warmup_quota";
const API_LATENCY: &str = "email_engine_api_latency_seconds";
const ERRORS: &str = "email_engine_errors_total";
const RAFT_LEADER: &str = "email_engine_raft_is_leader";
const RAFT_HAS_LEADER: &str = "email_engine_raft_has_leader";
const RAFT_TERM: &str = "email_engine_raft_term";
const RAFT_APPLIED: &str = "email_engine_raft_applied_index";
const RAFT_LAST: &str = "email_engine_raft_last_index";
const RAFT_VOTERS: &str = "email_engine_raft_voters";
const RAFT_PEER_SILENT: &str = "email_engine_raft_peer_silent_seconds";
const REVISION: &str = "email_engine_fleet_revision";
const HOSTS: &str = "email_engine_hosts_total";
const AGENTS: &str = "email_engine_agents_total";
const MAIL_NOTICES: &str = "email_engine_mail_notices";
const UNCOUNTED: &str = "email_engine_statistics_uncounted";
const BEHIND: &str = "email_engine_agents_behind_target";

/// Every metric.
pub const ALL: &[Metric] = &[
    metric(
        IPS,
        Kind::Gauge,
        Unit::Count,
        "Sending identities by status",
    ),
    metric(
        WARMUP_QUOTA,
        Kind::Gauge,
        Unit::Count,
        "Mails a day that an identity may send, by ip",
    ),
    metric(
        IP_WARMUP_QUOTA,
        Kind::Gauge,
        Unit::Count,
        "Mails a day that an identity may send, by ip and domain",
    ),
    metric(
        API_LATENCY,
        Kind::Histogram,
        Unit::Seconds,
        "Time to answer an API request, by endpoint template and method",
    ),
    metric(
        ERRORS,
        Kind::Counter,
        Unit::Count,
        "Errors by type and severity",
    ),
    metric(
        RAFT_LEADER,
        Kind::Gauge,
        Unit::Count,
        "1 on the node that leads",
    ),
    metric(
        RAFT_HAS_LEADER,
        Kind::Gauge,
        Unit::Count,
        "1 when this node knows a leader",
    ),
    metric(
        RAFT_TERM,
        Kind::Gauge,
        Unit::Count,
        "Raft term as this node knows it",
    ),
    metric(
        RAFT_APPLIED,
        Kind::Gauge,
        Unit::Count,
        "Last log index applied on this node",
    ),
    metric(
        RAFT_LAST,
        Kind::Gauge,
        Unit::Count,
        "Last log index stored on this node",
    ),
    metric(RAFT_VOTERS, Kind::Gauge, Unit::Count, "Voting nodes"),
    metric(
        RAFT_PEER_SILENT,
        Kind::Gauge,
        Unit::Seconds,
        "On the leader: time since a peer answered it last; NaN on other nodes, which cannot know",
    ),
    metric(
        REVISION,
        Kind::Gauge,
        Unit::Count,
        "Revision of the fleet state on this node",
    ),
    metric(HOSTS, Kind::Gauge, Unit::Count, "Hosts by lifecycle"),
    metric(
        AGENTS,
        Kind::Gauge,
        Unit::Count,
        "Hosts by the state that their agent last told",
    ),
    metric(
        SESSIONS,
        Kind::Gauge,
        Unit::Count,
        "Live agent sessions of this node",
    ),
    metric(
        BEHIND,
        Kind::Gauge,
        Unit::Count,
        "Hosts that do not run their target, by how many generations they lag",
    ),
    metric(
        MAIL_NOTICES,
        Kind::Gauge,
        Unit::Count,
        "Accounting records of hosts connected to this node that need somebody's eye, by kind, counted \
         until a day passes without: mail of unknown senders that was discarded, records of no \
         identity, records that cannot be read",
    ),
    metric(
        UNCOUNTED,
        Kind::Gauge,
        Unit::Count,
        "Accounting records of all hosts that are in nobody's statistics, by kind, counted until a day \
         passes without: of an address that was no identity's when they were written (unclaimed), older \
         than what is kept (too-old)",
    ),
    metric(
        PREPARED_KEYS,
        Kind::Gauge,
        Unit::Count,
        "DKIM keys made ahead of need",
    ),
    metric(
        DENIED,
        Kind::Counter,
        Unit::Count,
        "Connections that were not let in, by reason",
    ),
    metric(
        HANDSHAKES_SHED,
        Kind::Counter,
        Unit::Count,
        "Handshakes put off: too many at once",
    ),
    metric(
        ENROLLMENTS,
        Kind::Counter,
        Unit::Count,
        "Requests to enrol, by outcome",
    ),
    metric(
        REPORTS_REFUSED,
        Kind::Counter,
        Unit::Count,
        "Reports that were not believed",
    ),
    metric(
        OUTCOMES_RECORDED,
        Kind::Counter,
        Unit::Count,
        "Outcomes written to the log",
    ),
    metric(
        OFFERS,
        Kind::Counter,
        Unit::Count,
        "Targets offered to agents",
    ),
    metric(
        FROZEN_HOSTS,
        Kind::Gauge,
        Unit::Count,
        "Hosts ahead of the replicated state",
    ),
    metric(
        PLAN_ERRORS,
        Kind::Gauge,
        Unit::Count,
        "Hosts that cannot be planned",
    ),
    metric(
        SNAPSHOT_INDEX,
        Kind::Gauge,
        Unit::Count,
        "Last log index in this node's newest snapshot",
    ),
    metric(
        PURGED_INDEX,
        Kind::Gauge,
        Unit::Count,
        "Last log index that this node has no entry of any more",
    ),
    metric(
        SNAPSHOTS_SENT,
        Kind::Counter,
        Unit::Count,
        "Snapshots sent to nodes that lacked more than the log keeps",
    ),
    metric(
        SNAPSHOTS_INSTALLED,
        Kind::Counter,
        Unit::Count,
        "Snapshots that this node was sent and took over",
    ),
    metric(
        SNAPSHOTS_ROTTEN,
        Kind::Counter,
        Unit::Count,
        "Snapshots of this node that rotted on its disk and were built anew",
    ),
    metric(
        BODIES_DAMAGED,
        Kind::Counter,
        Unit::Count,
        "Stored bodies that were found damaged",
    ),
    metric(
        BODIES_MENDED,
        Kind::Counter,
        Unit::Count,
        "Damaged bodies that were stored again from another node",
    ),
];

/// Most identities that get series of their own; a larger fleet is read from the API instead.
const IDENTITY_SERIES: usize = 2_000;

/// Installs the recorder of this process. Nothing listens: `/metrics` renders it.
///
/// # Errors
/// When the process has a recorder already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Full(API_LATENCY.to_owned()),
            &[
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ],
        )?
        .install_recorder()?;
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
    Ok(handle)
}

/// Counts an API request.
pub fn api_request(endpoint: String, method: &'static str, status: u16, took: Duration) {
    histogram!(API_LATENCY, "endpoint" => endpoint, "method" => method).record(took.as_secs_f64());
    if status >= 500 {
        error("api", "error");
    }
}

/// Counts an error of a bounded kind, such as `api`, at `warning`, `error` or `critical`.
pub fn error(kind: &'static str, severity: &'static str) {
    counter!(ERRORS, "type" => kind, "severity" => severity).increment(1);
}

/// Figures that are read when somebody looks.
pub fn observe(state: &FleetState, raft: &RaftStatus, sessions: usize) {
    observe_raft(raft);
    observe_peers(state, raft);
    gauge!(REVISION).set(figure(state.revision));
    gauge!(SESSIONS).set(figure(sessions as u64));
    gauge!(PREPARED_KEYS).set(figure(state.prepared_keys.len() as u64));
    observe_hosts(state);
    observe_identities(state);
    observe_uncounted(state);
}

fn observe_uncounted(state: &FleetState) {
    let mut sums = [0_u64; 2];
    for host in state.accounting.hosts.keys() {
        let view = state.accounting.uncounted(host).current(state.now);
        for (sum, one) in sums.iter_mut().zip([view.unclaimed, view.too_old]) {
            *sum = sum.saturating_add(one.map_or(0, |one| one.count));
        }
    }
    for (kind, sum) in ["unclaimed", "too-old"].into_iter().zip(sums) {
        gauge!(UNCOUNTED, "kind" => kind).set(figure(sum));
    }
}

/// What accounting files say, of the hosts that are connected here.
pub fn observe_mail(notices: impl Iterator<Item = MailNotices>, now: Timestamp) {
    let count = |notice: Option<MailNotice>| notice.map_or(0, |notice| notice.count);
    let mut sums = [0_u64; 3];
    for of in notices.map(|of| of.current(now)) {
        let counts = [of.unknown_senders, of.unmatched, of.unreadable].map(count);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum = sum.saturating_add(count);
        }
    }
    for (kind, sum) in ["unknown-sender", "unmatched", "unreadable"]
        .into_iter()
        .zip(sums)
    {
        gauge!(MAIL_NOTICES, "kind" => kind).set(figure(sum));
    }
}

fn observe_raft(raft: &RaftStatus) {
    gauge!(RAFT_LEADER).set(figure(u64::from(raft.leadership.is_leader)));
    gauge!(RAFT_HAS_LEADER).set(figure(u64::from(raft.leadership.leader.is_some())));
    gauge!(RAFT_TERM).set(figure(raft.leadership.term));
    gauge!(RAFT_APPLIED).set(figure(raft.applied_index));
    gauge!(RAFT_LAST).set(figure(raft.last_index));
    gauge!(RAFT_VOTERS).set(figure(raft.voters.len() as u64));
}

/// Every node has its series everywhere, so that one who leads no more takes its word back.
fn observe_peers(state: &FleetState, raft: &RaftStatus) {
    for node in state.nodes.keys() {
        gauge!(RAFT_PEER_SILENT, "peer" => node.to_string()).set(silence(*node, raft));
    }
}

/// Seconds since a peer answered this node; not a number when this node does not lead, or the peer is
/// no member.
fn silence(node: NodeId, raft: &RaftStatus) -> f64 {
    let mut rows = raft.contacts.iter().flatten();
    let row = rows.find(|row| row.node == node);
    row.map_or(f64::NAN, |row| figure(row.silent_millis) / 1000.0)
}

fn observe_hosts(state: &FleetState) {
    let lifecycles = |wanted: &str| {
        let hosts = state.hosts.values();
        hosts
            .filter(|host| lifecycle(host.lifecycle) == wanted)
            .count() as u64
    };
    for wanted in ["declared", "enrolled", "retiring", "retired"] {
        gauge!(HOSTS, "lifecycle" => wanted).set(figure(lifecycles(wanted)));
    }
    for (name, wanted) in [
        ("idle", Convergence::Idle),
        ("converging", Convergence::Converging),
        ("converged", Convergence::Converged),
        ("degraded", Convergence::Degraded),
    ] {
        let of = state
            .outcomes
            .values()
            .filter(|seen| seen.convergence == wanted);
        gauge!(AGENTS, "state" => name).set(figure(of.count() as u64));
    }
    let mut lags = [0_u64; 3];
    for (host, target) in &state.targets {
        let running = state.outcomes.get(host).and_then(|seen| seen.running);
        match target
            .generation
            .number
            .saturating_sub(running.map_or(0, |at| at.number))
        {
            0 => {}
            1 => lags[0] += 1,
            2..=9 => lags[1] += 1,
            _ => lags[2] += 1,
        }
    }
    for (lag, count) in ["1", "2-9", "10+"].into_iter().zip(lags) {
        gauge!(BEHIND, "lag" => lag).set(figure(count));
    }
}

fn observe_identities(state: &FleetState) {
    for (name, wanted) in [
        ("active", IpStatus::Active),
        ("quarantine", IpStatus::Quarantine),
        ("resting", IpStatus::Resting),
        ("retiring", IpStatus::Retiring),
        ("standby", IpStatus::Standby),
        ("warming", IpStatus::Warming),
    ] {
        let of = state
            .identities
            .values()
            .filter(|ip| ip.spec.status == wanted);
        gauge!(IPS, "status" => name).set(figure(of.count() as u64));
    }
    for identity in state.identities.values().take(IDENTITY_SERIES) {
        let quota = f64::from(identity.daily_quota());
        let ip = identity.spec.address.to_string();
        let domain = identity.spec.domain.to_string();
        gauge!(WARMUP_QUOTA, "ip" => ip.clone()).set(quota);
        gauge!(IP_WARMUP_QUOTA, "ip" => ip, "domain" => domain).set(quota);
    }
}

/// Name of a host's lifecycle, in answers and labels.
#[must_use]
pub const fn lifecycle(lifecycle: HostLifecycle) -> &'static str {
    match lifecycle {
        HostLifecycle::Declared => "declared",
        HostLifecycle::Enrolled => "enrolled",
        HostLifecycle::Retiring { .. } => "retiring",
        HostLifecycle::Retired => "retired",
    }
}

/// Metrics are floating point; counts this large lose their last digits, not their size.
#[expect(clippy::cast_precision_loss, reason = "figures for dashboards")]
const fn figure(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::raft::{Hearing, Leadership, PeerContact};

    #[test]
    fn only_a_leader_tells_for_how_long_a_peer_is_silent() {
        let mut raft = RaftStatus {
            node: NodeId(1),
            leadership: Leadership::default(),
            last_index: 1,
            applied_index: 1,
            voters: vec![NodeId(1), NodeId(2)],
            learners: Vec::new(),
            contacts: Some(vec![PeerContact {
                node: NodeId(2),
                matched: None,
                hearing: Hearing::Unreachable,
                silent_millis: 7_500,
            }]),
        };
        assert_eq!(silence(NodeId(2), &raft).to_string(), "7.5");
        assert!(silence(NodeId(3), &raft).is_nan(), "no member");
        raft.contacts = None;
        assert!(silence(NodeId(2), &raft).is_nan(), "leads no more");
    }

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert!(metric.name.starts_with("email_engine_"), "{}", metric.name);
            assert!(!metric.help.is_empty(), "{}", metric.name);
        }
    }
}
