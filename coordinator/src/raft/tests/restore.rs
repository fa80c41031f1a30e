//! Backup and restore.

use std::io::{self, Write};
use std::sync::mpsc;

use tokio::sync::oneshot;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;

use super::harness::{CLUSTER, Fixture, knows, recovery_key, wait_for, with_body, write};
use crate::raft::backup::{RestoreError, restore};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_becomes_a_new_node_and_a_changed_one_nothing() {
    let mut fixture = Fixture::new();
    let node = fixture.start(1).await;
    node.initialize(fixture.endpoint(1)).await.unwrap();
    write(&node, "r1").await.unwrap();
    node.propose(with_body("r2", b"body"))
        .await
        .unwrap()
        .unwrap();
    let public = recovery_key().public();
    let (bytes, summary) = node.backup(Vec::new(), &public, &[0x4b; 32]).await.unwrap();
    assert_eq!((summary.revision, summary.bodies), (2, 1));
    write(&node, "after-the-backup").await.unwrap();
    node.shutdown().await;

    // Node 2's port is known only once it is bound.
    let mut config = fixture.config(2);
    let (to, endpoint) = (fixture.data_dir(7), fixture.endpoint(2));
    for at in (0..bytes.len()).step_by(101) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let refused = restore(&to, &changed[..], recovery_key(), endpoint.clone());
        assert!(refused.is_err(), "byte {at}");
    }
    let cut = &bytes[..bytes.len() - 1];
    assert!(restore(&to, cut, recovery_key(), endpoint.clone()).is_err());
    let restored = restore(&to, &bytes[..], recovery_key(), endpoint.clone()).unwrap();
    assert_eq!((restored.cluster, restored.node), (CLUSTER, NodeId(2)));
    assert_eq!(*restored.kek, [0x4b; 32]);
    assert_eq!((restored.epoch, restored.revision), (4, 2));
    let again = restore(&to, &bytes[..], recovery_key(), endpoint);
    assert!(matches!(again, Err(RestoreError::NotEmpty(_))));

    config.data_dir = to;
    let node = fixture.start_as(config).await.unwrap();
    assert_eq!(write(&node, "r3").await.unwrap(), 3);
    assert!(knows(&node, "r1") && !knows(&node, "after-the-backup"));
    assert_eq!(node.status().voters, [NodeId(2)]);
    let body = node.body(&ContentHash::of(b"body")).unwrap();
    assert_eq!(body.unwrap(), &b"body"[..]);
}

/// A file on a disk that stands still from its first byte on until it is let go.
struct SlowFile {
    bytes: Vec<u8>,
    begun: Option<oneshot::Sender<()>>,
    go: mpsc::Receiver<()>,
}

impl Write for SlowFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(begun) = self.begun.take() {
            begun.send(()).unwrap();
            self.go.recv().unwrap();
        }
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_of_use_while_a_backup_is_written_is_in_it_all_the_same() {
    let mut fixture = Fixture::new();
    let mut config = fixture.config(1);
    config.snapshot_after_logs = 5;
    config.keep_logs = 2;
    let node = fixture.start_as(config).await.unwrap();
    node.initialize(fixture.endpoint(1)).await.unwrap();
    let old = ContentHash::of(b"old");
    let propose = async |request: &str, body: &[u8]| {
        let proposal = with_body(request, body);
        node.propose(proposal).await.unwrap().unwrap();
    };
    propose("old", b"old").await;
    let at = node.status().applied_index;
    let (begun, begins) = oneshot::channel();
    let (let_go, go) = mpsc::channel();
    let writing = tokio::spawn({
        let node = node.clone();
        let begun = Some(begun);
        let bytes = Vec::new();
        let file = SlowFile { bytes, begun, go };
        async move {
            let public = recovery_key().public();
            node.backup(file, &public, &[0x4b; 32]).await
        }
    });
    begins.await.unwrap();
    // Nothing needs the old body any more, and two snapshots say so.
    for round in 0..20 {
        propose(&format!("r{round}"), format!("body {round}").as_bytes()).await;
    }
    let core = node.core();
    wait_for("a snapshot without it is there", || {
        let snapshot = core.metrics().snapshot;
        snapshot.is_some_and(|id| id.index > at + 5)
    })
    .await;
    propose("last", b"last").await;
    assert!(node.body(&old).unwrap().is_some(), "it was swept too early");
    let_go.send(()).unwrap();
    let (file, summary) = writing.await.unwrap().unwrap();
    assert_eq!((summary.index, summary.bodies), (at, 1));

    // It is not kept for ever.
    for round in 20..40 {
        propose(&format!("r{round}"), format!("body {round}").as_bytes()).await;
    }
    wait_for("it is swept", || node.body(&old).unwrap().is_none()).await;
    node.shutdown().await;
    let mut config = fixture.config(2);
    let (to, endpoint) = (fixture.data_dir(7), fixture.endpoint(2));
    restore(&to, &file.bytes[..], recovery_key(), endpoint).unwrap();
    config.data_dir = to;
    let node = fixture.start_as(config).await.unwrap();
    assert!(node.body(&old).unwrap().is_some());
    assert!(knows(&node, "old") && !knows(&node, "r0"));
    node.shutdown().await;
}
