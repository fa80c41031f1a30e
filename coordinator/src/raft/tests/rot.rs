//! Snapshots that rot, and those that nobody takes.

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
use crate::raft::types::{NodeAddress, Snapshot};

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
    assert!(follower.core().metrics().snapshot.is_some(), "by snapshot");
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
