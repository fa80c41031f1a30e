//! What stands in the state, and what agents that are connected here told.

use std::collections::{BTreeMap, BTreeSet};

use metrics::gauge;

use email_engine_protocol::api::IpStatus;
use email_engine_protocol::id::{NodeId, Role};
use email_engine_protocol::observed::{Convergence, MailNotice};
use email_engine_protocol::time::Timestamp;

use super::list::{
    AGENTS, BEHIND, BLACKLIST_STATUS, BLACKLIST_UNKNOWN, CERTIFICATE_DAYS, DKIM_ROTATIONS, HOSTS,
    IP_WARMUP_QUOTA, IPS, MAIL_NOTICES, PMTA_STATUS, RAFT_APPLIED, RAFT_HAS_LEADER, RAFT_LAST,
    RAFT_LEADER, RAFT_PEER_SILENT, RAFT_TERM, RAFT_VOTERS, REVISION, UNCOUNTED, WARMUP_QUOTA,
};
use super::{IDENTITY_SERIES, figure};
use crate::fleet::listing::{Standing, standing};
use crate::fleet::rotation::stuck;
use crate::push::metric_names::PREPARED_KEYS;
use crate::raft::{RaftStatus, SessionRow};
use crate::state::{CertificateSubject, FleetState, HostLifecycle};

/// The service of the mail server, as the role `powermta` names it.
const SERVER: &str = "service:pmta.service";

/// Figures that are read when somebody looks.
pub fn observe(state: &FleetState, raft: &RaftStatus, now: Timestamp) {
    observe_raft(raft);
    observe_peers(state, raft);
    super::alerts::observe(state, now);
    super::failover::observe(state);
    gauge!(REVISION).set(figure(state.revision));
    gauge!(PREPARED_KEYS).set(figure(state.prepared_keys.len() as u64));
    observe_hosts(state);
    observe_certificates(state, now);
    observe_identities(state);
    observe_uncounted(state);
    observe_rotations(state, now);
    if raft.leadership.is_leader {
        observe_listings(state);
    }
}

fn observe_rotations(state: &FleetState, now: Timestamp) {
    let stages = [
        "publish",
        "verified",
        "switching",
        "switched",
        "retired",
        "stuck",
    ];
    let mut counts = BTreeMap::from(stages.map(|stage| (stage, 0_u64)));
    for identity in state.identities.values() {
        let Some(rotation) = &identity.signing.rotation else {
            continue;
        };
        let stage = match stuck(identity, now) {
            Some(_) => "stuck",
            None => rotation.stage.as_str(),
        };
        *counts.entry(stage).or_default() += 1;
    }
    for (stage, count) in counts {
        gauge!(DKIM_ROTATIONS, "stage" => stage).set(figure(count));
    }
}

/// The leader tells of addresses alone: all nodes would tell the same.
fn observe_listings(state: &FleetState) {
    for identity in state.identities.values().take(IDENTITY_SERIES) {
        let address = identity.spec.address;
        for list in state.listings.lists.keys() {
            let (ip, dnsbl) = (address.to_string(), list.to_string());
            let Some(standing) = standing(state, identity, list) else {
                continue;
            };
            let is_unknown = standing == Standing::Unknown;
            gauge!(BLACKLIST_UNKNOWN, "ip" => ip.clone(), "dnsbl" => dnsbl.clone())
                .set(figure(u64::from(is_unknown)));
            if !is_unknown {
                let is_listed = standing == Standing::Listed;
                gauge!(BLACKLIST_STATUS, "ip" => ip, "dnsbl" => dnsbl)
                    .set(figure(u64::from(is_listed)));
            }
        }
    }
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

/// What the agents that are connected here say of mail and of its server.
pub fn observe_hosts_mail<'a>(
    state: &FleetState,
    here: impl Iterator<Item = &'a SessionRow>,
    now: Timestamp,
) {
    let count = |notice: Option<MailNotice>| notice.map_or(0, |notice| notice.count);
    let mut sums = [0_u64; 3];
    for row in here {
        let of = row.mail.notices.clone().current(now);
        let counts = [of.unknown_senders, of.unmatched, of.unreadable].map(count);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum = sum.saturating_add(count);
        }
        observe_server(state, row);
    }
    for (kind, sum) in ["unknown-sender", "unmatched", "unreadable"]
        .into_iter()
        .zip(sums)
    {
        gauge!(MAIL_NOTICES, "kind" => kind).set(figure(sum));
    }
}

