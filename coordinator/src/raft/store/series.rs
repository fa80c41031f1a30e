//! Series of counts, in a column family of their own.
//!
//! The family holds the index of the last entry whose changes are in it, written in the same batch as they
//! are: an entry that is applied again, after a crash or behind a snapshot, adds nothing twice. An iterator
//! sees the family as it was when it was opened, that index included, so that a snapshot reads rows and
//! index of one moment while the log goes on. While a snapshot's rows are loaded a mark stands in the
//! index's place, written in one batch with the end of what was there before: whoever reads meanwhile, or
//! after a crash, finds no part of the rows taken for all of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use rocksdb::{Direction, IteratorMode, WriteBatch};

use email_engine_protocol::id::ReceiverGroup;
use email_engine_protocol::observed::Counts;

use super::database::{Database, damaged};
use crate::state::{SeriesChange, SeriesKey, Span, Subject};

/// Key of the index; before all rows, whose keys begin with the kind of their span.
const APPLIED: &[u8] = &[0];
/// What stands there while a snapshot is loaded.
const LOADING: &[u8] = b"loading";
/// Behind all rows.
const END: &[u8] = &[0xff];
/// Most bytes of rows that are handed on at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A row as it is stored.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// How far the stored series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No entry has changed them.
    Empty,
    /// A snapshot's rows are being written: some are there, or none.
    Loading,
    /// All changes up to this entry are in.
    At(u64),
}

impl Standing {
    fn read(stored: Option<&[u8]>) -> io::Result<Self> {
        match stored {
            None => Ok(Self::Empty),
            Some(LOADING) => Ok(Self::Loading),
            Some(index) => {
                let index = index.try_into();
                let index = index.map_err(|_| damaged("the index of series is damaged"))?;
                Ok(Self::At(u64::from_be_bytes(index)))
            }
        }
    }
}

/// A change of the stored series, as the writer carries it out: in this order.
#[derive(Debug, Default)]
pub(crate) struct SeriesWrite {
    /// Everything goes first, the index included.
    pub(crate) clear: bool,
    /// A snapshot's rows come from here on, until an index is written.
    pub(crate) is_loading: bool,
    /// Keys from the first up to and without the second go.
    pub(crate) drop: Vec<(Vec<u8>, Vec<u8>)>,
    /// Rows take these values.
    pub(crate) put: Vec<Row>,
    /// All changes up to this entry are in.
    pub(crate) applied: Option<u64>,
}

impl SeriesWrite {
    pub(super) fn add_to(&self, batch: &mut WriteBatch, database: &Database) {
        let family = database.series();
        if self.clear {
            batch.delete_range_cf(family, APPLIED, END);
        }
        if self.is_loading {
            batch.put_cf(family, APPLIED, LOADING);
        }
        for (from, to) in &self.drop {
            batch.delete_range_cf(family, from, to);
        }
        for (key, value) in &self.put {
            batch.put_cf(family, key, value);
        }
        if let Some(applied) = self.applied {
            batch.put_cf(family, APPLIED, applied.to_be_bytes());
        }
    }
}

/// Reads series. A cheap clone.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(super) database: Arc<Database>,
}

