//! The snapshot format: one stream of checked records, the same on disk, between nodes and (sealed)
//! in backups. No files here: any reader, any writer.
//!
//! ```text
//! magic 8 | version u32 | records ... | end
//! record: kind u8 | length u32 | payload | crc32c u32     (numbers big endian)
//! ```
//! Records in order: one header, the state in pieces, the bodies in pieces (each with its hash and
//! length in front), since version 2 the rows of series in pieces, one end with the totals and the SHA-256
//! of all bytes before it.

use std::io::{self, Read, Write};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::ClusterId;

use crate::raft::store::Row;
use crate::raft::types::SnapshotMeta;

const MAGIC: [u8; 8] = *b"EE-SNAP\n";
/// Version of this format. Readers of a newer version read older ones.
const VERSION: u32 = 2;
/// Largest record.
const RECORD_BYTES: usize = 1024 * 1024;
const RECORD_LIMIT: usize = RECORD_BYTES + 64;

/// What stands in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Whose state it is; absent before the first command.
    pub(crate) cluster: Option<ClusterId>,
    /// Version of the state's tables.
    pub(crate) state_version: u32,
    /// Position and membership.
    pub(crate) meta: SnapshotMeta,
}

/// What stands at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Bytes of state.
    pub(crate) state_bytes: u64,
    /// Number of bodies.
    pub(crate) bodies: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    totals: Totals,
    sha256: [u8; 32],
}

/// A record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The header.
    Header(Header),
    /// A piece of the state.
    State(Vec<u8>),
    /// A new body of this many bytes begins.
    Body(ContentHash, u64),
    /// A piece of the body.
    Piece(Vec<u8>),
    /// Some rows of series.
    Series(Vec<Row>),
    /// The whole was read and is good.
    End(Totals),
}

