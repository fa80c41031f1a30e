//! Answering one stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use tokio::sync::watch;

use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::id::{HostId, NodeId};

use super::frame::{self, FrameError, FrameReader};
use super::message::{ChangeRefusal, MemberChange, ProposeAnswer, Request, Response};
use super::transfer;
use crate::command::Proposal;
use crate::raft::handle::Applied;
use crate::raft::leadership::PeerContact;
use crate::raft::machine::SnapshotFiles;
use crate::raft::told::{Planned, SessionNotice, SessionRow};
use crate::raft::types::{Raft, Snapshot, SnapshotMeta, Types, Vote};

/// What the node answers apart from Raft's own questions.
pub(crate) trait Door: Send + Sync {
    /// Whether this node may speak.
    fn admits(&self, node: NodeId, serial: Option<&CertificateSerial>) -> bool;
    /// Tells of every change of what [`Self::admits`] goes by.
    fn applied(&self) -> watch::Receiver<Applied>;
    /// A leader that counts was heard.
    fn leader_spoke(&self);
    /// Commits a proposal, when this node leads.
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, ProposeAnswer>;
    /// How far one must have applied to read as of now, when this node leads.
    fn read_index(&self) -> BoxFuture<'_, Result<u64, String>>;
    /// Changes the membership, when this node leads.
    fn change(&self, change: MemberChange) -> BoxFuture<'_, Result<(), ChangeRefusal>>;
    /// Live agent sessions here.
    fn sessions(&self) -> Vec<SessionRow>;
    /// Sessions began on another node: older ones of the same hosts end here.
    fn sessions_began(&self, notices: &[SessionNotice]) -> Vec<HostId>;
    /// How far this node has planned as the leader, which may wait a little for a revision.
    fn planned(&self, revision: u64) -> BoxFuture<'_, Option<Planned>>;
    /// What this node hears of the members, when it leads.
    fn contacts(&self) -> Option<Vec<PeerContact>>;
    /// A content body, when it is whole here.
    fn body(&self, hash: ContentHash) -> BoxFuture<'_, Option<Vec<u8>>>;
    /// Milliseconds since 1970.
    fn clock(&self) -> u64;
}

/// What answers.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) raft: Raft,
    pub(crate) files: Arc<SnapshotFiles>,
    pub(crate) door: Arc<dyn Door>,
    /// A snapshot is being received: one at a time.
    pub(crate) receiving: Arc<AtomicBool>,
}

/// Answers the one question of a stream.
pub(super) async fn stream(
    serving: &Serving,
    mut to: quinn::SendStream,
    from: quinn::RecvStream,
) -> Result<(), FrameError> {
    let mut from = FrameReader::new(from);
    let Some(request) = from.next::<Request>().await? else {
        return Ok(());
    };
    match request {
        Request::AppendStream => return append_stream(serving, to, from).await,
        Request::Snapshot { vote, meta, length } => {
            let response = snapshot(serving, vote, meta, length, &mut from).await;
            frame::write(&mut to, &response).await?;
        }
        request => {
            // On the heap: each arm is a future of its own, some large.
            let response = answer(serving, request).boxed().await;
            frame::write(&mut to, &response).await?;
        }
    }
    // The peer may be gone.
    let _ = to.finish();
    Ok(())
}

async fn answer(serving: &Serving, request: Request) -> Response {
    let Serving { raft, door, .. } = serving;
    match request {
        Request::Append(rpc) => match raft.append_entries(rpc).await {
            Ok(response) => {
                if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                    door.leader_spoke();
                }
                Response::Append(response)
            }
            Err(error) => failed(&error),
        },
        Request::Vote(rpc) => raft
            .vote(rpc)
            .await
            .map_or_else(|error| failed(&error), Response::Vote),
        Request::PreVote(rpc) => raft
            .pre_vote(rpc)
            .await
            .map_or_else(|error| failed(&error), Response::Vote),
        Request::TransferLeader(rpc) => raft
            .handle_transfer_leader(rpc)
            .await
            .map_or_else(|error| failed(&error), Response::TransferLeader),
        Request::Propose(proposal) => Response::Propose(door.propose(*proposal).await),
        Request::ReadIndex => Response::ReadIndex(door.read_index().await),
        Request::Change(change) => Response::Change(door.change(change).await),
        Request::Sessions => Response::Sessions(door.sessions()),
        Request::Planned(revision) => Response::Planned(door.planned(revision).await),
        Request::Contacts => Response::Contacts(door.contacts()),
        Request::Clock => Response::Clock(door.clock()),
        Request::SessionsBegan(notices) => Response::SessionsEnded(door.sessions_began(&notices)),
        Request::Body(hash) => Response::Body(door.body(hash).await),
        Request::AppendStream | Request::Snapshot { .. } => {
            Response::Failed("a stream within a stream".into())
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> Response {
    Response::Failed(error.to_string())
}

async fn append_stream(
    serving: &Serving,
    mut to: quinn::SendStream,
    from: FrameReader,
) -> Result<(), FrameError> {
    let requests = futures::stream::unfold(from, |mut from| async move {
        next_append(&mut from).await.map(|rpc| (rpc, from))
    });
    let mut results = Box::pin(serving.raft.stream_append(Box::pin(requests)));
    while let Some(result) = results.next().await {
        let response = match result {
            Ok(result) => {
                if !matches!(
                    &result,
                    Err(openraft::raft::StreamAppendError::HigherVote(_))
                ) {
                    serving.door.leader_spoke();
                }
                Response::Appended(result)
            }
            Err(error) => failed(&error),
        };
        frame::write(&mut to, &response).await?;
    }
    // The leader may have gone meanwhile.
    let _ = to.finish();
    Ok(())
}

async fn next_append(from: &mut FrameReader) -> Option<AppendEntriesRequest<Types>> {
    match from.next::<Request>().await {
        Ok(Some(Request::Append(rpc))) => Some(rpc),
        Ok(Some(_)) => {
            tracing::warn!("stream of log entries carries something else");
            None
        }
        Ok(None) => None,
        Err(error) => {
            tracing::debug!(%error, "stream of log entries ended");
            None
        }
    }
}

async fn snapshot(
    serving: &Serving,
    vote: Vote,
    meta: SnapshotMeta,
    length: u64,
    from: &mut FrameReader,
) -> Response {
    if serving.receiving.swap(true, Ordering::AcqRel) {
        return Response::Failed("another snapshot is being received".into());
    }
    let received = transfer::receive(&serving.files, from, &meta, length).await;
    let response = match received {
        Ok(snapshot) => {
            serving.door.leader_spoke();
            let snapshot = Snapshot { meta, snapshot };
            serving
                .raft
                .install_full_snapshot(vote, snapshot)
                .await
                .map_or_else(|error| failed(&error), Response::Snapshot)
        }
        Err(error) => {
            tracing::warn!(%error, "a snapshot is not taken");
            failed(&error)
        }
    };
    serving.receiving.store(false, Ordering::Release);
    response
}
