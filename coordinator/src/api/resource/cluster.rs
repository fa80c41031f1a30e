//! `/cluster`: members, version, backup.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Json};

use email_engine_protocol::api::{ClusterView, MemberRole, NodeView, VersionRequest};
use email_engine_protocol::id::NodeId;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::command::{Command, Proposal, RaiseVersion, SetNode};
use crate::raft::RaftStatus;
use crate::state::FleetState;

/// The cluster as this node sees it.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
) -> Result<Json<ClusterView>, ApiError> {
    answer(&api).map(Json)
}

fn answer(api: &Api) -> Result<ClusterView, ApiError> {
    let raft = api.fleet.raft_status();
    api.view(|state| view(state, &raft)).ok_or_else(not_ready)
}

pub(super) fn not_ready() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-ready",
        "this node does not hold the cluster's state yet",
    )
}

/// None until this node has the founding of the cluster.
pub(super) fn view(state: &FleetState, raft: &RaftStatus) -> Option<ClusterView> {
    let cluster = state.cluster.as_ref()?;
    let role = |id: &NodeId, recorded: MemberRole| {
        if raft.voters.contains(id) {
            MemberRole::Voter
        } else if raft.learners.contains(id) {
            MemberRole::Learner
        } else {
            recorded
        }
    };
    let matched = |id: &NodeId| {
        let mut matched = raft.matched.iter();
        matched
            .find(|(node, _)| node == id)
            .map(|(_, index)| *index)
    };
    let nodes = state.nodes.values().map(|node| NodeView {
        id: node.id,
        role: role(&node.id, node.role),
        leader: raft.leadership.leader == Some(node.id),
        raft_endpoint: node.raft_endpoint.clone(),
        agent_endpoint: node.agent_endpoint.clone(),
        api_endpoint: node.api_endpoint.clone(),
        matched_index: matched(&node.id),
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

/// Gives a learner a vote.
pub(in crate::api) async fn promote(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(node): Named<NodeNumber>,
) -> Result<Json<ClusterView>, ApiError> {
    if let Some(record) = record(&api, &write, node, MemberRole::Voter)? {
        api.fleet.promote(NodeId(node.0), record).await?;
    }
    answer(&api).map(Json)
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
    answer(&api).map(Json)
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
    answer(&api).map(Json)
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
