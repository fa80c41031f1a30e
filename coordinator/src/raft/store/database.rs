//! The RocksDB database: opening it, checking what it recovered, reading from it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBIterator, DBRawIterator,
    IteratorMode, Options, WriteBatch,
};
use tokio::sync::{mpsc, oneshot};

use email_engine_protocol::bytes::ContentHash;

use super::record::{self, RecordError};
use super::slots::Mark;
use crate::raft::types::{Entry, LogId};

const LOG: &str = "log";
const META: &str = "meta";
const BODIES: &str = "bodies";
const SERIES: &str = "series";

/// Key of the last purged log id.
pub(super) const PURGED: &[u8] = b"purged";
/// Key of the last committed log id that was seen.
pub(super) const COMMITTED: &[u8] = b"committed";

/// Why a node's store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// RocksDB does not open.
    #[error("database does not open: {0}")]
    Database(#[from] rocksdb::Error),
    /// A record is damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An entry in the middle is missing.
    #[error("log entry {missing} is missing")]
    Hole {
        /// Which.
        missing: u64,
    },
    /// A mark does not decode.
    #[error("the mark {0:?} does not decode")]
    Meta(&'static str),
    /// The log ends before what this node acknowledged: it must not vote again.
    #[error("the log ends at {last:?}, but this node had acknowledged up to {mark:?}")]
    TailLost {
        /// Where it ends.
        last: Option<Mark>,
        /// What was acknowledged.
        mark: Mark,
    },
}

/// What the database held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Last purged log id.
    pub(crate) purged: Option<LogId>,
    /// Last log id, purged ones included.
    pub(crate) last: Option<LogId>,
    /// Last committed log id that was seen.
    pub(crate) committed: Option<LogId>,
}

/// The open database.
pub(super) struct Database {
    db: DB,
    /// Dropped behind the database, which takes a while to close: its folder is free only then.
    pub(super) open: Arc<()>,
    /// They hold the database's own figures.
    #[cfg(test)]
    options: Options,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database")
    }
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_keep_log_file_num(4);
        #[cfg(test)]
        options.enable_statistics();
        let mut bodies = Options::default();
        // Large and content-addressed: blob files spare them from being rewritten by compaction.
        bodies.set_enable_blob_files(true);
        bodies.set_min_blob_size(4096);
        bodies.set_enable_blob_gc(true);
        let mut series = Options::default();
        // Many small rows that look alike.
        series.set_compression_type(DBCompressionType::Lz4);
        let families = [
            ColumnFamilyDescriptor::new(LOG, Options::default()),
            ColumnFamilyDescriptor::new(META, Options::default()),
            ColumnFamilyDescriptor::new(BODIES, bodies),
            ColumnFamilyDescriptor::new(SERIES, series),
        ];
        let db = DB::open_cf_descriptors(&options, path, families)?;
        let open = Arc::new(());
        Ok(Self {
            db,
            open,
            #[cfg(test)]
            options,
        })
    }

    /// How often the database had its log of writes flushed to the disk, by its own count.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> u64 {
        let synced = rocksdb::statistics::Ticker::WalFileSynced;
        self.options.get_ticker_count(synced)
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.db
            .cf_handle(name)
            .expect("all column families are made at open")
    }

    pub(super) fn log(&self) -> &ColumnFamily {
        self.family(LOG)
    }

    pub(super) fn meta(&self) -> &ColumnFamily {
        self.family(META)
    }

    pub(super) fn bodies(&self) -> &ColumnFamily {
        self.family(BODIES)
    }

    pub(super) fn series(&self) -> &ColumnFamily {
        self.family(SERIES)
    }

    pub(super) fn get(&self, family: &ColumnFamily, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.db.get_cf(family, key).map_err(io::Error::other)
    }

    pub(super) fn iterate(&self, family: &ColumnFamily, mode: IteratorMode<'_>) -> DBIterator<'_> {
        self.db.iterator_cf(family, mode)
    }

    pub(super) fn raw_series(&self) -> DBRawIterator<'_> {
        self.db.raw_iterator_cf(self.series())
    }

    pub(super) fn write(&self, batch: WriteBatch, sync: bool) -> io::Result<()> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options).map_err(io::Error::other)
    }

    /// Reads every record of the log once: a damaged one is found now, not when a peer needs it.
    pub(super) fn recover(&self) -> Result<Recovered, OpenError> {
        let purged = self.meta_value(PURGED, "purged")?;
        let committed = self.meta_value(COMMITTED, "committed")?;
        let mut last: Option<LogId> = purged;
        let mut expected = purged.map_or(0, |id| id.index + 1);
        for item in self.scan(expected) {
            let (index, entry) = item?;
            if expected != index {
                return Err(OpenError::Hole { missing: expected });
            }
            expected = index + 1;
            last = Some(entry.log_id);
        }
        Ok(Recovered {
            purged,
            last,
            committed,
        })
    }

    fn meta_value(&self, key: &[u8], name: &'static str) -> Result<Option<LogId>, OpenError> {
        let Some(bytes) = self.db.get_pinned_cf(self.meta(), key)? else {
            return Ok(None);
        };
        postcard::from_bytes(&bytes).map_err(|_| OpenError::Meta(name))
    }

    fn scan(&self, from: u64) -> impl Iterator<Item = Result<(u64, Entry), OpenError>> + '_ {
        let start = record::key(from);
        let mode = IteratorMode::From(&start, rocksdb::Direction::Forward);
        self.db.iterator_cf(self.log(), mode).map(|item| {
            let (key, value) = item?;
            let index = record::index_of(&key).ok_or(OpenError::Meta("log key"))?;
            Ok((index, record::decode(index, &value)?))
        })
    }

    /// Log entries from `from` up to and without `end`, at most `limit` bytes of them, at least one.
    pub(super) fn entries(&self, from: u64, end: u64, limit: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        if from >= end {
            return Ok(entries);
        }
        let start = record::key(from);
        let mode = IteratorMode::From(&start, rocksdb::Direction::Forward);
        for item in self.db.iterator_cf(self.log(), mode) {
            let (key, value) = item.map_err(io::Error::other)?;
            let Some(index) = record::index_of(&key).filter(|index| *index < end) else {
                break;
            };
            bytes += value.len();
            if !entries.is_empty() && bytes > limit {
                break;
            }
            entries.push(record::decode(index, &value).map_err(damaged)?);
        }
        Ok(entries)
    }

    fn body(&self, hash: &ContentHash) -> io::Result<Option<Bytes>> {
        let found = self
            .db
            .get_cf(self.bodies(), hash.0)
            .map_err(|error| damaged(format!("body {hash} cannot be read: {error}")))?;
        match found {
            Some(bytes) if ContentHash::of(&bytes) == *hash => Ok(Some(bytes.into())),
            Some(_) => Err(damaged(format!("body {hash} is damaged"))),
            None => Ok(None),
        }
    }

    fn body_hashes(&self) -> io::Result<BTreeSet<ContentHash>> {
        let mut hashes = BTreeSet::new();
        let mut cursor = self.db.raw_iterator_cf(self.bodies());
        cursor.seek_to_first();
        while let Some(key) = cursor.key() {
            if let Ok(hash) = key.try_into() {
                hashes.insert(ContentHash(hash));
            }
            cursor.next();
        }
        cursor.status().map_err(io::Error::other)?;
        Ok(hashes)
    }
}

