//! Building, loading and installing snapshots.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use bytes::Bytes;
use openraft::storage::RaftSnapshotBuilder;

use email_engine_protocol::bytes::ContentHash;

use super::files::{SnapshotFile, SnapshotFiles};
use super::format::{Header, Record, SnapshotError, SnapshotReader, SnapshotWriter};
use super::replica::{Image, Replica};
use crate::raft::store::{
    Bodies, BodyWrite, LostBody, Row, Rows, Series, SeriesWrite, Standing, WriterHandle, is_row,
};
use crate::raft::types::{Snapshot, SnapshotMeta, Types};
use crate::state::{self, DecodeError, FleetState, TABLES_VERSION};

/// Longest pause between attempts that found bodies lost.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Before series are looked at again that were further than the state.
const CATCH_UP: Duration = Duration::from_millis(20);
/// Bodies that are stored in one write.
const BODIES_BYTES: usize = 8 * 1024 * 1024;

/// Builds a snapshot from a copy of the state, apart from `apply`.
#[derive(Debug)]
pub(crate) struct SnapshotBuilder {
    pub(super) image: Image,
    pub(super) replica: Arc<Replica>,
    pub(super) writer: WriterHandle,
    pub(super) bodies: Bodies,
    pub(super) series: Series,
    pub(super) files: Arc<SnapshotFiles>,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let mut image = std::mem::take(&mut self.image);
        let mut pauses = pauses();
        loop {
            let lost = match self.attempt(image).await? {
                Attempt::Built(snapshot) => return Ok(snapshot),
                Attempt::Late => {
                    // After a start the log may still have to be applied up to them.
                    tokio::time::sleep(CATCH_UP).await;
                    image = self.replica.settled().await;
                    continue;
                }
                Attempt::Lost(lost) => lost,
            };
            // An error of a snapshot ends the node. It lives without one until the bodies are back, or
            // needed no more.
            if !self.look_after(&lost).await {
                let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
                tracing::error!(
                    bodies = lost.len(),
                    ?pause,
                    "no snapshot without lost bodies"
                );
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.bodies.forsaken() => return Err(stopping()),
                }
            }
            image = self.replica.settled().await;
        }
    }
}

/// Between attempts that found a body lost which nobody could give.
fn pauses() -> impl Iterator<Item = Duration> + Send {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}

/// Nobody minds this error any more.
fn stopping() -> io::Error {
    io::Error::other("the node stops before a lost body came back")
}

/// What came of an attempt.
enum Attempt {
    Built(Snapshot),
    /// Series are further than the copy of the state by now.
    Late,
    /// These bodies are lost, as far as this disk goes.
    Lost(Vec<ContentHash>),
}

impl SnapshotBuilder {
    async fn attempt(&self, image: Image) -> io::Result<Attempt> {
        let (replica, writer) = (Arc::clone(&self.replica), self.writer.clone());
        let (bodies, files) = (self.bodies.clone(), Arc::clone(&self.files));
        let series = self.series.clone();
        let attempt = tokio::task::spawn_blocking(move || {
            let Some(rows) = series.rows_after(image.index())? else {
                return Ok(Attempt::Late);
            };
            let (file, unfinished) = files.begin()?;
            let written = write_image(
                BufWriter::new(file),
                &image,
                |hash| bodies.whole(hash),
                rows,
            );
            let file = match written {
                Ok(file) => file.into_inner().map_err(io::IntoInnerError::into_error)?,
                Err(WriteError::Lost(_)) => {
                    let needed = image.fleet.bodies.keys();
                    let lost = needed.filter(|hash| bodies.whole(hash).is_err());
                    return Ok(Attempt::Lost(lost.copied().collect()));
                }
                Err(WriteError::Io(error)) => return Err(error),
            };
            file.sync_all()?;
            // Bodies that only unflushed writes brought must outlive the log that brought them.
            writer.flush_blocking()?;
            let snapshot = files.adopt(&image.meta(), unfinished.path())?;
            sweep(&image.fleet, &replica, &writer, &bodies)?;
            Ok(Attempt::Built(snapshot))
        });
        attempt.await.map_err(io::Error::other)?
    }

    /// True when all of them are back.
    async fn look_after(&self, lost: &[ContentHash]) -> bool {
        let mut all = true;
        for hash in lost {
            self.bodies.look_after(*hash).await;
            let (bodies, hash) = (self.bodies.clone(), *hash);
            let whole = tokio::task::spawn_blocking(move || bodies.whole(&hash).is_ok());
            all &= whole.await.unwrap_or(false);
        }
        all
    }
}

/// Why an image was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// A body that it needs is lost.
    #[error(transparent)]
    Lost(#[from] LostBody),
    /// It cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Lost(lost) => lost.into(),
            WriteError::Io(error) => error,
        }
    }
}

