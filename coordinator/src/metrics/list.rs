//! Every metric of a node, with unit and help. Names are what dashboards rely on.

use metrics::Unit;

use super::Kind;
use crate::mailwizz::MAILWIZZ_CALLS;
use crate::push::metric_names::{
    DENIED, DRIFT_REPAIRS, ENROLLMENTS, FROZEN_HOSTS, HANDSHAKES_SHED, OFFERS, OUTCOMES_RECORDED,
    PLAN_ERRORS, PREPARED_KEYS, REPORTS_REFUSED, SESSIONS, STATISTICS_RECORDED, TARGETS_FAILED,
};
use crate::raft::metric_names::{
    BODIES_DAMAGED, BODIES_MENDED, COMMIT_SECONDS, PURGED_INDEX, QUERY_SECONDS, SNAPSHOT_INDEX,
    SNAPSHOTS_INSTALLED, SNAPSHOTS_ROTTEN, SNAPSHOTS_SENT,
};

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

pub(super) const IPS: &str = "email_engine_ips_total";
pub(super) const WARMUP_QUOTA: &str = "email_engine_warmup_quota";
pub(super) const IP_WARMUP_QUOTA: &str = "email_engine_ip_warmup_quota";
pub(super) const API_LATENCY: &str = "email_engine_api_latency_seconds";
pub(super) const ERRORS: &str = "email_engine_errors_total";
pub(super) const RAFT_LEADER: &str = "email_engine_raft_is_leader";
pub(super) const RAFT_HAS_LEADER: &str = "email_engine_raft_has_leader";
pub(super) const RAFT_TERM: &str = "email_engine_raft_term";
pub(super) const RAFT_APPLIED: &str = "email_engine_raft_applied_index";
pub(super) const RAFT_LAST: &str = "email_engine_raft_last_index";
pub(super) const RAFT_VOTERS: &str = "email_engine_raft_voters";
pub(super) const RAFT_PEER_SILENT: &str = "email_engine_raft_peer_silent_seconds";
pub(super) const REVISION: &str = "email_engine_fleet_revision";
/// Counter by `channel` and `outcome`: alerts that were handed to channels, and what became of them.
pub const ALERT_DELIVERIES: &str = "email_engine_alert_deliveries_total";
pub(super) const ALERTS: &str = "email_engine_alerts";
pub(super) const ALERT_OLDEST: &str = "email_engine_alert_oldest_undelivered_seconds";
pub(super) const HOSTS: &str = "email_engine_hosts_total";
pub(super) const AGENTS: &str = "email_engine_agents_total";
pub(super) const MAIL_NOTICES: &str = "email_engine_mail_notices";
pub(super) const DKIM_ROTATIONS: &str = "email_engine_dkim_rotations";
pub(super) const BLACKLIST_STATUS: &str = "email_engine_blacklist_status";
pub(super) const BLACKLIST_UNKNOWN: &str = "email_engine_blacklist_unknown";
pub(super) const FAILOVER_EVENTS: &str = "email_engine_failover_events";
pub(super) const BREAKER_OPEN: &str = "email_engine_breaker_open";
pub(super) const LIST_BRAKED: &str = "email_engine_dnsbl_braked";
pub(super) const UNCOUNTED: &str = "email_engine_statistics_uncounted";
pub(super) const BEHIND: &str = "email_engine_agents_behind_target";
pub(super) const EMAILS_SENT: &str = "email_engine_emails_sent_total";
pub(super) const BOUNCE_RATE: &str = "email_engine_bounce_rate";
pub(super) const TENANT_EMAILS_SENT: &str = "email_engine_tenant_emails_sent";
pub(super) const CERTIFICATE_DAYS: &str = "email_engine_certificate_days_left";
pub(super) const PMTA_STATUS: &str = "email_engine_pmta_status";

