//! Applying committed entries, and reading what they led to.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use tokio::sync::watch;

use email_engine_protocol::bytes::ContentHash;

use super::apply::Apply;
use super::files::{SnapshotFile, SnapshotFiles};
use super::head::Head;
use super::snapshot::{self, SnapshotBuilder, Stored};
use crate::command::{BodyChange, Command};
use crate::raft::handle::Applied;
use crate::raft::metric_names::SNAPSHOTS_INSTALLED;
use crate::raft::store::{Bodies, BodyWrite, Series, WriterHandle};
use crate::raft::types::{
    Entry, LogCommand, LogId, Reply, Snapshot, SnapshotMeta, StoredMembership, Types,
};
use crate::state::FleetState;

/// The state with the position in the log that it stands for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    /// The tables.
    pub(crate) fleet: FleetState,
    /// Last entry in it.
    pub(crate) last_applied: Option<LogId>,
    /// Last membership in it.
    pub(crate) membership: StoredMembership,
}

impl Image {
    /// What a snapshot of it says about itself.
    pub(crate) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.last_applied,
            last_membership: self.membership.clone(),
        }
    }

    /// Index of the last entry in it.
    pub(crate) fn index(&self) -> u64 {
        self.last_applied.map_or(0, |id| id.index)
    }

    fn applied(&self) -> Applied {
        Applied {
            index: self.index(),
            revision: self.fleet.revision,
        }
    }
}

/// The state as this node has it.
#[derive(Debug)]
pub(crate) struct Replica {
    image: RwLock<Image>,
    /// What Raft's own traffic needs of it, without waiting for it.
    head: RwLock<Head>,
    /// Bodies of the last entry while they are being stored: who reads the state finds what it names.
    coming: RwLock<BTreeMap<ContentHash, Bytes>>,
    /// Held for reading while bodies of an older state are read.
    bodies: RwLock<()>,
    applied: watch::Sender<Applied>,
    /// Bytes of bodies that came since a snapshot was last asked for: they lie in the log as well.
    fresh: AtomicU64,
}

impl Replica {
    /// A replica that begins with this.
    pub(crate) fn new(image: Image) -> Self {
        let applied = watch::Sender::new(image.applied());
        let mut head = Head::default();
        head.follow(&image.fleet);
        Self {
            image: RwLock::new(image),
            head: RwLock::new(head),
            coming: RwLock::default(),
            bodies: RwLock::new(()),
            applied,
            fresh: AtomicU64::new(0),
        }
    }

    /// Notes bodies that came.
    fn note_fresh(&self, bytes: u64) {
        self.fresh.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether so many bytes came since this last said so.
    pub(crate) fn has_grown_by(&self, bytes: u64) -> bool {
        let over = |fresh: u64| (fresh >= bytes).then_some(0);
        let taken = self
            .fresh
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, over);
        taken.is_ok()
    }

