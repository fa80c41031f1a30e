//! What a peer that errs, or is no member any more, can do to a node: nothing.

use std::future::Future;
use std::time::Instant;

use openraft::storage::RaftLogReader as _;

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::id::NodeId;

use super::harness::{
    CLUSTER, Fixture, PATIENCE, knows, leader_among, proposal, wait_for, with_body, with_command,
    write,
};
use crate::command::fixture::{SECOND, found, node_token, redeem_node, spki};
use crate::command::{Batch, Command, RenewCertificate, SetNode};
use crate::raft::handle::Cluster;
use crate::raft::leadership::Hearing;
use crate::raft::machine::fleet_rules;
use crate::raft::net::probe::{Line, Probe};
use crate::raft::net::{CHUNK_BYTES, FRAME_BYTES, Request, Response};
use crate::raft::start::{snapshots_path, start_with};
use crate::raft::types::{Snapshot, Vote};
use crate::state::CertificateSubject;

/// What comes of something that must not hang.
async fn soon<T>(what: &str, doing: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, doing).await;
    done.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

async fn probe(fixture: &Fixture, own: u64, node: u64) -> Probe {
    let identity = fixture.authority.identity(CLUSTER, own, own);
    soon(
        "a handshake",
        Probe::dial(&identity, node, &fixture.endpoint(node)),
    )
    .await
}