/// Why bytes are not a snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// They cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something else.
    #[error("not a snapshot of Email-Engine")]
    Magic,
    /// Of a version that this program does not know.
    #[error("snapshot is of {what} version {got}, this program reads up to {known}")]
    Version {
        /// Which version.
        what: &'static str,
        /// The snapshot's.
        got: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Changed, cut or mixed up.
    #[error("snapshot is damaged: {0}")]
    Damaged(&'static str),
}

impl From<SnapshotError> for io::Error {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

const HEADER: u8 = 1;
const STATE: u8 = 2;
const BODY: u8 = 3;
const PIECE: u8 = 4;
const END: u8 = 5;
const SERIES: u8 = 6;

/// Writes a snapshot.
pub(crate) struct SnapshotWriter<W> {
    to: W,
    hash: Context,
    totals: Totals,
}

impl<W: Write> SnapshotWriter<W> {
    /// Begins one.
    pub(crate) fn new(to: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            to,
            hash: Context::new(&SHA256),
            totals: Totals::default(),
        };
        writer.put(&MAGIC)?;
        writer.put(&VERSION.to_be_bytes())?;
        writer.record(HEADER, &encode(header))?;
        Ok(writer)
    }

    /// Writes the state.
    pub(crate) fn state(&mut self, state: &[u8]) -> io::Result<()> {
        self.totals.state_bytes += state.len() as u64;
        state
            .chunks(RECORD_BYTES)
            .try_for_each(|piece| self.record(STATE, piece))
    }

    /// Writes a body.
    pub(crate) fn body(&mut self, hash: &ContentHash, bytes: &[u8]) -> io::Result<()> {
        self.totals.bodies += 1;
        self.record(BODY, &encode(&(hash, bytes.len() as u64)))?;
        bytes
            .chunks(RECORD_BYTES)
            .try_for_each(|piece| self.record(PIECE, piece))
    }

    /// Writes some rows of series.
    pub(crate) fn series(&mut self, rows: &[Row]) -> io::Result<()> {
        self.record(SERIES, &encode(&rows))
    }

    /// Ends it; what was written to comes back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.clone().finish().as_ref());
        let totals = self.totals;
        self.record(END, &encode(&End { totals, sha256 }))?;
        Ok(self.to)
    }

    fn record(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        self.put(&[kind])?;
        self.put(&length.to_be_bytes())?;
        self.put(payload)?;
        self.put(&crc32c::crc32c(payload).to_be_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("a snapshot record serialises")
}

/// Reads a snapshot record by record. Nothing is good before [`Record::End`] was read.
pub(crate) struct SnapshotReader<R> {
    from: R,
    hash: Context,
    totals: Totals,
    /// Bytes of the body that is being read which are still to come.
    due: u64,
    began: bool,
}

impl<R: Read> SnapshotReader<R> {
    /// Begins to read one.
    pub(crate) fn new(mut from: R) -> Result<Self, SnapshotError> {
        let mut head = [0; 12];
        from.read_exact(&mut head).map_err(cut)?;
        let (magic, version) = head.split_at(8);
        if magic != MAGIC {
            return Err(SnapshotError::Magic);
        }
        let got = u32::from_be_bytes(version.try_into().expect("4 of 12 bytes"));
        if !(1..=VERSION).contains(&got) {
            return Err(SnapshotError::Version {
                what: "format",
                got,
                known: VERSION,
            });
        }
        let mut hash = Context::new(&SHA256);
        hash.update(&head);
        Ok(Self {
            from,
            hash,
            totals: Totals::default(),
            due: 0,
            began: false,
        })
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> Result<Record, SnapshotError> {
        let before = self.hash.clone();
        let mut head = [0; 5];
        self.read(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        if length > RECORD_LIMIT {
            return Err(SnapshotError::Damaged("a record is over the cap"));
        }
        let mut payload = vec![0; length];
        self.read(&mut payload)?;
        let mut sum = [0; 4];
        self.read(&mut sum)?;
        if crc32c::crc32c(&payload) != u32::from_be_bytes(sum) {
            return Err(SnapshotError::Damaged("a checksum does not fit"));
        }
        self.judge(kind, payload, before)
    }

    fn judge(
        &mut self,
        kind: u8,
        payload: Vec<u8>,
        before: Context,
    ) -> Result<Record, SnapshotError> {
        if (kind == HEADER) == self.began || (kind == PIECE) != (self.due > 0) {
            return Err(SnapshotError::Damaged("records are out of order"));
        }
        match kind {
            HEADER => {
                self.began = true;
                Ok(Record::Header(decode(&payload)?))
            }
            STATE => {
                self.totals.state_bytes += payload.len() as u64;
                Ok(Record::State(payload))
            }
            BODY => {
                let (hash, length) = decode(&payload)?;
                self.totals.bodies += 1;
                self.due = length;
                Ok(Record::Body(hash, length))
            }
            PIECE => {
                let length = payload.len() as u64;
                let over = SnapshotError::Damaged("a body is longer than it says");
                self.due = self.due.checked_sub(length).ok_or(over)?;
                Ok(Record::Piece(payload))
            }
            SERIES => Ok(Record::Series(decode(&payload)?)),
            END => {
                let end: End = decode(&payload)?;
                if end.totals != self.totals || end.sha256 != *before.finish().as_ref() {
                    return Err(SnapshotError::Damaged("the whole does not have its hash"));
                }
                Ok(Record::End(end.totals))
            }
            _ => Err(SnapshotError::Damaged("a record is of no known kind")),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        self.from.read_exact(bytes).map_err(cut)?;
        self.hash.update(bytes);
        Ok(())
    }
}

fn cut(error: io::Error) -> SnapshotError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        SnapshotError::Damaged("it is cut")
    } else {
        SnapshotError::Io(error)
    }
}

fn decode<T: for<'a> Deserialize<'a>>(payload: &[u8]) -> Result<T, SnapshotError> {
    postcard::from_bytes(payload).map_err(|_| SnapshotError::Damaged("a record does not decode"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let header = Header {
            cluster: Some(ClusterId([1; 16])),
            state_version: 1,
            meta: SnapshotMeta::default(),
        };
        let mut writer = SnapshotWriter::new(Vec::new(), &header).unwrap();
        writer.state(b"tables").unwrap();
        for body in [&b"one"[..], b"", b"three"] {
            writer.body(&ContentHash::of(body), body).unwrap();
        }
        let rows = [(b"key".to_vec(), b"value".to_vec())];
        writer.series(&rows).unwrap();
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Record>, SnapshotError> {
        let mut reader = SnapshotReader::new(bytes)?;
        let mut records = Vec::new();
        while !matches!(records.last(), Some(Record::End(_))) {
            records.push(reader.next()?);
        }
        Ok(records)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let records = read(&sample()).unwrap();
        assert_eq!(records.len(), 9);
        assert_eq!(records[1], Record::State(b"tables".to_vec()));
        assert_eq!(records[3], Record::Piece(b"one".to_vec()));
        assert_eq!(
            records[7],
            Record::Series(vec![(b"key".to_vec(), b"value".to_vec())])
        );
        assert!(matches!(records[8], Record::End(Totals { bodies: 3, .. })));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_seen() {
        let good = sample();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(read(&bad).is_err(), "byte {at}");
            assert!(read(&good[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut newer = sample();
        newer[11] = 9;
        let error = read(&newer).unwrap_err().to_string();
        assert!(error.contains("format version 9"), "{error}");
    }
}
