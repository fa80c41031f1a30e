//! openraft's way out.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use openraft::OptionalSend;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use email_engine_protocol::id::NodeId;

use super::append;
use super::message::{Request, Response};
use super::peers::{CallError, Lane, Peers};
use super::transfer;
use crate::raft::machine::{SnapshotFile, SnapshotFiles};
use crate::raft::metric_names::SNAPSHOTS_SENT;
use crate::raft::types::{NodeAddress, Snapshot, Types, Vote};

/// Makes clients.
#[derive(Debug)]
pub(crate) struct Network {
    own: NodeId,
    peers: Peers,
    files: Arc<SnapshotFiles>,
    /// Longest wait for one answer on the stream of log entries, a flush at the peer included.
    answer_within: Duration,
}

impl Network {
    /// Clients over these connections, for snapshots of these files.
    pub(crate) const fn new(
        own: NodeId,
        peers: Peers,
        files: Arc<SnapshotFiles>,
        answer_within: Duration,
    ) -> Self {
        Self {
            own,
            peers,
            files,
            answer_within,
        }
    }

    fn client(&self, target: u64, node: &NodeAddress, lane: Lane) -> Client {
        Client {
            own: self.own,
            target: NodeId(target),
            address: node.endpoint.clone(),
            lane,
            peers: self.peers.clone(),
            files: Arc::clone(&self.files),
            answer_within: self.answer_within,
        }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &NodeAddress) -> Client {
        self.client(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &NodeAddress) -> Client {
        self.client(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &NodeAddress) -> Client {
        self.client(target, node, Lane::Snapshot)
    }
}

/// The way to one node.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    own: NodeId,
    target: NodeId,
    address: String,
    lane: Lane,
    peers: Peers,
    files: Arc<SnapshotFiles>,
    answer_within: Duration,
}

impl Client {
    async fn call(
        &self,
        action: RPCTypes,
        lane: Lane,
        request: &Request,
        option: &RPCOption,
    ) -> Result<Response, RPCError<Types>> {
        self.peers
            .call(self.target, &self.address, lane, request, option.soft_ttl())
            .await
            .map_err(|error| self.failure(action, &error))
    }

    pub(super) fn failure(&self, action: RPCTypes, error: &CallError) -> RPCError<Types> {
        match error {
            CallError::Timeout(timeout) => Timeout {
                action,
                id: self.own.0,
                target: self.target.0,
                timeout: *timeout,
            }
            .into(),
            error if error.is_unreachable() => Unreachable::new(error).into(),
            error => NetworkError::new(error).into(),
        }
    }

    fn mixed(&self, action: RPCTypes) -> RPCError<Types> {
        self.failure(action, &CallError::Mixed)
    }

    pub(super) async fn stream(
        &self,
    ) -> Result<(quinn::SendStream, super::frame::FrameReader), CallError> {
        self.peers
            .stream(self.target, &self.address, self.lane)
            .await
    }

    /// A request on the stream of log entries was answered, or not in time.
    pub(super) fn note(&self, answer: &Result<(), &CallError>) {
        match answer {
            Ok(()) => self.peers.answered(self.target, self.lane),
            Err(CallError::Timeout(_)) => self.peers.suspect(self.target, self.lane),
            Err(_) => {}
        }
    }

    pub(super) const fn answer_within(&self) -> Duration {
        self.answer_within
    }
}

type AppendStream<'s> =
    openraft::base::BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let action = RPCTypes::AppendEntries;
        let request = Request::Append(rpc);
        match self.call(action, self.lane, &request, &option).await? {
            Response::Append(response) => Ok(response),
            _ => Err(self.mixed(action)),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> openraft::base::BoxFuture<'s, Result<AppendStream<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(append::pipeline(self, input))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let action = RPCTypes::Vote;
        let request = Request::Vote(rpc);
        match self.call(action, Lane::Control, &request, &option).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(self.mixed(action)),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let action = RPCTypes::Vote;
        let request = Request::PreVote(rpc);
        match self.call(action, Lane::Control, &request, &option).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(self.mixed(action)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let sent = tokio::select! {
            closed = cancel => return Err(closed.into()),
            sent = transfer::send(self, &self.files, vote, &snapshot) => sent,
        };
        if sent.is_ok() {
            metrics::counter!(SNAPSHOTS_SENT).increment(1);
            tracing::info!(to = %self.target, "a snapshot was sent to a node that lagged");
        }
        sent.map_err(|error| self.failure(RPCTypes::InstallSnapshot, &error).into())
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let action = RPCTypes::TransferLeader;
        let request = Request::TransferLeader(rpc);
        match self.call(action, Lane::Control, &request, &option).await? {
            Response::TransferLeader(response) => Ok(response),
            _ => Err(self.mixed(action)),
        }
    }
}
