//! Views of the fleet, as answered.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::preview::{is_false, is_zero};
use super::{
    ClusterView, DomainCheck, FleetDocument, HostChange, HostSpec, IpSpec, Phase, UncountedView,
};
use crate::bytes::ContentHash;
use crate::desired::Resource;
use crate::generation::Generation;
use crate::id::{HostId, NodeId};
use crate::mail::DomainName;
use crate::observed::{
    Attempt, Convergence, Counts, Facts, MailNotices, ResourceStatus, StatusCounts,
};
use crate::time::Timestamp;

/// One host with where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// What was declared.
    #[serde(flatten)]
    pub spec: HostSpec,
    /// `declared` (never enrolled), `enrolled`, `retiring` or `retired`.
    pub lifecycle: String,
    /// Generation that it shall be at.
    pub target: Option<Generation>,
    /// Generation that it said it enforces.
    pub running: Option<Generation>,
    /// Its last outcome.
    pub convergence: Convergence,
    /// Resources by state.
    pub counts: StatusCounts,
    /// Resources that are not as they shall be, worst first, each with its reason; the first few.
    /// Known while the agent is connected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<ResourceStatus>,
    /// What the agent measured of its machine; told of a single host, while it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// The last generation that did not get through.
    pub attempted: Option<Attempt>,
    /// Why no new target is made for it, when the leader cannot plan it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_error: Option<String>,
    /// The node that its agent is connected to.
    pub connected: Option<NodeId>,
    /// Why its agent has no session, when it called of late and got none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned_away: Option<TurnedAway>,
    /// Nodes that did not say in time whose agents they have, where no other has this one: whether it
    /// is connected is not known then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<NodeId>,
    /// When its outcome last changed.
    pub changed_at: Option<Timestamp>,
    /// What its accounting files say; known while the agent is connected.
    #[serde(default, skip_serializing_if = "MailView::is_empty")]
    pub mail: MailView,
    /// What stands in its accounting files and is in nobody's statistics.
    #[serde(default, skip_serializing_if = "UncountedView::is_empty")]
    pub uncounted: UncountedView,
}

/// What the accounting files of a host say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailView {
    /// What an operator should know.
    pub notices: MailNotices,
    /// Counts by UTC day, the newest first; today's are not complete.
    pub days: Vec<MailDay>,
}

impl MailView {
    /// Whether nothing is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.notices.is_empty() && self.days.is_empty()
    }
}

/// Counts of all identities of a host in one UTC day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailDay {
    /// Its beginning.
    pub day: Timestamp,
    /// Final results: delivered and bounced.
    pub sent: u64,
    /// Delivered.
    pub delivered: u64,
    /// Bounced for a hard reason, remote bounces included.
    pub bounced: u64,
    /// Messages that were deferred.
    pub deferred: u64,
    /// Complaints.
    pub complaints: u64,
}

impl MailDay {
    /// A day without mail.
    #[must_use]
    pub const fn none(day: Timestamp) -> Self {
        Self {
            day,
            sent: 0,
            delivered: 0,
            bounced: 0,
            deferred: 0,
            complaints: 0,
        }
    }

    /// Adds what another one counted.
    pub const fn add(&mut self, other: &Self) {
        self.sent = self.sent.saturating_add(other.sent);
        self.delivered = self.delivered.saturating_add(other.delivered);
        self.bounced = self.bounced.saturating_add(other.bounced);
        self.deferred = self.deferred.saturating_add(other.deferred);
        self.complaints = self.complaints.saturating_add(other.complaints);
    }

    /// A day with these counts.
    #[must_use]
    pub const fn of(day: Timestamp, row: &Counts) -> Self {
        Self {
            day,
            sent: row.sent,
            delivered: row.delivered,
            bounced: row.bounced,
            deferred: row.deferred,
            complaints: row.complaints,
        }
    }
}

/// Why a call of an agent did not become a session, or no longer is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedAway {
    /// When it called last.
    pub at: Timestamp,
    /// What was wrong: by a node's judgement, or in the agent's own words.
    pub reason: String,
}

/// Overall state of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FleetState {
    /// Every host runs its target.
    Converged,
    /// Some host is on its way.
    Converging,
    /// Some host failed, is silent, cannot be planned or known, or the cluster has no leader.
    Degraded,
}