    /// Reads; `apply` waits meanwhile.
    pub(crate) fn view<R>(&self, read: impl FnOnce(&Image) -> R) -> R {
        read(&self.image.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The head of the state; never waits for an entry that is being applied.
    pub(crate) fn head(&self) -> Head {
        let head = self.head.read().unwrap_or_else(PoisonError::into_inner);
        head.clone()
    }

    /// A copy of the state at a moment when all that its last entry brought is stored.
    pub(crate) async fn settled(&self) -> Image {
        let mut applied = self.applied.subscribe();
        loop {
            let announced = *applied.borrow_and_update();
            let settled = self.view(|image| (image.applied() == announced).then(|| image.clone()));
            if let Some(image) = settled {
                return image;
            }
            // The sender lives as long as this replica.
            let _ = applied.changed().await;
        }
    }

    /// The position, as a channel.
    pub(crate) fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// Keeps bodies from being deleted while this lives.
    pub(crate) fn hold_bodies(&self) -> RwLockReadGuard<'_, ()> {
        self.bodies.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to delete bodies, when nobody holds them.
    pub(super) fn release_bodies(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.bodies.try_write().ok()
    }

    fn change<R>(&self, change: impl FnOnce(&mut Image) -> R) -> R {
        let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut image);
        let mut head = self.head.write().unwrap_or_else(PoisonError::into_inner);
        head.follow(&image.fleet);
        changed
    }

    /// Applies an entry. From then on its bodies can be read, stored or not.
    fn enter(&self, apply: Apply, entry: &Entry) -> (Reply, Vec<BodyChange>) {
        self.change(|image| {
            image.last_applied = Some(entry.log_id);
            match &entry.payload {
                EntryPayload::Blank => (Reply::Nothing, Vec::new()),
                EntryPayload::Normal(LogCommand::V1(proposal)) => {
                    let (answer, changes) = apply(&mut image.fleet, proposal);
                    let puts = changes.iter().filter_map(|change| match change {
                        BodyChange::Put(hash, bytes) => {
                            Some((*hash, Bytes::copy_from_slice(bytes)))
                        }
                        BodyChange::Drop(_) | BodyChange::Series(_) => None,
                    });
                    let puts: Vec<_> = puts.collect();
                    let mut coming = self.coming.write().unwrap_or_else(PoisonError::into_inner);
                    coming.extend(puts);
                    drop(coming);
                    (Reply::Applied(answer), changes)
                }
                EntryPayload::Membership(membership) => {
                    image.membership =
                        StoredMembership::new(Some(entry.log_id), membership.clone());
                    (Reply::Nothing, Vec::new())
                }
            }
        })
    }

    /// A body that is in the state and not yet in the store.
    pub(crate) fn coming(&self, hash: &ContentHash) -> Option<Bytes> {
        let coming = self.coming.read().unwrap_or_else(PoisonError::into_inner);
        coming.get(hash).cloned()
    }

    /// Tells the watchers, after everything that belongs to an entry is done.
    fn announce(&self) {
        let mut coming = self.coming.write().unwrap_or_else(PoisonError::into_inner);
        coming.clear();
        drop(coming);
        let applied = self.view(Image::applied);
        self.applied.send_replace(applied);
    }
}

/// Commands or targets in one entry from which on it takes milliseconds to apply.
const LARGE: usize = 64;

fn is_large(entry: &Entry) -> bool {
    let EntryPayload::Normal(LogCommand::V1(proposal)) = &entry.payload else {
        return false;
    };
    match &proposal.command {
        Command::Batch(batch) => batch.commands.len() >= LARGE,
        // A megabyte is hashed twice.
        Command::PutArtifactPiece(_) => true,
        Command::SetTargets(targets) => targets.targets.len() >= LARGE,
        Command::RecordStatistics(record) => record.batches.len() >= LARGE,
        _ => false,
    }
}

/// openraft's state machine.
#[derive(Debug)]
pub(crate) struct Machine {
    apply: Apply,
    replica: Arc<Replica>,
    writer: WriterHandle,
    bodies: Bodies,
    series: Series,
    files: Arc<SnapshotFiles>,
}

impl Machine {
    /// A machine over a replica that was loaded already.
    pub(crate) const fn new(
        apply: Apply,
        replica: Arc<Replica>,
        writer: WriterHandle,
        bodies: Bodies,
        series: Series,
        files: Arc<SnapshotFiles>,
    ) -> Self {
        Self {
            apply,
            replica,
            writer,
            bodies,
            series,
            files,
        }
    }

    /// A large entry is applied where no other task waits for this thread: what was woken on it last
    /// would wait until the end, and a heartbeat may be among it.
    fn enter_apart(&self, entry: &Entry) -> (Reply, Vec<BodyChange>) {
        let enter = || self.replica.enter(self.apply, entry);
        if is_large(entry) {
            tokio::task::block_in_place(enter)
        } else {
            enter()
        }
    }

