//! openraft's view of the store.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use tokio::sync::{mpsc, watch};

use super::database::{Bodies, DAMAGE_WAITING, Damage, Database, OpenError, Recovered};
use super::record;
use super::series::Series;
use super::slots::{Mark, Slots};
use super::writer::{Ends, Pending, Shared, Write, WriterHandle, is_before, lock, write_lock};
use crate::raft::types::{Entry, LogId, Types, Vote};

/// Most bytes of log that one answer to a follower carries, one entry more at most.
const READ_BYTES: usize = 8 * 1024 * 1024;

/// The log store. A cheap clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Arc<Database>,
    shared: Arc<Shared>,
    writer: WriterHandle,
    damage: mpsc::Sender<Damage>,
    /// Until somebody takes it to mend what is found.
    damaged: Arc<Mutex<Option<mpsc::Receiver<Damage>>>>,
}

impl Store {
    /// Opens the database and checks it against the mark.
    pub(crate) fn open(path: &Path, slots: Slots) -> Result<(Self, Recovered), StoreOpenError> {
        let database = Database::open(path)?;
        let recovered = database.recover()?;
        let state = slots.state();
        if let Some(mark) = state.mark {
            check_mark(&database, &recovered, mark)?;
        }
        let shared = Arc::new(Shared {
            tail: std::sync::RwLock::default(),
            vote: Mutex::new(state.vote),
            ends: Mutex::new(Ends {
                purged: recovered.purged,
                last: recovered.last,
                committed: recovered.committed,
            }),
            flushes: std::sync::atomic::AtomicU64::new(0),
            failed: watch::Sender::new(None),
        });
        let database = Arc::new(database);
        let writer = WriterHandle::spawn(
            Arc::clone(&database),
            slots,
            Arc::clone(&shared),
            recovered.last,
        )?;
        let (damage, damaged) = mpsc::channel(DAMAGE_WAITING);
        let store = Self {
            database,
            shared,
            writer,
            damage,
            damaged: Arc::new(Mutex::new(Some(damaged))),
        };
        Ok((store, recovered))
    }

    /// Reads content bodies.
    pub(crate) fn bodies(&self) -> Bodies {
        Bodies {
            database: Arc::clone(&self.database),
            damage: self.damage.clone(),
        }
    }

    /// Reads series of counts.
    pub(crate) fn series(&self) -> Series {
        Series {
            database: Arc::clone(&self.database),
        }
    }

    /// What readers find damaged; for one taker.
    pub(crate) fn take_damaged(&self) -> Option<mpsc::Receiver<Damage>> {
        lock(&self.damaged).take()
    }

    /// The way to the writer.
    pub(crate) fn writer(&self) -> WriterHandle {
        self.writer.clone()
    }

    /// Why the store no longer works, once it does not.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.failed.subscribe()
    }

    /// Makes every further write fail, as a full or broken disk does.
    #[cfg(test)]
    pub(crate) fn break_down(&self) {
        self.shared
            .failed
            .send_replace(Some("no space left".into()));
    }

    /// How often the disk was made to keep what the database wrote, by the database's own count.
    #[cfg(test)]
    pub(crate) fn syncs(&self) -> u64 {
        self.database.syncs()
    }

    /// Number of flushes so far.
    pub(crate) fn flushes(&self) -> u64 {
        self.shared.flushes.load(Ordering::Relaxed)
    }

    /// Has somebody as long as the database is open.
    #[cfg(test)]
    pub(crate) fn held(&self) -> std::sync::Weak<()> {
        Arc::downgrade(&self.database.open)
    }

    /// Ends the writer and waits until nobody has the database any more, for at most a few seconds.
    pub(crate) async fn close(self) {
        self.writer.stop();
        let open = Arc::downgrade(&self.database.open);
        drop(self);
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
        while open.strong_count() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    fn read(&self, range: &impl RangeBounds<u64>, limit: usize) -> io::Result<Vec<Entry>> {
        let (from, end) = bounds(range);
        // The tail first: the writer takes an entry out of it only once the database has it.
        let (tail_from, tail) = self.read_tail(from, end, limit);
        let stored_end = tail_from.unwrap_or(end);
        let mut entries = self.database.entries(from, stored_end, limit)?;
        let reached = entries.last().map_or(from, |entry| entry.log_id.index + 1);
        if limit == usize::MAX || reached == stored_end {
            entries.extend(tail);
        }
        without_hole(entries)
    }
}

