//! Damaged content bodies come back from another node.

use email_engine_protocol::bytes::ContentHash;

use super::harness::{Fixture, knows, wait_for, with_body, write};
use crate::raft::handle::Cluster;
use crate::raft::store::BodyWrite;

const BODY: &[u8] = b"what the hosts need";

/// Puts other bytes under a body's hash, as a rotten disk does.
async fn damage(node: &Cluster, hash: ContentHash) {
    let writer = node.core().store.read().unwrap().as_ref().unwrap().writer();
    let rotten = vec![BodyWrite::Put(hash, b"what the hosts neeD".to_vec())];
    writer.write_bodies(rotten).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_body_is_never_served_and_comes_back_from_another_node() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    nodes[0]
        .propose(with_body("r1", BODY))
        .await
        .unwrap()
        .unwrap();
    let hash = ContentHash::of(BODY);
    for node in &nodes {
        node.linearize().await.unwrap();
    }
    // The first node that is asked has it damaged as well.
    for node in &nodes[..2] {
        damage(node, hash).await;
    }
    assert!(
        nodes[1].body(&hash).is_err(),
        "damaged bytes are not served"
    );
    wait_for("it is mended from the third node", || {
        let read = nodes[1].body(&hash);
        read.is_ok_and(|body| body.is_some_and(|body| body == BODY))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_a_damaged_body_to_be_mended() {
    let mut fixture = Fixture::new();
    let mut nodes = Vec::new();
    for node in 1..=3 {
        let mut config = fixture.config(node);
        config.snapshot_after_logs = 30;
        nodes.push(fixture.start_as(config).await.unwrap());
    }
    nodes[0].initialize(fixture.endpoint(1)).await.unwrap();
    for other in &nodes[1..] {
        let endpoint = fixture.endpoint(other.node().0);
        nodes[0].add_learner(other.node(), endpoint).await.unwrap();
        nodes[0].promote(other.node()).await.unwrap();
    }
    nodes[0]
        .propose(with_body("r1", BODY))
        .await
        .unwrap()
        .unwrap();
    nodes[1].linearize().await.unwrap();
    damage(&nodes[1], ContentHash::of(BODY)).await;
    for round in 0..60 {
        write(&nodes[0], &format!("w{round}")).await.unwrap();
    }
    wait_for("the node made a snapshot", || {
        let made = nodes[1].core().metrics().snapshot;
        made.is_some_and(|id| id.index >= 30)
    })
    .await;
    assert!(nodes[1].failed().borrow().is_none(), "and goes on");
    assert_eq!(
        nodes[1].body(&ContentHash::of(BODY)).unwrap().unwrap(),
        BODY
    );
    nodes[1].linearize().await.unwrap();
    assert!(knows(&nodes[1], "w59"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_takes_a_damaged_body_from_its_own_snapshot() {
    let mut fixture = Fixture::new();
    let mut config = fixture.config(1);
    config.snapshot_after_logs = 30;
    let node = fixture.start_as(config).await.unwrap();
    node.initialize(fixture.endpoint(1)).await.unwrap();
    node.propose(with_body("r1", BODY)).await.unwrap().unwrap();
    let hash = ContentHash::of(BODY);
    let snapshot = || node.core().metrics().snapshot.map_or(0, |id| id.index);
    for round in 0..60 {
        write(&node, &format!("w{round}")).await.unwrap();
    }
    wait_for("there is a snapshot", || snapshot() >= 30).await;
    let before = snapshot();
    damage(&node, hash).await;
    for round in 0..60 {
        write(&node, &format!("x{round}")).await.unwrap();
    }
    wait_for("there is a newer one", || snapshot() > before).await;
    assert_eq!(node.body(&hash).unwrap().unwrap(), BODY);
    // What was damaged while it was used last is mended by the next start.
    damage(&node, hash).await;
    node.shutdown().await;
    drop(node);
    let node = fixture.start(1).await;
    assert_eq!(node.body(&hash).unwrap().unwrap(), BODY);
    write(&node, "y").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_no_peer_can_give_keeps_no_write_up_and_comes_when_they_are_back() {
    let mut fixture = Fixture::new();
    let mut nodes = fixture.three().await;
    nodes[0]
        .propose(with_body("r1", BODY))
        .await
        .unwrap()
        .unwrap();
    for node in &nodes {
        node.linearize().await.unwrap();
    }
    let hash = ContentHash::of(BODY);
    for node in &nodes {
        damage(node, hash).await;
    }
    let core = nodes[0].core();
    core.raft.trigger().snapshot().await.unwrap();
    // Looked after behind the snapshot's own need, which was in vain.
    let bodies = core.store.read().unwrap().as_ref().unwrap().bodies();
    bodies.look_after(hash).await;
    assert!(bodies.whole(&hash).is_err());
    write(&nodes[0], "r2").await.unwrap();
    assert!(nodes[0].failed().borrow().is_none());
    // A node that is away comes back, and its log brings the body back.
    nodes.remove(2).shutdown().await;
    let _back = fixture.start(3).await;
    let core = nodes[0].core();
    wait_for("the snapshot is made", || core.metrics().snapshot.is_some()).await;
    assert_eq!(nodes[0].body(&hash).unwrap().unwrap(), BODY);
    write(&nodes[0], "r3").await.unwrap();
}