/// Answer of `GET /api/v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// Overall state.
    pub state: FleetState,
    /// Whether this was read with the leader's word or from this node alone.
    pub stale: bool,
    /// Why it is not converged, for people.
    pub reasons: Vec<String>,
    /// Whether there are changes that the leader has not planned yet: a host may look right that is to
    /// change.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unplanned: bool,
    /// The cluster.
    pub cluster: ClusterView,
    /// All hosts.
    pub hosts: Vec<HostView>,
    /// Number of identities.
    pub ips: u64,
    /// Number of identities that are gone and drain on some host.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub leaving: u64,
}

/// What a change does to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeAction {
    /// It did not exist.
    Create,
    /// It differs.
    Update,
    /// It goes (prune only).
    Remove,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What is done.
    pub action: ChangeAction,
    /// `tenant`, `host`, `ip` or `settings`.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// What differs, one `field: old -> new` each.
    pub details: Vec<String>,
}

/// Answer of `POST /api/v1/fleet`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyAnswer {
    /// Whether it was done; false for a dry run and when there was nothing to do.
    pub applied: bool,
    /// Fleet revision after it.
    pub revision: u64,
    /// What was, or would be, changed.
    pub changes: Vec<Change>,
    /// Warnings that stop nothing.
    pub warnings: Vec<String>,
    /// Of a dry run: what would change on the hosts, secrets masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostChange>,
    /// Of a dry run: hosts that were not compared, because others filled the answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_hosts: u64,
}

/// What pruning to a document does to what it omits: it is removed, or an identity laid to rest that is the last
/// of its kind.
#[must_use]
pub fn pruned<'a>(document: &FleetDocument, changes: &'a [Change]) -> Vec<&'a Change> {
    let named: BTreeSet<String> = document
        .ips
        .iter()
        .map(|ip| ip.address.to_string())
        .collect();
    let changes = changes.iter();
    changes
        .filter(|change| match change.action {
            ChangeAction::Create => false,
            ChangeAction::Update => change.kind == "ip" && !named.contains(&change.name),
            ChangeAction::Remove => true,
        })
        .collect()
}

/// Names what pruning does: the hash of a line `ACTION KIND NAME` for each of [`pruned`], sorted. Who agrees to it
/// sends this along, so that nothing else is pruned.
#[must_use]
pub fn removals(document: &FleetDocument, changes: &[Change]) -> ContentHash {
    let mut lines: Vec<String> = pruned(document, changes)
        .into_iter()
        .map(|change| {
            let action = match change.action {
                ChangeAction::Remove => "remove",
                ChangeAction::Create | ChangeAction::Update => "rest",
            };
            format!("{action} {} {}\n", change.kind, change.name)
        })
        .collect();
    lines.sort();
    ContentHash::of(lines.concat().as_bytes())
}

/// A sending domain with the records that it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainView {
    /// The identity that it belongs to.
    pub ip: IpSpec,
    /// The domain.
    pub domain: DomainName,
    /// Records to publish.
    pub records: Vec<DomainRecord>,
    /// What the servers of its zone say of them.
    #[serde(flatten, default)]
    pub checked: DomainCheck,
    /// What lies before it until it sends at its full quota; told when it is added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warmup: Vec<PlannedPhase>,
}

/// One phase of the warm-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPhase {
    /// Which.
    pub phase: Phase,
    /// Mails a day in it.
    pub daily_quota: u32,
    /// Days in it at least; none in the last, which stays.
    pub least_days: Option<u32>,
}

/// One DNS record that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRecord {
    /// Owner name, without the final dot.
    pub name: String,
    /// `A`, `AAAA`, `MX`, `TXT` or `PTR`.
    pub kind: String,
    /// Its data in presentation form.
    pub value: String,
    /// It may go then: nobody signs with its key any more, and what was signed last is still judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Answer of `GET /api/v1/hosts/{id}/config`: what is or would be pushed, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedConfig {
    /// The host.
    pub host: HostId,
    /// Its generation; absent when it was never planned.
    pub generation: Option<Generation>,
    /// Digest of the manifest.
    pub digest: ContentHash,
    /// Its resources.
    pub resources: Vec<Resource>,
    /// Files with public content.
    pub files: Vec<RenderedFile>,
    /// Of what would be pushed: what an operator must know of it, such as which part of its role the host
    /// does not get and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A rendered file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedFile {
    /// Where on the host.
    pub path: String,
    /// Its text, or `(secret ID version N)`.
    pub text: String,
}