impl Series {
    /// How far they are.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        let found = self.database.get(self.database.series(), APPLIED)?;
        Standing::read(found.as_deref())
    }

    /// What an entry's changes come to, for the writer; nothing when they are in already.
    pub(crate) fn resolve(
        &self,
        entry: u64,
        changes: Vec<SeriesChange>,
    ) -> io::Result<Option<SeriesWrite>> {
        match self.standing()? {
            Standing::At(applied) if applied >= entry => return Ok(None),
            Standing::Loading => return Err(loading()),
            Standing::At(_) | Standing::Empty => {}
        }
        let mut write = SeriesWrite {
            applied: Some(entry),
            ..SeriesWrite::default()
        };
        for change in changes {
            match change {
                SeriesChange::Add(rows) => {
                    for (key, counts) in rows {
                        write.put.push(self.added(&key, &counts)?);
                    }
                }
                SeriesChange::Prune { day, hour } => {
                    for first in [Span::Day(day), Span::Hour(hour)] {
                        let [kind, ..] = first.bytes()[..] else {
                            continue;
                        };
                        write.drop.push((vec![kind], first.bytes()));
                    }
                }
            }
        }
        Ok(Some(write))
    }

    fn added(&self, key: &SeriesKey, counts: &Counts) -> io::Result<Row> {
        let key = key.bytes();
        let known = self.database.get(self.database.series(), &key)?;
        let mut total = match known {
            Some(value) => decode(&value)?,
            None => Counts::NONE,
        };
        total.add(counts);
        Ok((key, encode(&total)))
    }

    /// The counts of one subject in some spans, which must be of one kind, by span and group.
    pub(crate) fn of(
        &self,
        subject: &Subject,
        spans: impl Iterator<Item = Span>,
    ) -> io::Result<Vec<(Span, BTreeMap<ReceiverGroup, Counts>)>> {
        let mut found = Vec::new();
        let mut cursor = self.database.raw_series();
        cursor.seek(APPLIED);
        if cursor.item() == Some((APPLIED, LOADING)) {
            return Err(loading());
        }
        for span in spans {
            let prefix = subject.prefix(span);
            let mut groups = BTreeMap::new();
            cursor.seek(&prefix);
            while let Some((key, value)) = cursor.item() {
                let Some(group) = key.strip_prefix(&prefix[..]) else {
                    break;
                };
                let group = std::str::from_utf8(group).ok();
                let group = group.and_then(|name| ReceiverGroup::new(name).ok());
                let group = group.ok_or_else(|| damaged("a row of series has a damaged key"))?;
                groups.insert(group, decode(value)?);
                cursor.next();
            }
            cursor.status().map_err(io::Error::other)?;
            if !groups.is_empty() {
                found.push((span, groups));
            }
        }
        Ok(found)
    }

    /// All rows as they stand after this entry; none when a later one changed them already, and while they
    /// are loaded.
    pub(crate) fn rows_after(&self, entry: u64) -> io::Result<Option<Rows<'_>>> {
        let mode = IteratorMode::From(APPLIED, Direction::Forward);
        let mut items = self
            .database
            .iterate(self.database.series(), mode)
            .peekable();
        let standing = match items.peek() {
            Some(Ok((key, value))) if **key == *APPLIED => Standing::read(Some(value))?,
            _ => Standing::Empty,
        };
        let is_late = match standing {
            Standing::Empty => false,
            Standing::Loading => true,
            Standing::At(applied) => applied > entry,
        };
        if standing != Standing::Empty {
            items.next();
        }
        let rows = Rows {
            items: Box::new(items),
        };
        Ok((!is_late).then_some(rows))
    }
}

/// A row as the database reads it.
type Read = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>;

/// All rows, of one moment.
pub(crate) struct Rows<'a> {
    items: Box<dyn Iterator<Item = Read> + 'a>,
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}

impl Iterator for Rows<'_> {
    type Item = io::Result<Vec<Row>>;

    /// The next rows, a bounded number of them.
    fn next(&mut self) -> Option<Self::Item> {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES {
            match self.items.next() {
                None => break,
                Some(Err(error)) => return Some(Err(io::Error::other(error))),
                Some(Ok((key, value))) => {
                    bytes += key.len() + value.len();
                    chunk.push((key.into_vec(), value.into_vec()));
                }
            }
        }
        (!chunk.is_empty()).then_some(Ok(chunk))
    }
}

/// Whether a row from elsewhere is one.
pub(crate) fn is_row((key, value): &Row) -> bool {
    APPLIED < &key[..] && &key[..] < END && decode(value).is_ok()
}

fn loading() -> io::Error {
    io::Error::other("the series of a snapshot are being loaded")
}

/// A checksum in front, so that damage is seen and never added to.
fn encode(counts: &Counts) -> Vec<u8> {
    let mut value = postcard::to_extend(counts, vec![0; 4]).expect("counts serialise");
    let sum = crc32c::crc32c(&value[4..]).to_be_bytes();
    value[..4].copy_from_slice(&sum);
    value
}

fn decode(value: &[u8]) -> io::Result<Counts> {
    let read = value.split_first_chunk::<4>().and_then(|(sum, body)| {
        let is_whole = crc32c::crc32c(body) == u32::from_be_bytes(*sum);
        is_whole.then(|| postcard::from_bytes(body).ok()).flatten()
    });
    read.ok_or_else(|| damaged("a row of series is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_byte_of_a_row_is_seen() {
        let counts = Counts {
            sent: 700,
            delivered: 5,
            ..Counts::NONE
        };
        let good = encode(&counts);
        assert_eq!(decode(&good).unwrap(), counts);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(decode(&bad).is_err(), "byte {at}");
            assert!(decode(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
