//! `/cluster`: members, version, backup.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Json};

use email_engine_protocol::api::{ClusterView, Contact, MemberRole, NodeView, VersionRequest};
use email_engine_protocol::id::NodeId;
use email_engine_protocol::observed::Observed;
use email_engine_protocol::time::Timestamp;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::command::{Command, Proposal, RaiseVersion, SetNode};
use crate::raft::{Contacts, Hearing, NoWord, PeerContact, RaftStatus};
use crate::state::{FleetState, Node};

/// The cluster as this node sees it.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
) -> Result<Json<ClusterView>, ApiError> {
    answer(&api).await.map(Json)
}

async fn answer(api: &Api) -> Result<ClusterView, ApiError> {
    let contacts = api.fleet.contacts().await;
    let raft = api.fleet.raft_status();
    api.view(|state| view(state, &raft, &contacts, api.now()))
        .ok_or_else(not_ready)
}

pub(super) fn not_ready() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-ready",
        "this node does not hold the cluster's state yet",
    )
}

/// None until this node has the founding of the cluster.
pub(super) fn view(
    state: &FleetState,
    raft: &RaftStatus,
    contacts: &Contacts,
    now: Timestamp,
) -> Option<ClusterView> {
    let cluster = state.cluster.as_ref()?;
    // The word of a leader that was lost since it gave it.
    let lost = Err(NoWord {
        reason: "the leader was lost just now".to_owned(),
        since_millis: 0,
    });
    let contacts = match raft.leadership.leader {
        Some(_) => contacts,
        None => contacts.as_ref().map_or(contacts, |_| &lost),
    };
    let role = |id: &NodeId, recorded: MemberRole| {
        if raft.voters.contains(id) {
            MemberRole::Voter
        } else if raft.learners.contains(id) {
            MemberRole::Learner
        } else {
            recorded
        }
    };
    let nodes = state.nodes.values().map(|node| {
        let role = role(&node.id, node.role);
        let contact = (role != MemberRole::Removed).then(|| contact(node, contacts, now));
        NodeView {
            id: node.id,
            role,
            leader: raft.leadership.leader == Some(node.id),
            raft_endpoint: node.raft_endpoint.clone(),
            agent_endpoint: node.agent_endpoint.clone(),
            api_endpoint: node.api_endpoint.clone(),
            matched_index: row(node.id, contacts).and_then(|row| row.matched),
            contact,
        }
    });
    Some(ClusterView {
        cluster: cluster.id,
        epoch: cluster.epoch,
        cluster_version: cluster.version,
        node: raft.node,
        leader: raft.leadership.leader,
        term: raft.leadership.term,
        applied_index: raft.applied_index,
        last_index: raft.last_index,
        revision: state.revision,
        state_time: state.now,
        nodes: nodes.collect(),
    })
}

fn row(node: NodeId, contacts: &Contacts) -> Option<&PeerContact> {
    let mut rows = contacts.as_ref().ok()?.iter();
    rows.find(|row| row.node == node)
}

/// Whether a member answers the leader. Without the leader's word nothing is said of it.
fn contact(node: &Node, contacts: &Contacts, now: Timestamp) -> Observed<Contact> {
    let before = |millis: u64| Timestamp(now.0.saturating_sub(millis));
    let unknown = |reason: &str, since| Observed::Unknown {
        reason: reason.to_owned(),
        since,
    };
    let known = |value| Observed::Known { value, at: now };
    if let Err(word) = contacts {
        return unknown(&word.reason, before(word.since_millis));
    }
    let Some(row) = row(node.id, contacts) else {
        return unknown(
            "the leader does not know it as a member yet",
            node.joined_at,
        );
    };
    let then = before(row.silent_millis);
    match row.hearing {
        Hearing::Answers => known(Contact::Heard { last: then }),
        Hearing::NotYet => unknown("it has not answered its new leader yet", then),
        Hearing::Unreachable => known(Contact::Unreachable { since: then }),
    }
}

/// Gives a learner a vote.
pub(in crate::api) async fn promote(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(node): Named<NodeNumber>,
) -> Result<Json<ClusterView>, ApiError> {
    if let Some(record) = record(&api, &write, node, MemberRole::Voter)? {
        api.fleet.promote(NodeId(node.0), record).await?;
    }
    answer(&api).await.map(Json)
}

/// Takes a node out for ever.
pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(node): Named<NodeNumber>,
) -> Result<Json<ClusterView>, ApiError> {
    if let Some(record) = record(&api, &write, node, MemberRole::Removed)? {
        api.fleet.remove(NodeId(node.0), record).await?;
    }
    answer(&api).await.map(Json)
}

/// The record of a node's new part, in the caller's name; none when this very request made it before.
fn record(
    api: &Api,
    write: &WriteRequest,
    node: NodeNumber,
    role: MemberRole,
) -> Result<Option<Proposal>, ApiError> {
    if let Some(first) = &write.replayed {
        first.clone()?;
        return Ok(None);
    }
    let node = NodeId(node.0);
    if !api.view(|state| state.nodes.contains_key(&node)) {
        return Err(ApiError::not_found("node", &node.to_string()));
    }
    let command = Command::SetNode(SetNode::role(node, role));
    Ok(Some(api.proposal(write, 0, command)))
}

/// A node's number in a path.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct NodeNumber(u64);

impl std::str::FromStr for NodeNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("node {text:?} does not exist: nodes are numbers from 1"))
    }
}

/// Raises the cluster version; all voters must support it.
pub(in crate::api) async fn raise_version(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(request): JsonBody<VersionRequest>,
) -> Result<Json<ClusterView>, ApiError> {
    let command = Command::RaiseVersion(RaiseVersion {
        version: request.version,
    });
    api.commit_here(&write, command).await?;
    answer(&api).await.map(Json)
}

/// A consistent copy of the state, sealed to the recovery key, as it is made.
pub(in crate::api) async fn backup(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let backup = api.fleet.backup().await?;
    let mut response = Response::new(Body::from_stream(backup.chunks));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Ok(response)
}
