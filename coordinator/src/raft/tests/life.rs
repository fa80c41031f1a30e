//! What a cluster does while all is well, and around restarts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;

use super::harness::{Fixture, knows, leader_among, wait_for, with_body, write};

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_a_write_and_reads_it_at_once() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    for (at, node) in nodes.iter().enumerate() {
        let request = format!("from-{at}");
        assert_eq!(write(node, &request).await.unwrap(), at as u64 + 1);
        assert!(knows(node, &request));
        for other in &nodes {
            other.linearize().await.unwrap();
            assert!(knows(other, &request));
        }
    }
    assert_eq!(write(&nodes[2], "from-0").await.unwrap(), 1, "a repeat");
    let status = nodes[0].status();
    assert_eq!(status.voters, [NodeId(1), NodeId(2), NodeId(3)]);
    assert!(status.learners.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_how_it_stands_waits_for_no_change() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    let leader = nodes[leader_among(&nodes).await].clone();
    let changed = leader.clone();
    // Threads of their own: two that wait for each other for ever must not hold the test's end up.
    let (told, ends) = mpsc::channel();
    let asked = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&asked);
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            changed.core().leadership.send_modify(|_| ());
        }
    });
    std::thread::spawn(move || {
        for _ in 0..20_000 {
            let _ = leader.status();
        }
        asked.store(true, Ordering::Relaxed);
        let _ = told.send(());
    });
    ends.recv_timeout(Duration::from_secs(90)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_restarts_from_its_disks() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    write(&nodes[1], "r1").await.unwrap();
    nodes[0]
        .propose(with_body("r2", b"body"))
        .await
        .unwrap()
        .unwrap();
    for node in &nodes {
        node.shutdown().await;
    }
    drop(nodes);
    let mut again = Vec::new();
    for node in 1..=3 {
        again.push(fixture.start(node).await);
    }
    leader_among(&again).await;
    for node in &again {
        node.linearize().await.unwrap();
        assert!(knows(node, "r1") && knows(node, "r2"));
        let body = node.body(&ContentHash::of(b"body")).unwrap();
        assert_eq!(body.unwrap(), &b"body"[..]);
    }
    assert_eq!(write(&again[0], "r3").await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_shows_what_it_had_committed_before_it_hears_a_leader() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    for request in ["r1", "r2", "r3"] {
        write(&nodes[0], request).await.unwrap();
    }
    for node in &nodes {
        node.linearize().await.unwrap();
    }
    for node in &nodes {
        node.shutdown().await;
    }
    drop(nodes);
    // The others stay down: what it shows, it has from its own disk.
    let alone = fixture.start(2).await;
    wait_for("it has applied what it knew as committed", || {
        knows(&alone, "r3")
    })
    .await;
    assert_eq!(alone.view(|state| state.revision), 3);
    let leadership = *alone.leadership().borrow();
    assert_eq!(leadership.leader, None, "nobody is there to lead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_catches_up_by_snapshot() {
    let mut fixture = Fixture::new();
    let mut nodes = Vec::new();
    for node in 1..=3 {
        let mut config = fixture.config(node);
        config.snapshot_after_logs = 20;
        config.keep_logs = 2;
        nodes.push(fixture.start_as(config).await.unwrap());
    }
    nodes[0].initialize(fixture.endpoint(1)).await.unwrap();
    for round in 0..60 {
        let body = format!("body {round}");
        let request = with_body(&format!("r{round}"), body.as_bytes());
        nodes[0].propose(request).await.unwrap().unwrap();
    }
    let core = nodes[0].core();
    wait_for("the log is purged", || {
        core.metrics().purged.is_some_and(|id| id.index > 20)
    })
    .await;
    for node in 2..=3 {
        let endpoint = fixture.endpoint(node);
        nodes[0].add_learner(NodeId(node), endpoint).await.unwrap();
        nodes[0].promote(NodeId(node)).await.unwrap();
    }
    for node in &nodes {
        node.linearize().await.unwrap();
        assert!(knows(node, "r0") && knows(node, "r59"));
        let body = node.body(&ContentHash::of(b"body 59")).unwrap();
        assert_eq!(body.unwrap(), &b"body 59"[..]);
    }
    wait_for("it says that it was by a snapshot", || {
        nodes[1].core().metrics().snapshot.is_some()
    })
    .await;
    let old = nodes[0].body(&ContentHash::of(b"body 3")).unwrap();
    assert_eq!(old, None, "what no target needs is swept");
    nodes.remove(1).shutdown().await;
    let again = fixture.start(2).await;
    again.linearize().await.unwrap();
    assert!(knows(&again, "r59"), "restarted from the received snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_share_flushes() {
    let mut fixture = Fixture::new();
    let node = fixture.start(1).await;
    node.initialize(fixture.endpoint(1)).await.unwrap();
    let before = node.flushes();
    let writers = (0..64).map(|writer| {
        let node = node.clone();
        tokio::spawn(async move {
            for round in 0..10 {
                write(&node, &format!("w{writer}-{round}")).await.unwrap();
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(node.view(|state| state.revision), 640);
    let flushes = node.flushes() - before;
    assert!(flushes < 320, "{flushes} flushes for 640 writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_is_on_disk_before_the_next_one() {
    let mut fixture = Fixture::new();
    let node = fixture.start(1).await;
    node.initialize(fixture.endpoint(1)).await.unwrap();
    let store = node.core().store.read().unwrap().clone().unwrap();
    for round in 0..10 {
        let (flushes, syncs) = (node.flushes(), store.syncs());
        write(&node, &format!("r{round}")).await.unwrap();
        assert!(node.flushes() > flushes, "write {round} was not flushed");
        assert!(store.syncs() > syncs, "nor was the database's log synced");
    }
    drop(store);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_removed_for_good_and_the_lead_is_handed_over() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    nodes[1].transfer_leader(NodeId(3)).await.unwrap();
    wait_for("node 3 leads", || nodes[2].leadership().borrow().is_leader).await;
    nodes[0].remove(NodeId(3)).await.unwrap();
    leader_among(&nodes[..2]).await;
    let status = nodes[0].status();
    assert_eq!(status.voters, [NodeId(1), NodeId(2)]);
    assert!(
        status.learners.is_empty(),
        "a removed voter is not retained"
    );
    nodes[1].remove(NodeId(1)).await.unwrap();
    assert!(nodes[1].remove(NodeId(2)).await.is_err(), "the last voter");
    assert_eq!(write(&nodes[1], "alone").await.unwrap(), 1);
}