async fn is_answered(probe: &Probe) {
    let answer = soon("the clock", probe.ask(&Request::Clock)).await;
    assert!(matches!(answer, Ok(Response::Clock(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_cap_ends_its_stream_and_harms_nothing() {
    let mut fixture = Fixture::new();
    let node = fixture.start(1).await;
    node.initialize(fixture.endpoint(1)).await.unwrap();
    let probe = probe(&fixture, 2, 1).await;
    let length = u32::try_from(FRAME_BYTES + 1).unwrap();
    let ends_unanswered = async |mut line: Line| {
        // Its beginning only: who waited for the rest would wait for ever.
        line.send(length.to_be_bytes().to_vec()).await;
        let ended = soon("the stream to end", line.hear()).await;
        assert!(ended.is_err(), "{ended:?}");
    };
    ends_unanswered(probe.line().await).await;
    let mut entries = probe.line().await;
    entries.say(&Request::AppendStream).await;
    ends_unanswered(entries).await;
    // Neither its other streams nor the node notice.
    is_answered(&probe).await;
    assert_eq!(write(&node, "r1").await.unwrap(), 1);
    assert_eq!(*node.failed().borrow(), None);
}

/// A leader whose log begins behind its snapshot, and that snapshot with its bytes.
async fn with_snapshot(fixture: &mut Fixture, body: &[u8]) -> (Cluster, Snapshot, Vec<u8>) {
    let mut config = fixture.config(1);
    config.snapshot_after_logs = 20;
    config.keep_logs = 2;
    let leader = fixture.start_as(config).await.unwrap();
    leader.initialize(fixture.endpoint(1)).await.unwrap();
    let brings_it = with_body("r0", body);
    leader.propose(brings_it).await.unwrap().unwrap();
    for round in 1..30 {
        write(&leader, &format!("r{round}")).await.unwrap();
    }
    wait_for("the log is purged", || {
        let purged = leader.core().metrics().purged;
        purged.is_some_and(|id| id.index > 5)
    })
    .await;
    let snapshot = leader.core().raft.get_snapshot().await.unwrap().unwrap();
    let mut bytes = vec![0; usize::try_from(snapshot.snapshot.length().unwrap()).unwrap()];
    snapshot.snapshot.read_at(&mut bytes, 0).unwrap();
    (leader, snapshot, bytes)
}

/// Sends a snapshot of this length in these chunks with their checksums, and gives why it is refused.
async fn refusal(
    probe: &Probe,
    (snapshot, vote): (&Snapshot, Vote),
    length: usize,
    chunks: &[(&[u8], u32)],
) -> String {
    let mut line = probe.line().await;
    line.say(&Request::Snapshot {
        vote,
        meta: snapshot.meta.clone(),
        length: length as u64,
    })
    .await;
    for (chunk, sum) in chunks {
        line.send(sum.to_be_bytes().to_vec()).await;
        line.send(chunk.to_vec()).await;
    }
    line.finish();
    match soon("an answer to the snapshot", line.hear()).await {
        Ok(Response::Failed(reason)) | Err(reason) => reason,
        Ok(taken) => panic!("it was taken: {taken:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_is_refused_and_the_follower_catches_up_with_a_good_one() {
    let mut fixture = Fixture::new();
    let (leader, snapshot, bytes) = with_snapshot(&mut fixture, &[29; 20_000]).await;
    let vote = leader.core().metrics().vote;
    let follower = fixture.start(2).await;
    let probe = probe(&fixture, 1, 2).await;
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let length = damaged.len();
    assert!(length as u64 <= CHUNK_BYTES, "one chunk: {length}");

    // Damaged on the way: its checksum is the good one's.
    let sent = (&snapshot, vote);
    let chunk = (&damaged[..], crc32c::crc32c(&bytes));
    let reason = refusal(&probe, sent, length, &[chunk]).await;
    assert!(
        reason.contains("a chunk of the snapshot is damaged"),
        "{reason}"
    );
    // Damaged where it was read from: what comes is what was sent.
    let chunk = (&damaged[..], crc32c::crc32c(&damaged));
    let reason = refusal(&probe, sent, length, &[chunk]).await;
    assert!(reason.contains("damaged"), "{reason}");
    is_answered(&probe).await;
    assert_eq!(*follower.failed().borrow(), None, "it goes on");
    assert_eq!(follower.view(|state| state.revision), 0);
    let folder = snapshots_path(&fixture.data_dir(2));
    let left = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 0, "what was received of them is deleted");

    leader
        .add_learner(NodeId(2), fixture.endpoint(2))
        .await
        .unwrap();
    wait_for("it has caught up", || knows(&follower, "r29")).await;
    assert!(knows(&follower, "r0"));
    let body = follower.body(&ContentHash::of(&[29; 20_000])).unwrap();
    assert_eq!(body.unwrap().len(), 20_000);
    wait_for("it says that it was by a snapshot", || {
        follower.core().metrics().snapshot.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_several_chunks_comes_whole_and_in_order_or_not_at_all() {
    let mut fixture = Fixture::new();
    // No piece of it is like another.
    let body: Vec<u8> = (0..250_000_u32).flat_map(u32::to_be_bytes).collect();
    let (leader, snapshot, bytes) = with_snapshot(&mut fixture, &body).await;
    let vote = leader.core().metrics().vote;
    let follower = fixture.start(2).await;
    let probe = probe(&fixture, 1, 2).await;
    let length = bytes.len();
    assert!(length as u64 > 3 * CHUNK_BYTES, "{length}");
    let chunks: Vec<_> = bytes
        .chunks(usize::try_from(CHUNK_BYTES).unwrap())
        .map(|chunk| (chunk, crc32c::crc32c(chunk)))
        .collect();
    let sent = (&snapshot, vote);
    let mut left_out = chunks.clone();
    left_out.remove(1);
    refusal(&probe, sent, length, &left_out).await;
    // All of a chunk's own checksums are right.
    let mut doubled = chunks.clone();
    doubled[2] = doubled[1];
    let reason = refusal(&probe, sent, length, &doubled).await;
    assert!(reason.contains("damaged"), "{reason}");
    let mut out_of_order = chunks;
    out_of_order.swap(1, 2);
    let reason = refusal(&probe, sent, length, &out_of_order).await;
    assert!(reason.contains("damaged"), "{reason}");
    is_answered(&probe).await;
    assert_eq!(*follower.failed().borrow(), None, "it goes on");
    assert_eq!(follower.view(|state| state.revision), 0);

    let endpoint = fixture.endpoint(2);
    leader.add_learner(NodeId(2), endpoint).await.unwrap();
    wait_for("it has caught up", || knows(&follower, "r29")).await;
    wait_for("it says that it was by a snapshot", || {
        follower.core().metrics().snapshot.is_some()
    })
    .await;
    let stored = follower.body(&ContentHash::of(&body)).unwrap();
    assert!(stored.unwrap() == body, "byte for byte");
}

async fn run(node: &Cluster, request: &str, command: Command) {
    let proposal = with_command(request, command);
    node.propose(proposal).await.unwrap().unwrap();
}

fn removed(node: u64) -> Command {
    Command::SetNode(SetNode {
        node: NodeId(node),
        role: MemberRole::Removed,
        endpoints: None,
        supports_version: None,
    })
}

/// Nodes under the fleet's rules; all are on record with the certificates that they show.
async fn on_record(fixture: &mut Fixture, count: u64) -> Vec<Cluster> {
    let mut nodes = Vec::new();
    for node in 1..=count {
        let config = fixture.config(node);
        nodes.push(start_with(config, fleet_rules()).await.unwrap());
    }
    let leader = &nodes[0];
    leader.initialize(fixture.endpoint(1)).await.unwrap();
    let mut founding = found();
    founding.node.raft_endpoint = fixture.endpoint(1);
    run(leader, "found", Command::Found(Box::new(founding))).await;
    for node in 2..=3_u8 {
        let token = format!("n{node}");
        let issue = Command::IssueToken(node_token(&token));
        run(leader, &format!("issue-{node}"), issue).await;
        run(leader, &format!("redeem-{node}"), redeem_node(&token, node)).await;
        let certificate = RenewCertificate {
            subject: CertificateSubject::Node(NodeId(node.into())),
            current_spki: spki(node),
            spki: spki(node),
            serial: CertificateSerial([node; 16]),
            not_after: crate::raft::system_clock()().plus(1_000 * SECOND),
        };
        let certificate = Command::RenewCertificate(certificate);
        run(leader, &format!("certificate-{node}"), certificate).await;
    }
    for node in 2..=count {
        let endpoint = fixture.endpoint(node);
        let set = Command::SetNode(SetNode {
            node: NodeId(node),
            role: MemberRole::Voter,
            endpoints: Some((endpoint.clone(), endpoint.clone(), endpoint.clone())),
            supports_version: None,
        });
        run(leader, &format!("set-{node}"), set).await;
        leader.add_learner(NodeId(node), endpoint).await.unwrap();
        leader.promote(NodeId(node)).await.unwrap();
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_whose_removal_is_on_record_gets_no_vote() {
    let mut fixture = Fixture::new();
    let nodes = on_record(&mut fixture, 1).await;
    let _follows = fixture.start(2).await;
    let endpoint = fixture.endpoint(2);
    nodes[0].add_learner(NodeId(2), endpoint).await.unwrap();
    // Raft's part of the removal has not come yet.
    run(&nodes[0], "remove-2", removed(2)).await;
    let refused = nodes[0].promote(NodeId(2)).await.unwrap_err();
    assert!(refused.to_string().contains("was removed"), "{refused}");
    assert_eq!(nodes[0].status().voters, [NodeId(1)]);
    nodes[0].remove(NodeId(2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_nodes_open_connection_ends_though_nothing_comes_over_it() {
    let mut fixture = Fixture::new();
    let nodes = on_record(&mut fixture, 1).await;
    let (gone, stays) = (probe(&fixture, 2, 1).await, probe(&fixture, 3, 1).await);
    is_answered(&gone).await;
    let mut entries = gone.line().await;
    entries.say(&Request::AppendStream).await;
    let began = Instant::now();
    run(&nodes[0], "remove-2", removed(2)).await;
    let reason = soon("the connection to end", gone.ended()).await;
    println!(
        "ended {:?} after the removal was asked for",
        began.elapsed()
    );
    assert!(reason.contains("no longer a member"), "{reason}");
    assert!(entries.hear().await.is_err(), "its streams end with it");
    is_answered(&stays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_certificate_is_revoked_is_sent_nothing_more() {
    let mut fixture = Fixture::new();
    let nodes = on_record(&mut fixture, 3).await;
    assert_eq!(leader_among(&nodes).await, 0);
    wait_for("node 3 has what was written", || {
        nodes[2].view(|state| state.nodes.len()) == 3
    })
    .await;
    // On record alone: Raft's members are as before, so the leader goes on replicating to it.
    run(&nodes[0], "remove-3", removed(3)).await;
    let issue = Command::IssueToken(node_token("after"));
    run(&nodes[0], "after", issue).await;
    wait_for("the leader does not reach it any more", || {
        let contacts = nodes[0].status().contacts.unwrap_or_default();
        let mut of = contacts.iter().filter(|row| row.node == NodeId(3));
        of.any(|row| row.hearing == Hearing::Unreachable)
    })
    .await;
    let issue = Command::IssueToken(node_token("later"));
    run(&nodes[0], "later", issue).await;
    let last = nodes[0].status().last_index;
    wait_for("node 2 has it", || nodes[1].status().applied_index == last).await;
    let store = nodes[2].core().store.read().unwrap().clone().unwrap();
    let mut log = store;
    let has = log.try_get_log_entries(last..=last).await.unwrap();
    assert!(has.is_empty(), "what was written since was sent to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_takes_long_to_apply_keeps_no_peer_waiting() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    let leader = leader_among(&nodes).await;
    let busy = nodes[leader].clone();
    let probe = probe(&fixture, busy.node().0 % 3 + 1, busy.node().0).await;
    is_answered(&probe).await;
    // Whoever reads holds `apply` up, as a large change does that takes its time.
    let (held, holds) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let reader = busy.clone();
    let reading = tokio::task::spawn_blocking(move || {
        reader.view(|_| {
            held.send(()).unwrap();
            let _ = released.recv();
        });
    });
    holds.await.unwrap();
    let commands = vec![proposal("inner").command; 100];
    let large = with_command(
        "large",
        Command::Batch(Batch {
            base_revision: None,
            commands,
        }),
    );
    let proposing = tokio::spawn({
        let node = busy.clone();
        async move { node.propose(large).await }
    });
    wait_for("it is committed and waits to be applied", || {
        let metrics = busy.core().metrics();
        let committed = metrics.local_committed.map_or(0, |id| id.index);
        committed > busy.status().applied_index
    })
    .await;
    // Each is let in by the state, as heartbeats are; none may wait for it.
    for _ in 0..100 {
        is_answered(&probe).await;
    }
    let applied = busy.status().applied_index;
    assert!(applied < busy.core().metrics().local_committed.unwrap().index);
    drop(release);
    reading.await.unwrap();
    proposing.await.unwrap().unwrap().unwrap();
}
