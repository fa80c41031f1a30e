//! openraft's own suite on the real store, and what the store must notice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use openraft::storage::{
    RaftLogStorage as _, RaftLogStorageExt as _, RaftSnapshotBuilder, RaftStateMachine,
};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{Membership, StorageError};
use rocksdb::{ColumnFamilyDescriptor, DB, Options};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;

use super::harness::{CLUSTER, Fixture, PATIENCE, database, entry, rules, write};
use crate::raft::machine::{Image, Machine, Replica, SnapshotFiles};
use crate::raft::start::{StartError, create_slots};
use crate::raft::store::{BodyWrite, SlotState, Slots, Store};
use crate::raft::types::{Entry, NodeAddress, Types};
use crate::state::BodyRecord;

struct Builder;

/// The folder of a store. It goes once the database is closed: one that is still open when the process ends
/// aborts it.
struct Place {
    dir: tempfile::TempDir,
    open: Weak<()>,
}

impl Place {
    fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.open.strong_count() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl StoreBuilder<Types, Store, Machine, Place> for Builder {
    async fn build(&self) -> Result<(Place, Store, Machine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let state = SlotState::new(CLUSTER, NodeId(1), None);
        let slots = Slots::create(&dir.path().join("vote"), state).unwrap();
        let (store, _) = Store::open(&database(dir.path()), slots).unwrap();
        let files = SnapshotFiles::open(dir.path().join("snapshots")).unwrap();
        let machine = Machine::new(
            rules,
            Arc::new(Replica::new(Image::default())),
            store.writer(),
            store.bodies(),
            store.series(),
            Arc::new(files),
        );
        let open = store.held();
        Ok((Place { dir, open }, store, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_a_lost_body_however_often_it_is_looked_for_in_vain() {
    let (dir, store, _) = Builder.build().await.unwrap();
    let mut damaged = store.take_damaged().unwrap();
    let (body, mut image) = (b"lost".to_vec(), Image::default());
    let hash = ContentHash::of(&body);
    let (length, references) = (4, 1);
    let record = BodyRecord { length, references };
    image.fleet.bodies.insert(hash, record);
    let files = Arc::new(SnapshotFiles::open(dir.path().join("snapshots")).unwrap());
    let replica = Arc::new(Replica::new(image));
    let mut machine = Machine::new(
        rules,
        replica,
        store.writer(),
        store.bodies(),
        store.series(),
        files,
    );
    let mut builder = machine.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await });
    for round in 0..3 {
        let lost = tokio::time::timeout(PATIENCE, damaged.recv()).await;
        let lost = lost.unwrap().unwrap();
        assert_eq!(lost.hash, hash);
        if round == 2 {
            let put = vec![BodyWrite::Put(hash, body.clone())];
            store.writer().write_bodies(put).await.unwrap();
        }
        lost.looked_after.unwrap().send(()).unwrap();
    }
    building.await.unwrap().unwrap();

    let gone = vec![BodyWrite::Delete(hash)];
    store.writer().write_bodies(gone).await.unwrap();
    let mut builder = machine.get_snapshot_builder().await;
    drop(damaged);
    assert!(builder.build_snapshot().await.is_err(), "the node stops");
    // A database that is still open when the process ends aborts it.
    drop((builder, machine));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_took_or_lost_is_synced_before_it_is_acknowledged() {
    let (_dir, mut store, machine) = Builder.build().await.unwrap();
    // The count is of syncs, not of writes: bodies alone wait for the next one.
    let before = store.syncs();
    let put = vec![BodyWrite::Put(ContentHash::of(b"body"), b"body".to_vec())];
    store.writer().write_bodies(put).await.unwrap();
    assert_eq!(store.syncs(), before);
    for index in 0..10 {
        let before = store.syncs();
        let appended = entry(1, index, &format!("r{index}"));
        store.blocking_append([appended]).await.unwrap();
        assert!(store.syncs() > before, "entry {index}");
    }
    let before = store.syncs();
    let kept = entry(1, 6, "r6").log_id;
    store.truncate_after(Some(kept)).await.unwrap();
    assert!(store.syncs() > before, "the cut");
    let before = store.syncs();
    store.purge(entry(1, 3, "r3").log_id).await.unwrap();
    assert!(store.syncs() > before, "the purge");
    drop(machine);
    store.close().await;
}

fn with_database(path: &Path, change: impl FnOnce(&DB)) {
    let families = ["default", "log", "meta", "bodies", "series"]
        .map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    let db = DB::open_cf_descriptors(&Options::default(), path, families).unwrap();
    change(&db);
    db.flush_wal(true).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_founding_that_was_cut_off_behind_its_first_entry_goes_on() {
    let mut fixture = Fixture::new();
    let config = fixture.config(1);
    std::fs::create_dir_all(&config.data_dir).unwrap();
    let state = SlotState::new(CLUSTER, NodeId(1), None);
    let slots = create_slots(&config.data_dir, state).unwrap();
    let (mut store, _) = Store::open(&database(&config.data_dir), slots).unwrap();
    let endpoint = fixture.endpoint(1);
    let members = BTreeMap::from([(1, NodeAddress { endpoint })]);
    let membership = Membership::new(vec![BTreeSet::from([1])], members).unwrap();
    let first = Entry {
        log_id: entry(0, 0, "first").log_id,
        payload: openraft::EntryPayload::Membership(membership),
    };
    store.blocking_append([first]).await.unwrap();
    store.close().await;

    let node = fixture.start_as(config).await.unwrap();
    node.initialize(fixture.endpoint(1)).await.unwrap();
    assert_eq!(write(&node, "r1").await.unwrap(), 1);
    node.shutdown().await;
}

/// One node with some entries, stopped.
async fn stopped_node(fixture: &mut Fixture) -> std::path::PathBuf {
    let node = fixture.start(1).await;
    node.initialize(fixture.endpoint(1)).await.unwrap();
    for request in ["r1", "r2", "r3"] {
        write(&node, request).await.unwrap();
    }
    node.shutdown().await;
    database(&fixture.data_dir(1))
}

fn last_key(db: &DB) -> Box<[u8]> {
    let log = db.cf_handle("log").unwrap();
    let mut items = db.iterator_cf(log, rocksdb::IteratorMode::End);
    items.next().unwrap().unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_acknowledged_tail_is_gone_does_not_start() {
    let mut fixture = Fixture::new();
    let path = stopped_node(&mut fixture).await;
    with_database(&path, |db| {
        db.delete_cf(db.cf_handle("log").unwrap(), last_key(db))
            .unwrap();
    });
    let config = fixture.config(1);
    let refused = fixture.start_as(config).await.unwrap_err();
    assert!(
        matches!(refused, StartError::RejoinUnderNewId { .. }),
        "{refused}"
    );
    says_how_to_rejoin(&refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_seen_and_named() {
    let mut fixture = Fixture::new();
    let path = stopped_node(&mut fixture).await;
    with_database(&path, |db| {
        let log = db.cf_handle("log").unwrap();
        let key = last_key(db);
        let mut record = db.get_cf(log, &key).unwrap().unwrap();
        *record.last_mut().unwrap() ^= 1;
        db.put_cf(log, key, record).unwrap();
    });
    let config = fixture.config(1);
    let refused = fixture.start_as(config).await.unwrap_err();
    assert!(matches!(refused, StartError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("checksum"), "{refused}");
    says_how_to_rejoin(&refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_vote_file_and_anothers_folder_are_refused() {
    let mut fixture = Fixture::new();
    stopped_node(&mut fixture).await;
    let mut config = fixture.config(2);
    config.data_dir = fixture.data_dir(1);
    let refused = fixture.start_as(config).await.unwrap_err();
    assert!(matches!(refused, StartError::Foreign { .. }), "{refused}");
    std::fs::remove_file(fixture.data_dir(1).join("vote")).unwrap();
    let config = fixture.config(1);
    let refused = fixture.start_as(config).await.unwrap_err();
    assert!(
        matches!(refused, StartError::RejoinUnderNewId { .. }),
        "{refused}"
    );
    says_how_to_rejoin(&refused);
}

fn says_how_to_rejoin(refused: &StartError) {
    let said = refused.to_string();
    for needed in [
        "rejoin under a new id",
        "email-engine cluster remove",
        "email-engine cluster add",
        "email-engine-coordinator join --data-dir",
        "email-engine cluster promote",
        "email-engine-coordinator restore",
    ] {
        assert!(said.contains(needed), "{needed:?} is missing: {said}");
    }
}
