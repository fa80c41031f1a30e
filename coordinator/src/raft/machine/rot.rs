//! Snapshots that rotted on this node's disk: none is sent, and a new one is built in its place.
//! Whoever was sent one would refuse it, and every other time as well.

use std::sync::Arc;

use super::files::SnapshotFiles;
use super::snapshot::is_whole;
use crate::raft::metric_names::SNAPSHOTS_ROTTEN;
use crate::raft::types::Snapshot;

/// Reads a snapshot through before it is sent. Blocks.
pub(crate) fn fit_to_send(files: &Arc<SnapshotFiles>, snapshot: &Snapshot) -> Result<(), String> {
    if *files.rotten().borrow() {
        return Err("the snapshot is being built anew".into());
    }
    let judged = is_whole(&snapshot.snapshot, &snapshot.meta);
    // A file that cannot be read is as bad as one that reads otherwise than it was written.
    if let Err(error) = &judged
        && files.condemn(&snapshot.snapshot)
    {
        metrics::counter!(SNAPSHOTS_ROTTEN).increment(1);
        let path = snapshot.snapshot.path().display();
        tracing::error!(%path, %error, "this node's snapshot rotted: a new one is built");
    }
    judged.map_err(|error| error.to_string())
}