/// What happens, counted when it does.
pub const EVENTS: &[Metric] = &[
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
        SESSIONS,
        Kind::Gauge,
        Unit::Count,
        "Live agent sessions of this node",
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
    metric(
        MAILWIZZ_CALLS,
        Kind::Counter,
        Unit::Count,
        "Calls of MailWizz by endpoint and status code, `none` when no answer came",
    ),
    metric(
        ALERT_DELIVERIES,
        Kind::Counter,
        Unit::Count,
        "Alerts that this node handed to channels while it led, by the channel's kind and by what became of them: delivered, asked-to-wait, failed, refused",
    ),
    metric(
        STATISTICS_RECORDED,
        Kind::Counter,
        Unit::Count,
        "Entries with statistics of hosts that this node brought into the log",
    ),
    metric(
        DRIFT_REPAIRS,
        Kind::Counter,
        Unit::Count,
        "Drifts that agents connected to this node repaired",
    ),
    metric(
        TARGETS_FAILED,
        Kind::Counter,
        Unit::Count,
        "Targets that a host could not bring into force, by how far they came",
    ),
    metric(
        COMMIT_SECONDS,
        Kind::Histogram,
        Unit::Seconds,
        "Time from a proposal on this node until its effect is readable here",
    ),
    metric(
        QUERY_SECONDS,
        Kind::Histogram,
        Unit::Seconds,
        "Time that the database takes, by what is done: series, write, flush",
    ),
];

/// What is read when somebody looks. What is no more has no series: they are made anew at each look.
pub const LOOKS: &[Metric] = &[
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
        BEHIND,
        Kind::Gauge,
        Unit::Count,
        "Hosts that do not run their target, by how many generations they lag",
    ),
    metric(
        MAIL_NOTICES,
        Kind::Gauge,
        Unit::Count,
        "Accounting records of hosts connected to this node that need somebody's eye, by kind, counted until a day passes without: mail of unknown senders that was discarded, records of no identity, records that cannot be read",
    ),
    metric(
        DKIM_ROTATIONS,
        Kind::Gauge,
        Unit::Count,
        "Rotations of DKIM keys by stage; those that are late are `stuck`, whatever their stage",
    ),
    metric(
        BLACKLIST_STATUS,
        Kind::Gauge,
        Unit::Count,
        "1 when an address is on a list of bad senders, 0 when it is not, none when nothing is known",
    ),
    metric(
        BLACKLIST_UNKNOWN,
        Kind::Gauge,
        Unit::Count,
        "1 when nothing is known of an address on a list that is asked",
    ),
    metric(
        FAILOVER_EVENTS,
        Kind::Gauge,
        Unit::Count,
        "Identities that were taken out because of lists, by whether another took their place: sought, unreplaced (something stands in the way), replaced, ended, nothing-lost",
    ),
    metric(
        BREAKER_OPEN,
        Kind::Gauge,
        Unit::Count,
        "1 while a tenant's breaker is open: nobody is promoted for it, and its bulk mail is paused",
    ),
    metric(
        LIST_BRAKED,
        Kind::Gauge,
        Unit::Count,
        "1 while nothing is done because of a list, which named too many addresses at once",
    ),
    metric(
        ALERTS,
        Kind::Gauge,
        Unit::Count,
        "Alerts that are kept, by severity and state: open (a state that goes on), over (a state that ended, or an event)",
    ),
    metric(
        ALERT_OLDEST,
        Kind::Gauge,
        Unit::Seconds,
        "Since when the oldest alert waits that no channel took yet; 0 when none does",
    ),
    metric(
        UNCOUNTED,
        Kind::Gauge,
        Unit::Count,
        "Accounting records of all hosts that are in nobody's statistics, by kind, counted until a day passes without: of an address that was no identity's when they were written (unclaimed), older than what is kept (too-old)",
    ),
    metric(
        PREPARED_KEYS,
        Kind::Gauge,
        Unit::Count,
        "DKIM keys made ahead of need",
    ),
    metric(
        EMAILS_SENT,
        Kind::Counter,
        Unit::Count,
        "Results of mail since counting began, by identity and status: delivered, bounced, deferred, complained; the same on every node, so that `max`, not `sum`, joins nodes",
    ),
    metric(
        BOUNCE_RATE,
        Kind::Gauge,
        Unit::Count,
        "Share of the mails of this UTC day that were not delivered, by identity and type: hard, soft",
    ),
    metric(
        TENANT_EMAILS_SENT,
        Kind::Gauge,
        Unit::Count,
        "Mails of this UTC day that have a final result, by tenant and purpose of the identity; `all` in a fleet whose identities have no series of their own",
    ),
    metric(
        CERTIFICATE_DAYS,
        Kind::Gauge,
        Unit::Count,
        "Days until the first certificate in use ends, by holder: agent, node",
    ),
    metric(
        PMTA_STATUS,
        Kind::Gauge,
        Unit::Count,
        "1 when the agent of a PowerMTA host that is connected to this node finds its service as it shall be, by vps; 0 when not",
    ),
];
