//! What nodes ask each other. Append-only: the order of variants and fields is the wire's format.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{HostId, NodeId};
use email_engine_protocol::join::Endpoint;

use crate::command::{Answer, Proposal};
use crate::raft::leadership::PeerContact;
use crate::raft::told::{Planned, SessionNotice, SessionRow};
use crate::raft::types::{SnapshotMeta, Types, Vote};

/// A question; each on a stream of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Raft: entries, or none as a heartbeat.
    Append(AppendEntriesRequest<Types>),
    /// Raft: frames of entries follow, each is answered in order.
    AppendStream,
    /// Raft: asks for a vote.
    Vote(VoteRequest<Types>),
    /// Raft: asks whether a vote would be given.
    PreVote(VoteRequest<Types>),
    /// Raft: asks to take over.
    TransferLeader(TransferLeaderRequest<Types>),
    /// Raft: a snapshot follows in checked chunks.
    Snapshot {
        /// The leader's vote.
        vote: Vote,
        /// Which snapshot.
        meta: SnapshotMeta,
        /// Its size.
        length: u64,
    },
    /// Commits a command, if the asked node leads.
    Propose(Box<Proposal>),
    /// Asks how far one must have applied to read as of now.
    ReadIndex,
    /// Asks for the live agent sessions.
    Sessions,
    /// Asks for the clock.
    Clock,
    /// Changes the membership, if the asked node leads.
    Change(MemberChange),
    /// Tells of agent sessions that began on the asking node.
    SessionsBegan(Vec<SessionNotice>),
    /// Asks how far the leader has planned, best as far as a revision.
    Planned(u64),
    /// Asks for a content body.
    Body(ContentHash),
    /// Asks which members answer.
    Contacts,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    /// To `Append`.
    Append(AppendEntriesResponse<Types>),
    /// To one frame of `AppendStream`.
    Appended(StreamAppendResult<Types>),
    /// To `Vote` and `PreVote`.
    Vote(VoteResponse<Types>),
    /// To `TransferLeader`.
    TransferLeader(TransferLeaderResponse<Types>),
    /// To `Snapshot`.
    Snapshot(SnapshotResponse<Types>),
    /// To `Propose`.
    Propose(ProposeAnswer),
    /// To `ReadIndex`: the index, or why not.
    ReadIndex(Result<u64, String>),
    /// To `Sessions`.
    Sessions(Vec<SessionRow>),
    /// To `Clock`: milliseconds since 1970.
    Clock(u64),
    /// To `Change`.
    Change(Result<(), ChangeRefusal>),
    /// The asked node cannot answer.
    Failed(String),
    /// To `SessionsBegan`: the hosts whose older session ended here.
    SessionsEnded(Vec<HostId>),
    /// To `Planned`: none before this node plans.
    Planned(Option<Planned>),
    /// To `Body`: none when the asked node does not have it whole.
    Body(Option<Vec<u8>>),
    /// To `Contacts`: none when the asked node does not lead.
    Contacts(Option<Vec<PeerContact>>),
}

/// What became of a proposal at the leader.
pub(crate) type ProposeAnswer = Result<Answered, ProposeRefusal>;

/// A committed proposal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Where it is in the log.
    pub(crate) index: u64,
    /// What the state machine said.
    pub(crate) answer: Answer,
}

/// Why a proposal was not committed, as far as known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProposeRefusal {
    /// Ask again, perhaps somebody else; it may or may not take effect.
    Retry(String),
    /// The leader's disk is nearly full.
    LowDisk(String),
    /// The leader's clock is off.
    ClockOff(String),
    /// Larger than an entry may be.
    TooLarge {
        /// Its size.
        got: u64,
        /// The bound.
        limit: u64,
    },
    /// Ask again, perhaps somebody else; nothing was done.
    NotYet(String),
}

/// A change of the membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MemberChange {
    /// Adds a learner.
    AddLearner(Member),
    /// Gives a learner its vote.
    Promote(NodeId),
    /// Takes a member out.
    Remove(NodeId),
    /// Hands the lead over.
    TransferLeader(NodeId),
}

/// A member and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its number.
    pub(crate) node: NodeId,
    /// Its Raft end point.
    pub(crate) endpoint: Endpoint,
}

/// Why the membership was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeRefusal {
    /// Ask again, perhaps somebody else.
    Retry(String),
    /// It would be wrong.
    Wrong(String),
}
