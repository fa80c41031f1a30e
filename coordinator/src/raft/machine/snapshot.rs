//! Building, loading and installing snapshots.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;

use openraft::storage::RaftSnapshotBuilder;

use email_engine_protocol::bytes::ContentHash;

use super::files::{SnapshotFile, SnapshotFiles};
use super::format::{Header, Record, SnapshotError, SnapshotReader, SnapshotWriter};
use super::replica::{Image, Replica};
use crate::raft::store::{Bodies, BodyWrite, WriterHandle};
use crate::raft::types::{Snapshot, SnapshotMeta, Types};
use crate::state::FleetState;

/// Version of the tables of [`FleetState`]. A change of them adds a version here and a step in
/// [`decode_state`] that leads from the one before.
const STATE_VERSION: u32 = 1;
/// Bodies that are stored in one write.
const BODIES_BYTES: usize = 8 * 1024 * 1024;

/// Builds a snapshot from a copy of the state, apart from `apply`.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    pub(super) image: Image,
    pub(super) replica: Arc<Replica>,
    pub(super) writer: WriterHandle,
    pub(super) bodies: Bodies,
    pub(super) files: Arc<SnapshotFiles>,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let image = std::mem::take(&mut self.image);
        let (replica, writer) = (Arc::clone(&self.replica), self.writer.clone());
        let (bodies, files) = (self.bodies.clone(), Arc::clone(&self.files));
        tokio::task::spawn_blocking(move || {
            let (file, path) = files.begin()?;
            let file = write_image(BufWriter::new(file), &image, &bodies)?
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            // Bodies that only unflushed writes brought must outlive the log that brought them.
            writer.flush_blocking()?;
            let snapshot = files.adopt(&image.meta(), &path)?;
            sweep(&image.fleet, &replica, &writer, &bodies)?;
            Ok(snapshot)
        })
        .await
        .map_err(io::Error::other)?
    }
}

/// Writes a whole snapshot.
pub(crate) fn write_image<W: Write>(to: W, image: &Image, bodies: &Bodies) -> io::Result<W> {
    let header = Header {
        cluster: image.fleet.cluster.as_ref().map(|cluster| cluster.id),
        state_version: STATE_VERSION,
        meta: image.meta(),
    };
    let mut writer = SnapshotWriter::new(to, &header)?;
    let state = postcard::to_stdvec(&image.fleet).map_err(io::Error::other)?;
    writer.state(&state)?;
    drop(state);
    for hash in image.fleet.bodies.keys() {
        writer.body(hash, &bodies.need(hash)?)?;
    }
    writer.finish()
}

/// Deletes bodies that neither the snapshot nor the state of now needs. Queued while the state is
/// held: an entry that brings a body back is applied after that, so its write comes behind.
fn sweep(
    kept: &FleetState,
    replica: &Replica,
    writer: &WriterHandle,
    bodies: &Bodies,
) -> io::Result<()> {
    let Some(_nobody_reads) = replica.release_bodies() else {
        // A backup reads them. The next snapshot comes by again.
        return Ok(());
    };
    let stored = bodies.hashes()?;
    replica.view(|now| {
        let needless = stored
            .iter()
            .filter(|hash| !kept.bodies.contains_key(hash) && !now.fleet.bodies.contains_key(hash))
            .map(|hash| BodyWrite::Delete(*hash))
            .collect::<Vec<_>>();
        if needless.is_empty() {
            Ok(())
        } else {
            writer.queue_bodies(needless)
        }
    })
}

/// Reads a whole snapshot, handing every body on, and checks that nothing is missing from it.
pub(crate) fn load<R: Read>(
    from: R,
    mut body: impl FnMut(ContentHash, Vec<u8>) -> io::Result<()>,
) -> Result<Image, SnapshotError> {
    let mut reader = SnapshotReader::new(from)?;
    let Record::Header(header) = reader.next()? else {
        return Err(SnapshotError::Damaged("it does not begin with its header"));
    };
    let mut state = Vec::new();
    let mut seen = BTreeSet::new();
    loop {
        match reader.next()? {
            Record::State(piece) => state.extend_from_slice(&piece),
            Record::Body(hash, length) => {
                let bytes = read_body(&mut reader, length)?;
                if ContentHash::of(&bytes) != hash {
                    return Err(SnapshotError::Damaged("a body does not have its hash"));
                }
                seen.insert(hash);
                body(hash, bytes)?;
            }
            Record::End(_) => break,
            Record::Header(_) | Record::Piece(_) => {
                return Err(SnapshotError::Damaged("records are out of order"));
            }
        }
    }
    let fleet = decode_state(header.state_version, &state)?;
    if fleet.bodies.keys().any(|hash| !seen.contains(hash)) {
        return Err(SnapshotError::Damaged("a body is missing"));
    }
    Ok(Image {
        fleet,
        last_applied: header.meta.last_log_id,
        membership: header.meta.last_membership,
    })
}

