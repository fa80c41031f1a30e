//! Snapshots between nodes: checked chunks on one stream, into a file that counts only when whole.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use openraft::raft::SnapshotResponse;

use super::client::Client;
use super::frame::{self, FrameError, FrameReader};
use super::message::{Request, Response};
use super::peers::{self, CallError};
use crate::raft::machine::{SnapshotFile, SnapshotFiles, fit_to_send, is_whole};
use crate::raft::types::{Snapshot, SnapshotMeta, Types, Vote};

pub(crate) const CHUNK_BYTES: u64 = 256 * 1024;
/// Longest wait for one chunk to be taken or to come.
const CHUNK_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for the peer to load what it received.
const INSTALL_WITHIN: Duration = Duration::from_secs(300);
/// Largest snapshot that is taken.
const SNAPSHOT_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// Sends a snapshot that is good and waits until it is installed.
pub(super) async fn send(
    client: &Client,
    files: &Arc<SnapshotFiles>,
    vote: Vote,
    snapshot: &Snapshot,
) -> Result<SnapshotResponse<Types>, CallError> {
    // First whether the peer is there: that takes no disk. The stream is no more than a number yet.
    let (mut to, mut from) = timed(CHUNK_WITHIN, client.stream()).await?;
    let (files, checked) = (Arc::clone(files), snapshot.clone());
    let fit = tokio::task::spawn_blocking(move || fit_to_send(&files, &checked));
    fit.await.map_err(failed)?.map_err(CallError::Unfit)?;
    let file = &snapshot.snapshot;
    let length = file.length().map_err(failed)?;
    let request = Request::Snapshot {
        vote,
        meta: snapshot.meta.clone(),
        length,
    };
    frame::write(&mut to, &request).await?;
    let mut at = 0;
    while at < length {
        let size = CHUNK_BYTES.min(length - at);
        let chunk = read_chunk(file.clone(), at, size).await?;
        timed(CHUNK_WITHIN, async {
            let sum = crc32c::crc32c(&chunk).to_be_bytes();
            to.write_all(&sum).await.map_err(FrameError::from)?;
            to.write_chunk(chunk.into())
                .await
                .map_err(FrameError::from)?;
            Ok(())
        })
        .await?;
        at += size;
    }
    // The answer tells whether the peer has all of it.
    let _ = to.finish();
    match timed(INSTALL_WITHIN, peers::answer(&mut from)).await? {
        Response::Snapshot(response) => Ok(response),
        _ => Err(CallError::Mixed),
    }
}

async fn read_chunk(file: SnapshotFile, at: u64, size: u64) -> Result<Vec<u8>, CallError> {
    tokio::task::spawn_blocking(move || {
        let mut chunk = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_at(&mut chunk, at).map(|()| chunk)
    })
    .await
    .map_err(failed)?
    .map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> CallError {
    CallError::Failed(error.to_string())
}

async fn timed<T>(
    within: Duration,
    doing: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(within, doing)
        .await
        .unwrap_or(Err(CallError::Timeout(within)))
}

/// Receives a snapshot into an unfinished file, and reads it through: one that turned out damaged only
/// when it is taken over would end this node, and end it again after each start.
pub(super) async fn receive(
    files: &SnapshotFiles,
    from: &mut FrameReader,
    meta: &SnapshotMeta,
    length: u64,
) -> Result<SnapshotFile, CallError> {
    if length > SNAPSHOT_BYTES {
        return Err(failed("the snapshot is over the cap"));
    }
    let (file, unfinished) = files.begin().map_err(failed)?;
    chunks(file, from, length).await?;
    let received = SnapshotFile::open_unfinished(unfinished).map_err(failed)?;
    let meta = meta.clone();
    let checked = tokio::task::spawn_blocking(move || {
        is_whole(&received, &meta).map_err(failed)?;
        Ok(received)
    });
    checked.await.map_err(failed)?
}

async fn chunks(mut file: File, from: &mut FrameReader, length: u64) -> Result<(), CallError> {
    let mut missing = length;
    while missing > 0 {
        let size = CHUNK_BYTES.min(missing);
        let sum = timed(CHUNK_WITHIN, async { Ok(from.bytes(4).await?) }).await?;
        let count = usize::try_from(size).unwrap_or_default();
        let chunk = timed(CHUNK_WITHIN, async { Ok(from.bytes(count).await?) }).await?;
        if crc32c::crc32c(&chunk).to_be_bytes() != *sum {
            return Err(failed("a chunk of the snapshot is damaged"));
        }
        // Into the page cache: short.
        file.write_all(&chunk).map_err(failed)?;
        missing -= size;
    }
    let synced = tokio::task::spawn_blocking(move || file.sync_all()).await;
    synced.map_err(failed)?.map_err(failed)
}
