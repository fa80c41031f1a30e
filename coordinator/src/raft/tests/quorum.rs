//! Losing the leader, losing the majority.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use email_engine_protocol::id::NodeId;

use super::harness::{CLUSTER, Fixture, PATIENCE, knows, leader_among, wait_for, write};
use crate::raft::handle::{ProposeError, ReadError};
use crate::raft::net::probe::Mute;

#[tokio::test(flavor = "multi_thread")]
async fn losing_the_leader_loses_no_acknowledged_write() {
    let mut fixture = Fixture::new();
    let mut nodes = fixture.three().await;
    let leader = leader_among(&nodes).await;
    write(&nodes[leader], "before").await.unwrap();
    let stopped = nodes.remove(leader);
    let stopping = stopped.shutdown();
    let writing = write(&nodes[0], "meanwhile");
    let (_, written) = tokio::join!(stopping, writing);
    assert_eq!(written.unwrap(), 2);
    assert!(knows(&nodes[0], "before") && knows(&nodes[0], "meanwhile"));
    nodes[1].linearize().await.unwrap();
    assert!(knows(&nodes[1], "meanwhile"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_writes_are_refused_in_time_and_taken_when_it_returns() {
    let mut fixture = Fixture::new();
    let mut nodes = fixture.three().await;
    write(&nodes[0], "before").await.unwrap();
    for other in nodes.drain(1..) {
        other.shutdown().await;
    }
    let began = Instant::now();
    let (written, read) = tokio::join!(write(&nodes[0], "lost"), nodes[0].linearize());
    assert!(
        matches!(written, Err(ProposeError::NoQuorum { .. })),
        "{written:?}"
    );
    assert!(matches!(read, Err(ReadError::NoQuorum { .. })), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(knows(&nodes[0], "before"), "stale reads go on");
    wait_for("no leader is named any more", || {
        nodes[0].leadership().borrow().leader.is_none()
    })
    .await;
    let back = fixture.start(2).await;
    assert!(write(&nodes[0], "lost").await.unwrap() >= 2);
    back.linearize().await.unwrap();
    assert!(knows(&back, "lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_died_without_a_word_is_reached_again_soon() {
    let mut fixture = Fixture::new();
    let mut nodes = fixture.three().await;
    let leader = leader_among(&nodes).await;
    write(&nodes[leader], "before").await.unwrap();
    let dead = nodes.remove((leader + 1) % 3);
    let number = dead.node().0;
    let runtime = dead.core().runtime.lock().unwrap().take().unwrap();
    runtime.shutdown_background();
    drop(dead);
    write(&nodes[0], "meanwhile").await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let back = loop {
        let config = fixture.config(number);
        match fixture.start_as(config).await {
            Ok(node) => break node,
            // Its threads hold the folder a moment longer.
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let began = Instant::now();
    wait_for("it follows again", || knows(&back, "meanwhile")).await;
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_a_living_peer_never_answers_are_sent_anew() {
    let mut fixture = Fixture::new();
    let mut config = fixture.config(1);
    config.timings.election_max = Duration::from_millis(500);
    let leader = fixture.start_as(config).await.unwrap();
    leader.initialize(fixture.endpoint(1)).await.unwrap();
    let config = fixture.config(2);
    let identity = fixture.authority.identity(CLUSTER, 2, 2);
    let mut mute = Mute::listen(config.socket, &identity);
    let adding = tokio::spawn({
        let (leader, endpoint) = (leader.clone(), fixture.endpoint(2));
        async move { leader.add_learner(NodeId(2), endpoint).await }
    });
    // QUIC goes on all the while: only the deadline of an answer tells that none comes.
    let sent_again = async {
        let mut times = BTreeMap::<u64, u32>::new();
        while times.values().all(|times| *times < 4) {
            if let Some(entry) = mute.entries().await {
                *times.entry(entry).or_default() += 1;
            }
        }
    };
    timeout(PATIENCE, sent_again)
        .await
        .expect("it waits for ever for the answer to what it sent");
    assert_eq!(write(&leader, "meanwhile").await.unwrap(), 1);
    adding.abort();
    leader.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_majority_is_quiet_for_long_enough_to_elect_another() {
    let mut fixture = Fixture::new();
    let leader = fixture.start(1).await;
    leader.initialize(fixture.endpoint(1)).await.unwrap();
    let other = fixture.start(2).await;
    let endpoint = fixture.endpoint(2);
    leader.add_learner(NodeId(2), endpoint).await.unwrap();
    leader.promote(NodeId(2)).await.unwrap();
    other.shutdown().await;
    drop(other);
    // It hears the leader as a follower would, but does not confirm it.
    let config = fixture.config(2);
    let election = 2 * config.timings.election_max;
    let identity = fixture.authority.identity(CLUSTER, 2, 2);
    let mut mute = Mute::listen(config.socket, &identity);
    let mut heartbeat = async || while mute.entries().await.is_some() {};
    let first = timeout(PATIENCE, heartbeat()).await;
    first.expect("it asks at first");
    let quiet = async { while timeout(election, heartbeat()).await.is_ok() {} };
    timeout(PATIENCE, quiet)
        .await
        .expect("nobody could ever stand for election: each is asked to follow all the time");
    let again = timeout(PATIENCE, heartbeat()).await;
    again.expect("it never asks again, so it could not find its followers when they are back");
    leader.shutdown().await;
}