/// Writes a whole snapshot, with bodies from wherever they are and the series as they stand after its
/// last entry.
pub(crate) fn write_image<W: Write>(
    to: W,
    image: &Image,
    body: impl Fn(&ContentHash) -> Result<Bytes, LostBody>,
    series: Rows<'_>,
) -> Result<W, WriteError> {
    let header = Header {
        cluster: image.fleet.cluster.as_ref().map(|cluster| cluster.id),
        state_version: TABLES_VERSION,
        meta: image.meta(),
    };
    let mut writer = SnapshotWriter::new(to, &header)?;
    writer.state(&state::encode(&image.fleet))?;
    for hash in image.fleet.bodies.keys() {
        writer.body(hash, &body(hash)?)?;
    }
    for rows in series {
        writer.series(&rows?)?;
    }
    Ok(writer.finish()?)
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
    let stored = match bodies.hashes() {
        Ok(stored) => stored,
        Err(error) => {
            // What is needless only takes room; what is damaged is found by whoever needs it.
            tracing::warn!(%error, "needless bodies stay: the stored ones cannot be listed");
            return Ok(());
        }
    };
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

/// Reads a whole snapshot, handing every body and all series on, and checks that nothing is missing
/// from it.
pub(crate) fn load<R: Read>(
    from: R,
    mut body: impl FnMut(ContentHash, Vec<u8>) -> io::Result<()>,
    mut series: impl FnMut(Vec<Row>) -> io::Result<()>,
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
            Record::Series(rows) => series(sound(rows)?)?,
            Record::End(_) => break,
            Record::Header(_) | Record::Piece(_) => {
                return Err(SnapshotError::Damaged("records are out of order"));
            }
        }
    }
    let fleet = decode_state(header.state_version, &state)?;
    has_all(&fleet, &seen)?;
    Ok(Image {
        fleet,
        last_applied: header.meta.last_log_id,
        membership: header.meta.last_membership,
    })
}

/// Reads a snapshot through, taking nothing from it: it is good, and the one that was announced.
pub(crate) fn is_whole(snapshot: &SnapshotFile, meta: &SnapshotMeta) -> Result<(), SnapshotError> {
    let image = load(snapshot.reader(), |_, _| Ok(()), |_| Ok(()))?;
    if image.meta() == *meta {
        Ok(())
    } else {
        Err(SnapshotError::Damaged(
            "it is another one than was announced",
        ))
    }
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
    let mut seen = BTreeSet::new();
    while let Record::Body(hash, length) = record {
        let bytes = read_body(&mut reader, length)?;
        if ContentHash::of(&bytes) != hash {
            return Err(SnapshotError::Damaged("a body does not have its hash"));
        }
        writer.body(&hash, &bytes)?;
        seen.insert(hash);
        record = reader.next()?;
    }
    while let Record::Series(rows) = record {
        writer.series(&sound(rows)?)?;
        record = reader.next()?;
    }
    if !matches!(record, Record::End(_)) {
        return Err(SnapshotError::Damaged("records are out of order"));
    }
    has_all(&fleet, &seen)?;
    let image = Image {
        fleet,
        last_applied: header.meta.last_log_id,
        membership: header.meta.last_membership,
    };
    Ok((writer.finish()?, image))
}

/// Rows of series, each of which is one.
fn sound(rows: Vec<Row>) -> Result<Vec<Row>, SnapshotError> {
    if rows.iter().all(is_row) {
        Ok(rows)
    } else {
        Err(SnapshotError::Damaged("a row of series is none"))
    }
}

/// Whether every body that the state needs was seen.
fn has_all(fleet: &FleetState, seen: &BTreeSet<ContentHash>) -> Result<(), SnapshotError> {
    if fleet.bodies.keys().all(|hash| seen.contains(hash)) {
        Ok(())
    } else {
        Err(SnapshotError::Damaged("a body is missing"))
    }
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
    state::decode(version, bytes).map_err(|error| match error {
        DecodeError::Version { got, newest } => SnapshotError::Version {
            what: "state",
            got,
            known: newest,
        },
        DecodeError::Unreleased { .. } => {
            SnapshotError::Damaged("the state is from before the first release")
        }
        DecodeError::Damaged(_) => SnapshotError::Damaged("the state does not decode"),
        DecodeError::Trailing(_) => SnapshotError::Damaged("bytes stand behind the state"),
    })
}

/// A body as a snapshot holds it, when that part of the snapshot is good.
pub(crate) fn body_in<R: Read>(from: R, wanted: ContentHash) -> Result<Vec<u8>, SnapshotError> {
    let mut reader = SnapshotReader::new(from)?;
    loop {
        match reader.next()? {
            Record::Body(hash, length) => {
                let bytes = read_body(&mut reader, length)?;
                if hash == wanted && ContentHash::of(&bytes) == wanted {
                    return Ok(bytes);
                }
            }
            Record::End(_) => return Err(SnapshotError::Damaged("a body is missing")),
            Record::Header(_) | Record::Series(_) | Record::State(_) | Record::Piece(_) => {}
        }
    }
}

