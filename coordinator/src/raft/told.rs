//! What nodes ask each other because no log holds it: whose agents they have, whom they turned away,
//! and what the leader cannot plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{MailView, Verdict};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{HostId, NodeId};
use email_engine_protocol::observed::{DrainStatus, Facts, Mode, ResourceStatus};
use email_engine_protocol::time::Timestamp;

use super::handle::Cluster;
use super::net::{Request, Response};

/// How long other nodes may take to tell what they alone know.
pub const TELL_WITHIN: Duration = Duration::from_secs(1);

/// One host's agent, as a node knows it: its live session, or why its last call became none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Whose.
    pub host: HostId,
    /// Since when.
    pub since: Timestamp,
    /// Newest generation that was offered.
    pub offered: Option<Generation>,
    /// What its last report says is not as it shall be, worst first, bounded.
    pub trouble: Vec<ResourceStatus>,
    /// What its last report says of the machine, bounded.
    pub facts: Option<Facts>,
    /// What its last report says of names that drain, bounded.
    pub drains: Vec<DrainStatus>,
    /// There is no session: why the agent was turned away when it called, at `since`.
    pub turned_away: Option<String>,
    /// What an operator should know of its mail, as the agent told in this session; days are in the state.
    pub mail: MailView,
}

impl SessionRow {
    /// Whether the host has an address, as it said last; none when it did not say.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> Option<Verdict> {
        let facts = self.facts.as_ref()?;
        if facts.addresses.contains(&address) {
            return Some(Verdict::Valid);
        }
        let knows_all = facts.mode == Mode::Real && facts.addresses_left_out == 0;
        let what = format!("host {} has it on no interface", self.host);
        knows_all.then_some(Verdict::Invalid { what })
    }

    /// Whether the agent is connected.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.turned_away.is_none()
    }
}

/// A session that began on one node, as the others are told: an older one of the same host ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionNotice {
    /// Whose.
    pub host: HostId,
    /// The node that has it.
    pub node: NodeId,
    /// Where the agent called from.
    pub from: String,
    /// How long ago it began. An age, because the clocks of nodes differ.
    pub age_millis: u64,
}

/// Who is told of sessions that began on other nodes; answers which older ones ended.
pub type SessionHearing = Arc<dyn Fn(&[SessionNotice]) -> Vec<HostId> + Send + Sync>;

/// What came of telling the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Hosts whose older session ended on another node.
    pub ended: BTreeSet<HostId>,
    /// Every other node answered.
    pub complete: bool,
}

/// Hosts that cannot be planned, and why.
pub type PlanErrors = BTreeMap<HostId, String>;

/// How far the leader has planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// A revision of the fleet in which every host that can be planned has the target that it shall
    /// have; 0 when there is none yet.
    pub revision: u64,
    /// Hosts that cannot be planned or whose target was refused, and why.
    pub errors: PlanErrors,
    /// How many passes in a row came to nothing, for no fault of a host.
    pub failed: u32,
}

/// Answers how far this node has planned as the leader; may wait a little for a revision.
pub type PlannedSource = Arc<dyn Fn(u64) -> BoxFuture<'static, Planned> + Send + Sync>;

/// Live agent sessions, as far as nodes told of theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// Each with the node that has it.
    pub rows: Vec<(NodeId, SessionRow)>,
    /// Nodes that did not answer in time: whom they have is not known.
    pub unheard: Vec<NodeId>,
}

impl Cluster {
    /// Registers where this node's live sessions are read from when a peer asks.
    pub fn serve_sessions(&self, source: Arc<dyn Fn() -> Vec<SessionRow> + Send + Sync>) {
        *self
            .core()
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Live agent sessions of all nodes that answer within a second, whom they turned away, and who
    /// does not answer.
    pub async fn sessions(&self) -> Sessions {
        let (voters, learners) = self.core().members();
        let deadline = tokio::time::Instant::now() + TELL_WITHIN;
        let asked = voters.union(&learners).map(|node| {
            let node = NodeId(*node);
            async move {
                if node == self.core().node {
                    return (node, Some(self.core().own_sessions()));
                }
                match self.core().ask(node, &Request::Sessions, deadline).await {
                    Ok(Response::Sessions(rows)) => (node, Some(rows)),
                    _ => (node, None),
                }
            }
        });
        let mut sessions = Sessions::default();
        for (node, rows) in futures::future::join_all(asked).await {
            match rows {
                Some(rows) => sessions
                    .rows
                    .extend(rows.into_iter().map(|row| (node, row))),
                None => sessions.unheard.push(node),
            }
        }
        sessions
    }

    /// Registers who ends older sessions here when a newer one began on another node, and says of
    /// which hosts.
    pub fn hear_sessions(&self, hear: SessionHearing) {
        *self
            .core()
            .hearing
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(hear);
    }

    /// Tells the other nodes of sessions that began here. Nothing of it enters the log.
    pub async fn announce_sessions(&self, notices: Vec<SessionNotice>) -> Announced {
        let (voters, learners) = self.core().members();
        let deadline = tokio::time::Instant::now() + TELL_WITHIN;
        let request = Request::SessionsBegan(notices);
        let others = voters.union(&learners).map(|node| NodeId(*node));
        let asked = others
            .filter(|node| *node != self.core().node)
            .map(|node| self.core().ask(node, &request, deadline));
        let mut announced = Announced {
            complete: true,
            ..Announced::default()
        };
        for answer in futures::future::join_all(asked).await {
            match answer {
                Ok(Response::SessionsEnded(hosts)) => announced.ended.extend(hosts),
                _ => announced.complete = false,
            }
        }
        announced
    }

    /// Registers where it is read how far this node, as the leader, has planned.
    pub fn serve_planned(&self, source: PlannedSource) {
        *self
            .core()
            .planned
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// How far the leader has planned, which waits a little for a revision that was asked for; none
    /// when no leader answers within a second.
    pub async fn planned(&self, revision: u64) -> Option<Planned> {
        let leader = self.core().leader()?;
        if leader == self.core().node {
            return self.core().own_planned(revision).await;
        }
        let deadline = tokio::time::Instant::now() + TELL_WITHIN;
        let request = Request::Planned(revision);
        match self.core().ask(leader, &request, deadline).await {
            Ok(Response::Planned(planned)) => planned,
            _ => None,
        }
    }
}