/// Damage, in the form that openraft takes.
pub(super) fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A body that must be there and that this disk does not give whole.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LostBody(String);

impl From<LostBody> for io::Error {
    fn from(lost: LostBody) -> Self {
        damaged(lost)
    }
}

/// A body that does not have its hash any more.
#[derive(Debug)]
pub(crate) struct Damage {
    /// Which.
    pub(crate) hash: ContentHash,
    /// A reader that waits until somebody has looked after it.
    pub(crate) looked_after: Option<oneshot::Sender<()>>,
}

/// Damage that may wait to be looked after; what is found beyond that is found again.
pub(super) const DAMAGE_WAITING: usize = 256;

fn waiting_for(hash: ContentHash) -> (Damage, oneshot::Receiver<()>) {
    let (looked_after, done) = oneshot::channel();
    let looked_after = Some(looked_after);
    (Damage { hash, looked_after }, done)
}

/// Reads content bodies.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    pub(super) database: Arc<Database>,
    pub(super) damage: mpsc::Sender<Damage>,
}

impl Bodies {
    /// A body; an error when its bytes do not have its hash, which is then looked after.
    pub(crate) fn read(&self, hash: &ContentHash) -> io::Result<Option<Bytes>> {
        let read = self.database.body(hash);
        if read.is_err() {
            // Full, or nobody is there to mend it: the next reader tries again.
            let _ = self.damage.try_send(Damage {
                hash: *hash,
                looked_after: None,
            });
        }
        read
    }

    /// The same without a word to anybody.
    pub(crate) fn read_silently(&self, hash: &ContentHash) -> io::Result<Option<Bytes>> {
        self.database.body(hash)
    }

    /// A body that must be there.
    pub(crate) fn whole(&self, hash: &ContentHash) -> Result<Bytes, LostBody> {
        match self.database.body(hash) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(LostBody(format!("body {hash} is missing"))),
            Err(error) => Err(LostBody(error.to_string())),
        }
    }

    /// The same; when it is lost, waits until it was looked after. For threads that may wait.
    pub(crate) fn need(&self, hash: &ContentHash) -> Result<Bytes, LostBody> {
        self.whole(hash).or_else(|_| {
            let (damage, done) = waiting_for(*hash);
            if self.damage.blocking_send(damage).is_ok() {
                // An end without a word means that the node stops; the read then says what is wrong.
                let _ = done.blocking_recv();
            }
            self.whole(hash)
        })
    }

    /// Has a lost body looked after, which may be in vain.
    pub(crate) async fn look_after(&self, hash: ContentHash) {
        let (damage, done) = waiting_for(hash);
        if self.damage.send(damage).await.is_ok() {
            // The same: whoever asked looks again.
            let _ = done.await;
        }
    }

    /// Comes back when nobody looks after lost bodies any more, because the node stops.
    pub(crate) async fn forsaken(&self) {
        self.damage.closed().await;
    }

    /// All that are stored.
    pub(crate) fn hashes(&self) -> io::Result<BTreeSet<ContentHash>> {
        self.database.body_hashes()
    }
}
