//! Backup and restore.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;

use super::harness::{CLUSTER, Fixture, knows, recovery_key, with_body, write};
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
    write(&node, "after the backup").await.unwrap();
    node.shutdown().await;

    // Node 2's port is known only once it is bound.
    let mut config = fixture.config(2);
    let (to, endpoint) = (fixture.data_dir(7), fixture.endpoint(2));
    for at in (0..bytes.len()).step_by(101) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let refused = restore(&to, &changed[..], &recovery_key(), endpoint.clone());
        assert!(refused.is_err(), "byte {at}");
    }
    let cut = &bytes[..bytes.len() - 1];
    assert!(restore(&to, cut, &recovery_key(), endpoint.clone()).is_err());
    let restored = restore(&to, &bytes[..], &recovery_key(), endpoint.clone()).unwrap();
    assert_eq!((restored.cluster, restored.node), (CLUSTER, NodeId(2)));
    assert_eq!(*restored.kek, [0x4b; 32]);
    assert_eq!((restored.epoch, restored.revision), (4, 2));
    let again = restore(&to, &bytes[..], &recovery_key(), endpoint);
    assert!(matches!(again, Err(RestoreError::NotEmpty(_))));

    config.data_dir = to;
    let node = fixture.start_as(config).await.unwrap();
    assert_eq!(write(&node, "r3").await.unwrap(), 3);
    assert!(knows(&node, "r1") && !knows(&node, "after the backup"));
    assert_eq!(node.status().voters, [NodeId(2)]);
    let body = node.body(&ContentHash::of(b"body")).unwrap();
    assert_eq!(body.unwrap(), &b"body"[..]);
}
