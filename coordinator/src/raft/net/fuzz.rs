//! What nodes say to each other: a node that errs must not take its peers down.

use email_engine_fuzz::fuzz;
use email_engine_protocol::id::NodeId;
use openraft::raft::{AppendEntriesRequest, VoteRequest, VoteResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame;
use super::message::{ChangeRefusal, Member, MemberChange, ProposeRefusal, Request, Response};
use crate::command::fixture::{Fleet, tenant};
use crate::command::{Command, CreateTenant};
use crate::raft::leadership::{Hearing, PeerContact};
use crate::raft::tests::entry;
use crate::raft::types::{SnapshotMeta, Vote};

fn payload<T: Serialize>(message: &T) -> Vec<u8> {
    frame::encode(message).unwrap()[4..].to_vec()
}

/// What decodes is printable and has one shortest form.
fn round<T: Serialize + DeserializeOwned + std::fmt::Debug>(input: &[u8]) -> bool {
    postcard::from_bytes::<T>(input).is_ok_and(|message| {
        assert!(!format!("{message:?}").is_empty());
        let once = payload(&message);
        assert_eq!(payload(&postcard::from_bytes::<T>(&once).unwrap()), once);
        true
    })
}

fn requests() -> Vec<Request> {
    let append = AppendEntriesRequest {
        vote: Vote::new(3, 1),
        prev_log_id: Some(entry(2, 16, "r0").log_id),
        entries: vec![entry(3, 17, "r1"), entry(3, 18, "r2")],
        leader_commit: Some(entry(2, 16, "r0").log_id),
    };
    let proposal = Fleet::founded().proposal(Command::CreateTenant(CreateTenant {
        tenant: tenant("c1"),
    }));
    let vote = || VoteRequest::new(Vote::new(4, 2), Some(entry(2, 16, "r0").log_id));
    let member = Member {
        node: NodeId(2),
        endpoint: "192.0.2.2:7444".to_owned(),
    };
    vec![
        Request::Append(append),
        Request::AppendStream,
        Request::Vote(vote()),
        Request::PreVote(vote()),
        Request::Snapshot {
            vote: Vote::new(3, 1),
            meta: SnapshotMeta::default(),
            length: 300_000,
        },
        Request::Propose(Box::new(proposal)),
        Request::ReadIndex,
        Request::Sessions,
        Request::Clock,
        Request::Contacts,
        Request::Change(MemberChange::AddLearner(member)),
        Request::Change(MemberChange::Remove(NodeId(3))),
    ]
}

#[test]
fn any_question_of_a_node_is_read_or_refused() {
    let samples = requests().iter().map(payload).collect();
    fuzz!(samples, round::<Request>);
}

#[test]
fn any_answer_of_a_node_is_read_or_refused() {
    let last = Some(entry(2, 16, "r0").log_id);
    let refusal = ProposeRefusal::TooLarge { got: 5, limit: 4 };
    let answers = [
        Response::Vote(VoteResponse::new(Vote::new(4, 2), last, true)),
        Response::Propose(Err(refusal)),
        Response::ReadIndex(Ok(300)),
        Response::ReadIndex(Err("no quorum".to_owned())),
        Response::Sessions(Vec::new()),
        Response::Clock(1_795_240_800_000),
        Response::Contacts(None),
        Response::Contacts(Some(vec![PeerContact {
            node: NodeId(3),
            matched: Some(300),
            hearing: Hearing::Unreachable,
            silent_millis: 90_000,
        }])),
        Response::Change(Err(ChangeRefusal::Wrong("the last voter".to_owned()))),
        Response::Failed("no space left".to_owned()),
    ];
    fuzz!(answers.iter().map(payload).collect(), round::<Response>);
}