/// Of hosts that run a target: before the first there is no server.
fn observe_server(state: &FleetState, row: &SessionRow) {
    let host = state.hosts.get(&row.host);
    let runs = state.outcomes.get(&row.host).and_then(|seen| seen.running);
    if host.is_none_or(|host| host.spec.role != Role::Powermta) || runs.is_none() {
        return;
    }
    let is_ill = row
        .trouble
        .iter()
        .any(|status| status.id.as_str() == SERVER);
    gauge!(PMTA_STATUS, "vps" => row.host.to_string()).set(figure(u64::from(!is_ill)));
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

/// The certificates in use: the one that a host shows, and a node's newest.
fn observe_certificates(state: &FleetState, now: Timestamp) {
    let hosts = state.hosts.values().filter_map(|host| host.keys.as_ref());
    let agents = hosts.filter_map(|keys| Some(state.certificates.get(&keys.serial)?.not_after));
    let mut nodes: BTreeMap<NodeId, Timestamp> = BTreeMap::new();
    for record in state.certificates.values() {
        if let CertificateSubject::Node(node) = record.subject
            && state.nodes.contains_key(&node)
        {
            let newest = nodes.entry(node).or_insert(record.not_after);
            *newest = record.not_after.max(*newest);
        }
    }
    for (holder, first) in [("agent", agents.min()), ("node", nodes.into_values().min())] {
        if let Some(ends) = first {
            // Below zero once it has ended.
            let left = figure(ends.since(now)) - figure(now.since(ends));
            gauge!(CERTIFICATE_DAYS, "holder" => holder).set(left / figure(Timestamp::DAY));
        }
    }
}

fn observe_identities(state: &FleetState) {
    // One that was retired is no identity any more; its address drains.
    let retired = state.leaving.values().map(|one| one.spec().address);
    let retired = retired.filter(|address| !state.identities.contains_key(address));
    let retired = retired.collect::<BTreeSet<_>>().len() as u64;
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
        let drain = if wanted == IpStatus::Retiring {
            retired
        } else {
            0
        };
        gauge!(IPS, "status" => name).set(figure(of.count() as u64 + drain));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::fixture::{Fleet, address};
    use crate::command::{Command, RetireIdentity};
    use crate::raft::{Hearing, Leadership, PeerContact};

    #[test]
    fn identities_are_told_by_status_with_those_that_drain_and_each_with_its_quota() {
        let mut fleet = Fleet::with_identities(3);
        fleet.accept(fleet.target(&[b"all three"]));
        fleet.accept(Command::RetireIdentity(RetireIdentity {
            address: address(2),
        }));
        let told = crate::metrics::look(|| observe_identities(&fleet.state));
        let one = &fleet.state.identities[&address(1)];
        let (ip, domain, quota) = (one.spec.address, &one.spec.domain, one.daily_quota());
        for line in [
            "email_engine_ips_total{status=\"warming\"} 2".to_owned(),
            "email_engine_ips_total{status=\"retiring\"} 1".to_owned(),
            "email_engine_ips_total{status=\"active\"} 0".to_owned(),
            format!("email_engine_warmup_quota{{ip=\"{ip}\"}} {quota}"),
            format!("email_engine_ip_warmup_quota{{ip=\"{ip}\",domain=\"{domain}\"}} {quota}"),
        ] {
            assert!(told.lines().any(|one| one == line), "{line} in {told}");
        }
    }

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
}
