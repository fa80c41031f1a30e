//! Content bodies that are damaged on this disk are taken from this node's own newest snapshot, or
//! fetched from another node: they are named by their digest, so whoever has the right bytes may give
//! them. Log records and votes are not: what
//! this node promised, nobody else can know. A snapshot that rotted is built anew from the state.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::NodeId;

use super::core::Core;
use super::machine::{SnapshotFiles, body_in};
use super::metric_names::{BODIES_DAMAGED, BODIES_MENDED};
use super::net::{Lane, Request, Response};
use super::store::{BodyWrite, Damage};

/// How long one node may take to send a body.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a body that nobody could give is not asked for again, unless somebody waits for it.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How long a new snapshot is waited for before it is asked for again: one that was being built when
/// it was asked for may turn out older than what it should replace.
const REBUILT_WITHIN: Duration = Duration::from_secs(5);

/// Mends what readers find damaged, until the node stops.
pub(super) async fn run(
    core: Weak<Core>,
    files: Arc<SnapshotFiles>,
    mut damaged: mpsc::Receiver<Damage>,
) {
    let Some(mut stopping) = core.upgrade().map(|core| core.stopping.subscribe()) else {
        return;
    };
    tokio::select! {
        () = mend_all(&core, &files, &mut damaged) => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

/// Has snapshots that rotted built anew, until the node stops.
pub(super) async fn rebuild(core: Weak<Core>, files: Arc<SnapshotFiles>) {
    let Some(mut stopping) = core.upgrade().map(|core| core.stopping.subscribe()) else {
        return;
    };
    tokio::select! {
        () = rebuild_all(&core, &files) => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}

async fn rebuild_all(core: &Weak<Core>, files: &SnapshotFiles) {
    let mut rotten = files.rotten();
    while rotten.wait_for(|rotten| *rotten).await.is_ok() {
        let Some(core) = core.upgrade() else { return };
        if let Err(error) = core.raft.trigger().snapshot().await {
            tracing::warn!(%error, "no new snapshot can be asked for");
            return;
        }
        drop(core);
        let rebuilt = rotten.wait_for(|rotten| !*rotten);
        // Whether in time or not, what counts is looked at again.
        let _ = tokio::time::timeout(REBUILT_WITHIN, rebuilt).await;
    }
}

async fn mend_all(
    core: &Weak<Core>,
    files: &Arc<SnapshotFiles>,
    damaged: &mut mpsc::Receiver<Damage>,
) {
    let mut in_vain: BTreeMap<ContentHash, Instant> = BTreeMap::new();
    while let Some(Damage { hash, looked_after }) = damaged.recv().await {
        let Some(core) = core.upgrade() else { return };
        in_vain.retain(|_, at| at.elapsed() < AGAIN_AFTER);
        let known = in_vain.contains_key(&hash);
        // Whoever waits makes pauses of its own.
        if (!known || looked_after.is_some()) && !core.mend(files, &hash, known).await {
            in_vain.insert(hash, Instant::now());
        }
        if let Some(reader) = looked_after {
            // The reader may have given up; it reads again and sees for itself.
            let _ = reader.send(());
        }
    }
}

/// A body as this node's newest snapshot has it.
async fn in_snapshot(files: Arc<SnapshotFiles>, hash: ContentHash) -> Result<Vec<u8>, String> {
    let found = tokio::task::spawn_blocking(move || {
        let current = files.current().ok_or("there is no snapshot yet")?;
        body_in(current.snapshot.reader(), hash).map_err(|error| error.to_string())
    });
    found.await.map_err(|error| error.to_string())?
}

impl Core {
    /// A body as it is on this disk, only when it is whole.
    pub(super) async fn whole_body(&self, hash: ContentHash) -> Option<Vec<u8>> {
        let bodies = {
            let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
            store.as_ref()?.bodies()
        };
        let read = tokio::task::spawn_blocking(move || bodies.read_silently(&hash)).await;
        read.ok()?.ok()?.map(|bytes| bytes.to_vec())
    }

    /// Gets a body from this node's snapshot or from whichever node has it whole; false when none
    /// does. What is `known` to be damaged is not counted again.
    async fn mend(&self, files: &Arc<SnapshotFiles>, hash: &ContentHash, known: bool) -> bool {
        if self.whole_body(*hash).await.is_some() {
            return true;
        }
        if !known {
            metrics::counter!(BODIES_DAMAGED).increment(1);
            tracing::error!(%hash, "a stored body is damaged: the snapshot and the other nodes may \
                                    have it");
        }
        match in_snapshot(Arc::clone(files), *hash).await {
            Ok(bytes) => return self.store_again(self.node, *hash, bytes).await,
            Err(reason) => tracing::warn!(%hash, reason, "no body from the snapshot"),
        }
        let (voters, learners) = self.members();
        for node in voters.union(&learners).map(|node| NodeId(*node)) {
            if node == self.node {
                continue;
            }
            match self.fetch(node, hash).await {
                Ok(bytes) => return self.store_again(node, *hash, bytes).await,
                Err(reason) => tracing::warn!(%hash, %node, reason, "no body from this node"),
            }
        }
        tracing::error!(%hash, "no node has this body whole: what needs it waits. What came since the \
                                last snapshot is in the log, and back after a restart");
        false
    }

    async fn fetch(&self, node: NodeId, hash: &ContentHash) -> Result<Vec<u8>, String> {
        let address = self.address(node).ok_or("it is no member any more")?;
        let request = Request::Body(*hash);
        // Apart from the heartbeats: a body may be large.
        let lane = Lane::Snapshot;
        let asked = self
            .peers
            .call(node, &address, lane, &request, ANSWER_WITHIN);
        match asked.await.map_err(|error| error.to_string())? {
            Response::Body(Some(bytes)) if ContentHash::of(&bytes) == *hash => Ok(bytes),
            Response::Body(Some(_)) => Err("it sent other bytes".into()),
            Response::Body(None) => Err("it has none, or a damaged one itself".into()),
            _ => Err("it mixed answers up".into()),
        }
    }

    async fn store_again(&self, from: NodeId, hash: ContentHash, bytes: Vec<u8>) -> bool {
        let writer = {
            let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
            store.as_ref().map(super::store::Store::writer)
        };
        let Some(writer) = writer else { return false };
        match writer.write_bodies(vec![BodyWrite::Put(hash, bytes)]).await {
            Ok(()) => {
                metrics::counter!(BODIES_MENDED).increment(1);
                tracing::warn!(%hash, %from, "a damaged body is mended");
                true
            }
            Err(error) => {
                tracing::error!(%hash, %error, "a damaged body cannot be stored again");
                false
            }
        }
    }
}