    /// Stores what the entry brought. What it no longer needs stays until a snapshot without it is
    /// on disk: entries are applied again after a crash, and snapshots are built meanwhile.
    async fn store(&self, index: u64, changes: Vec<BodyChange>) -> io::Result<()> {
        let (mut puts, mut series) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                BodyChange::Put(hash, bytes) => puts.push(BodyWrite::Put(hash, bytes)),
                BodyChange::Drop(_) => {}
                BodyChange::Series(change) => series.push(change),
            }
        }
        if !series.is_empty() {
            // Rows are read before they are written: the disk may be waited for.
            let write = tokio::task::block_in_place(|| self.series.resolve(index, series))?;
            if let Some(write) = write {
                self.writer.write_series(write).await?;
            }
        }
        let length = |put: &BodyWrite| match put {
            BodyWrite::Put(_, bytes) => bytes.len() as u64,
            BodyWrite::Delete(_) => 0,
        };
        self.replica.note_fresh(puts.iter().map(length).sum());
        if puts.is_empty() {
            Ok(())
        } else {
            self.writer.write_bodies(puts).await
        }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok(self
            .replica
            .view(|image| (image.last_applied, image.membership.clone())))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let (reply, changes) = self.enter_apart(&entry);
            self.store(entry.log_id.index, changes).await?;
            self.replica.announce();
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            image: self.replica.view(Image::clone),
            replica: Arc::clone(&self.replica),
            writer: self.writer.clone(),
            bodies: self.bodies.clone(),
            series: self.series.clone(),
            files: Arc::clone(&self.files),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotFile,
    ) -> Result<(), io::Error> {
        let (files, series) = (Arc::clone(&self.files), self.series.clone());
        let (bodies, writer) = (self.bodies.clone(), self.writer.clone());
        let meta = meta.clone();
        let replica = Arc::clone(&self.replica);
        tokio::task::spawn_blocking(move || {
            // The sweep of a snapshot that is just being built does not know the new state yet.
            let _held = replica.hold_bodies();
            let stored = Stored {
                bodies: &bodies,
                series: &series,
                writer: &writer,
            };
            let image = snapshot::install(&files, stored, &meta, &snapshot)?;
            replica.change(|now| *now = image);
            Ok::<_, io::Error>(())
        })
        .await
        .map_err(io::Error::other)??;
        metrics::counter!(SNAPSHOTS_INSTALLED).increment(1);
        self.replica.announce();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.files.current())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::raft::machine::apply::fleet_rules;
    use crate::raft::tests::entry;

    #[test]
    fn bytes_that_came_call_for_one_snapshot() {
        let replica = Replica::new(Image::default());
        replica.note_fresh(99);
        assert!(!replica.has_grown_by(100));
        replica.note_fresh(2);
        assert!(replica.has_grown_by(100));
        assert!(!replica.has_grown_by(100), "it begins anew");
    }

    #[test]
    fn a_body_can_be_read_from_the_moment_that_the_state_names_it() {
        let hash = ContentHash::of(b"body");
        let apply: Apply = |state, proposal| {
            let (answer, _) = fleet_rules()(state, proposal);
            let hash = ContentHash::of(b"body");
            (answer, vec![BodyChange::Put(hash, b"body".to_vec())])
        };
        let replica = Replica::new(Image::default());
        let (_, changes) = replica.enter(apply, &entry(1, 1, "a-body"));
        assert_eq!(changes.len(), 1);
        // Nothing is stored yet.
        assert_eq!(replica.coming(&hash), Some(Bytes::from_static(b"body")));
        replica.announce();
        assert_eq!(replica.coming(&hash), None, "it is in the store by then");
    }

    #[tokio::test]
    async fn a_settled_copy_waits_for_what_the_last_entry_brought() {
        let replica = Replica::new(Image::default());
        replica.change(|image| image.fleet.revision = 1);
        // Its bodies are still being written.
        assert!(replica.settled().now_or_never().is_none());
        replica.announce();
        assert_eq!(replica.settled().await.fleet.revision, 1);
    }
}