/// Copies a snapshot under another header, checking it as [`load`] does. What was written counts
/// only when this succeeds.
pub(crate) fn rewrite<R: Read, W: Write>(
    mut reader: SnapshotReader<R>,
    to: W,
    change: impl FnOnce(&mut Header, &FleetState),
) -> Result<(W, Image), SnapshotError> {
    let Record::Header(mut header) = reader.next()? else {
        return Err(SnapshotError::Damaged("it does not begin with its header"));
    };
    let mut state = Vec::new();
    let mut record = reader.next()?;
    while let Record::State(piece) = record {
        state.extend_from_slice(&piece);
        record = reader.next()?;
    }
    let fleet = decode_state(header.state_version, &state)?;
    change(&mut header, &fleet);
    let mut writer = SnapshotWriter::new(to, &header)?;
    writer.state(&state)?;
    while let Record::Body(hash, length) = record {
        let bytes = read_body(&mut reader, length)?;
        if ContentHash::of(&bytes) != hash {
            return Err(SnapshotError::Damaged("a body does not have its hash"));
        }
        writer.body(&hash, &bytes)?;
        record = reader.next()?;
    }
    if !matches!(record, Record::End(_)) {
        return Err(SnapshotError::Damaged("records are out of order"));
    }
    let image = Image {
        fleet,
        last_applied: header.meta.last_log_id,
        membership: header.meta.last_membership,
    };
    Ok((writer.finish()?, image))
}

fn read_body<R: Read>(
    reader: &mut SnapshotReader<R>,
    length: u64,
) -> Result<Vec<u8>, SnapshotError> {
    if length > email_engine_protocol::limits::BODY_BYTES {
        return Err(SnapshotError::Damaged("a body is over the cap"));
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let Record::Piece(piece) = reader.next()? else {
            return Err(SnapshotError::Damaged("records are out of order"));
        };
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn decode_state(version: u32, bytes: &[u8]) -> Result<FleetState, SnapshotError> {
    match version {
        1 => postcard::from_bytes(bytes)
            .map_err(|_| SnapshotError::Damaged("the state does not decode")),
        got => Err(SnapshotError::Version {
            what: "state",
            got,
            known: STATE_VERSION,
        }),
    }
}

/// Loads a snapshot and stores those of its bodies that are not stored yet.
pub(super) fn load_into(
    snapshot: &SnapshotFile,
    bodies: &Bodies,
    writer: &WriterHandle,
) -> Result<Image, SnapshotError> {
    let mut waiting = Vec::new();
    let mut bytes = 0;
    let stored = bodies.hashes()?;
    let image = load(snapshot.reader(), |hash, body| {
        if stored.contains(&hash) {
            return Ok(());
        }
        bytes += body.len();
        waiting.push(BodyWrite::Put(hash, body));
        if bytes >= BODIES_BYTES {
            bytes = 0;
            return writer.write_bodies_blocking(std::mem::take(&mut waiting));
        }
        Ok(())
    })?;
    writer.write_bodies_blocking(waiting)?;
    Ok(image)
}

/// Takes a received snapshot over: its bodies, its file, and then its state.
pub(super) fn install(
    files: &SnapshotFiles,
    bodies: &Bodies,
    writer: &WriterHandle,
    meta: &SnapshotMeta,
    snapshot: &SnapshotFile,
) -> io::Result<Image> {
    // What a sweep queued is gone before it is looked which bodies are there.
    writer.flush_blocking()?;
    let image = load_into(snapshot, bodies, writer)?;
    if image.meta() != *meta {
        return Err(SnapshotError::Damaged("it is another one than was announced").into());
    }
    writer.flush_blocking()?;
    files.adopt(meta, snapshot.path())?;
    Ok(image)
}

/// The newest good snapshot of a folder, and why newer ones were passed over.
pub(crate) fn newest(
    files: &SnapshotFiles,
    bodies: &Bodies,
    writer: &WriterHandle,
) -> io::Result<Option<Image>> {
    for path in files.candidates()? {
        let snapshot = SnapshotFile::open(path.clone())?;
        match load_into(&snapshot, bodies, writer) {
            Ok(image) => {
                files.adopt(&image.meta(), &path)?;
                return Ok(Some(image));
            }
            Err(error) => tracing::error!(path = %path.display(), %error, "snapshot passed over"),
        }
    }
    Ok(None)
}