impl Store {
    /// The part of a range that is not in the database yet, and where it begins.
    fn read_tail(&self, from: u64, end: u64, limit: usize) -> (Option<u64>, Vec<Entry>) {
        let tail = self
            .shared
            .tail
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::new();
        let mut bytes = 0;
        if from >= end {
            return (None, entries);
        }
        for pending in tail.range(from..end).map(|(_, pending)| pending) {
            bytes += pending.bytes;
            if !entries.is_empty() && bytes > limit {
                break;
            }
            entries.push(pending.entry.clone());
        }
        (entries.first().map(|entry| entry.log_id.index), entries)
    }
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreOpenError {
    /// What is on disk is not good.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The writer cannot be started.
    #[error("{0}")]
    Io(#[from] io::Error),
}

fn check_mark(database: &Database, recovered: &Recovered, mark: Mark) -> Result<(), OpenError> {
    let last = recovered.last.as_ref().map(Mark::of);
    let lost = OpenError::TailLost { last, mark };
    if last.is_none_or(|last| last.index < mark.index) {
        return Err(lost);
    }
    let purged = recovered.purged.map_or(0, |id| id.index + 1);
    if mark.index < purged {
        return Ok(());
    }
    match database.entries(mark.index, mark.index + 1, usize::MAX) {
        Ok(found) if found.first().is_some_and(|e| Mark::of(&e.log_id) == mark) => Ok(()),
        _ => Err(lost),
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(at) => *at,
        Bound::Excluded(at) => at.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(at) => at.saturating_add(1),
        Bound::Excluded(at) => *at,
        Bound::Unbounded => u64::MAX,
    };
    (from, end)
}

fn without_hole(entries: Vec<Entry>) -> io::Result<Vec<Entry>> {
    let hole = entries
        .windows(2)
        .find(|pair| pair[0].log_id.index + 1 != pair[1].log_id.index);
    match hole {
        Some(pair) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            OpenError::Hole {
                missing: pair[0].log_id.index + 1,
            },
        )),
        None => Ok(entries),
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(&range, usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(*lock(&self.shared.vote))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(&(start..end), READ_BYTES)
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let ends = *lock(&self.shared.ends);
        Ok(LogState {
            last_purged_log_id: ends.purged,
            last_log_id: ends.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.writer.ask(|done| Write::Vote(*vote, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        lock(&self.shared.ends).committed = committed;
        // Unflushed and unawaited: an older value only means that fewer entries are applied again.
        self.writer.send(Write::Committed(committed))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(lock(&self.shared.ends).committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut last = None;
        {
            let mut tail = write_lock(&self.shared.tail);
            for entry in entries {
                let (id, record) = (entry.log_id, record::encode(&entry));
                let bytes = record.len();
                records.push((id.index, record));
                last = Some(id);
                tail.insert(id.index, Pending { entry, bytes });
            }
        }
        let Some(last) = last else {
            done.io_completed(Ok(()));
            return Ok(());
        };
        lock(&self.shared.ends).last = Some(last);
        self.writer.send(Write::Append {
            records,
            last,
            done,
        })
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.writer
            .ask(|done| Write::TruncateAfter(last_log_id, done))
            .await?;
        let mut ends = lock(&self.shared.ends);
        if is_before(last_log_id, ends.last) {
            ends.last = last_log_id.or(ends.purged);
        }
        drop(ends);
        let first = last_log_id.map_or(0, |id| id.index + 1);
        write_lock(&self.shared.tail).split_off(&first);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.writer.ask(|done| Write::Purge(log_id, done)).await?;
        let mut ends = lock(&self.shared.ends);
        ends.purged = Some(log_id);
        if ends.last.is_none_or(|last| last.index < log_id.index) {
            ends.last = Some(log_id);
        }
        Ok(())
    }
}
