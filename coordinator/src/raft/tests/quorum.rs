//! Losing the leader, losing the majority.

use std::time::{Duration, Instant};

use super::harness::{Fixture, knows, leader_among, wait_for, write};
use crate::raft::handle::{ProposeError, ReadError};

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
    let nodes = fixture.three().await;
    write(&nodes[0], "before").await.unwrap();
    nodes[1].shutdown().await;
    nodes[2].shutdown().await;
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
