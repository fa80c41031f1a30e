//! Damaged content bodies come back from another node, snapshots that rotted are built anew, and what
//! nobody takes leaves nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openraft::errors::ReplicationClosed;
use openraft::network::{RPCOption, RaftNetworkFactory as _, RaftNetworkV2 as _};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;

use super::harness::{Fixture, knows, wait_for, with_body, write};
use crate::raft::handle::Cluster;
use crate::raft::machine::SnapshotFiles;
use crate::raft::net::Network;
use crate::raft::start::snapshots_path;
use crate::raft::store::BodyWrite;
use crate::raft::types::{NodeAddress, Snapshot};

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

/// Files of a node's snapshots that end so.
fn files(fixture: &Fixture, node: u64, ending: &str) -> Vec<PathBuf> {
    let items = fs::read_dir(snapshots_path(&fixture.data_dir(node))).unwrap();
    let paths = items.map(|item| item.unwrap().path());
    let ends = |path: &PathBuf| path.extension().is_some_and(|found| found == ending);
    paths.filter(ends).collect()
}

/// Another byte in the middle, in the same file.
fn rot(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, &bytes).unwrap();
    bytes
}

async fn snapshot_now(node: &Cluster) -> Snapshot {
    let last = node.status().last_index;
    node.core().raft.trigger().snapshot().await.unwrap();
    wait_for("the snapshot is made", || {
        let made = node.core().metrics().snapshot;
        made.is_some_and(|id| id.index >= last)
    })
    .await;
    node.core().raft.get_snapshot().await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_rotted_on_the_leader_ends_no_follower_and_is_built_anew() {
    let mut fixture = Fixture::new();
    let mut nodes = Vec::new();
    for node in 1..=2 {
        let mut config = fixture.config(node);
        config.keep_logs = 2;
        nodes.push(fixture.start_as(config).await.unwrap());
    }
    let leader = &nodes[0];
    leader.initialize(fixture.endpoint(1)).await.unwrap();
    for round in 0..10 {
        let request = with_body(&format!("r{round}"), &vec![round; 5_000]);
        leader.propose(request).await.unwrap().unwrap();
    }
    // Nothing comes after it: the new one is of the same entry, and gets the same name.
    let snapshot = snapshot_now(leader).await;
    let last = leader.status().last_index;
    wait_for("the log is purged", || {
        let purged = leader.core().metrics().purged;
        purged.is_some_and(|id| id.index + 2 >= last)
    })
    .await;
    let rotten = rot(snapshot.snapshot.path());

    let follower = &nodes[1];
    let joined = leader.add_learner(NodeId(2), fixture.endpoint(2)).await;
    joined.unwrap();
    wait_for("it has caught up", || knows(follower, "r9")).await;
    assert_eq!(*follower.failed().borrow(), None);
    assert_eq!(*leader.failed().borrow(), None);
    let body = follower.body(&ContentHash::of(&[9; 5_000])).unwrap();
    assert_eq!(body.unwrap().len(), 5_000);
    wait_for("it says that it was by a snapshot", || {
        follower.core().metrics().snapshot.is_some()
    })
    .await;
    let [aside] = &files(&fixture, 1, "rotten")[..] else {
        panic!("the rotten one is not put aside")
    };
    assert_eq!(fs::read(aside).unwrap(), rotten);
    assert_eq!(files(&fixture, 1, "snapshot").len(), 1);
    assert!(files(&fixture, 2, "partial").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_openraft_does_not_take_leaves_no_file() {
    let mut fixture = Fixture::new();
    let nodes = fixture.three().await;
    write(&nodes[0], "r1").await.unwrap();
    nodes[1].linearize().await.unwrap();
    let snapshot = snapshot_now(&nodes[0]).await;
    // Behind it: node 2 has committed more than it holds.
    write(&nodes[0], "r2").await.unwrap();
    nodes[1].linearize().await.unwrap();

    let core = nodes[0].core();
    let folder = tempfile::tempdir().unwrap();
    let own = SnapshotFiles::open(folder.path().to_path_buf()).unwrap();
    let within = Duration::from_secs(10);
    let mut network = Network::new(core.node, core.peers.clone(), own.into(), within);
    let endpoint = fixture.endpoint(2);
    let mut client = network
        .new_snapshot_client(2, &NodeAddress { endpoint })
        .await;
    let vote = core.metrics().vote;
    let never = std::future::pending::<ReplicationClosed>();
    let sent = client.full_snapshot(vote, snapshot, never, RPCOption::new(within));
    assert_eq!(sent.await.unwrap().vote, vote);
    assert!(nodes[1].core().metrics().snapshot.is_none(), "not taken");
    assert!(files(&fixture, 2, "partial").is_empty());
}