/// What a node stores beside its log, and the way to change it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) bodies: &'a Bodies,
    pub(crate) series: &'a Series,
    pub(crate) writer: &'a WriterHandle,
}

/// Loads a snapshot and stores those of its bodies that are not stored whole, and its series unless this
/// node's are as far.
pub(super) fn load_into(
    snapshot: &SnapshotFile,
    stored: Stored<'_>,
) -> Result<Image, SnapshotError> {
    let Stored {
        bodies,
        series,
        writer,
    } = stored;
    let mut waiting = Vec::new();
    let mut bytes = 0;
    let Record::Header(header) = SnapshotReader::new(snapshot.reader())?.next()? else {
        return Err(SnapshotError::Damaged("it does not begin with its header"));
    };
    let last = header.meta.last_log_id.map_or(0, |id| id.index);
    let wants_series = match series.standing()? {
        Standing::At(applied) => applied < last,
        // Of one that came halfway nothing is of use.
        Standing::Empty | Standing::Loading => true,
    };
    if wants_series {
        writer.write_series_blocking(SeriesWrite {
            clear: true,
            is_loading: true,
            ..SeriesWrite::default()
        })?;
    }
    let body = |hash, body: Vec<u8>| {
        if bodies.whole(&hash).is_ok() {
            return Ok(());
        }
        bytes += body.len();
        waiting.push(BodyWrite::Put(hash, body));
        if bytes >= BODIES_BYTES {
            bytes = 0;
            return writer.write_bodies_blocking(std::mem::take(&mut waiting));
        }
        Ok(())
    };
    let put = |put: Vec<Row>| {
        if !wants_series {
            return Ok(());
        }
        writer.write_series_blocking(SeriesWrite {
            put,
            ..SeriesWrite::default()
        })
    };
    let image = load(snapshot.reader(), body, put)?;
    writer.write_bodies_blocking(waiting)?;
    if wants_series {
        writer.write_series_blocking(SeriesWrite {
            applied: Some(last),
            ..SeriesWrite::default()
        })?;
    }
    Ok(image)
}

/// Takes a received snapshot over: its bodies, its file, and then its state.
pub(super) fn install(
    files: &SnapshotFiles,
    stored: Stored<'_>,
    meta: &SnapshotMeta,
    snapshot: &SnapshotFile,
) -> io::Result<Image> {
    // What a sweep queued is gone before it is looked which bodies are there.
    stored.writer.flush_blocking()?;
    let image = load_into(snapshot, stored)?;
    if image.meta() != *meta {
        return Err(SnapshotError::Damaged("it is another one than was announced").into());
    }
    stored.writer.flush_blocking()?;
    files.adopt(meta, snapshot.path())?;
    Ok(image)
}

/// The newest good snapshot of a folder, and why newer ones were passed over.
pub(crate) fn newest(files: &SnapshotFiles, stored: Stored<'_>) -> io::Result<Option<Image>> {
    for path in files.candidates()? {
        let snapshot = SnapshotFile::open(path.clone())?;
        match load_into(&snapshot, stored) {
            Ok(image) => {
                files.adopt(&image.meta(), &path)?;
                return Ok(Some(image));
            }
            Err(error) => tracing::error!(path = %path.display(), %error, "snapshot passed over"),
        }
    }
    if stored.series.standing()? == Standing::Loading {
        // Rows of a snapshot that came halfway: the log brings all of them.
        stored.writer.write_series_blocking(SeriesWrite {
            clear: true,
            ..SeriesWrite::default()
        })?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::ClusterId;

    use super::*;
    use crate::state::BodyRecord;

    /// A snapshot of a state that needs a body.
    fn snapshot(body: Option<&[u8]>) -> Vec<u8> {
        let mut fleet = FleetState::default();
        let (length, references) = (4, 1);
        let record = BodyRecord { length, references };
        fleet.bodies.insert(ContentHash::of(b"body"), record);
        let header = Header {
            cluster: Some(ClusterId([1; 16])),
            state_version: TABLES_VERSION,
            meta: SnapshotMeta::default(),
        };
        let mut writer = SnapshotWriter::new(Vec::new(), &header).unwrap();
        writer.state(&state::encode(&fleet)).unwrap();
        if let Some(body) = body {
            writer.body(&ContentHash::of(body), body).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_snapshot_without_a_body_that_its_state_needs_is_neither_loaded_nor_rewritten() {
        let rewritten = |bytes: &[u8]| {
            let reader = SnapshotReader::new(bytes)?;
            rewrite(reader, Vec::new(), |_, _| {}).map(|(written, _)| written)
        };
        let good = snapshot(Some(b"body"));
        assert_eq!(rewritten(&good).unwrap(), good);
        for lacking in [snapshot(None), snapshot(Some(b"another"))] {
            assert!(load(&lacking[..], |_, _| Ok(()), |_| Ok(())).is_err());
            let refused = rewritten(&lacking).unwrap_err().to_string();
            assert!(refused.contains("a body is missing"), "{refused}");
        }
    }
}
