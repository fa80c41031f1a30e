//! The one thread that writes: takes all that waits, writes it as one batch with one flush, then
//! tells everybody in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use openraft::storage::IOFlushed;
use rocksdb::WriteBatch;
use tokio::sync::{oneshot, watch};

use email_engine_protocol::bytes::ContentHash;

use super::database::{COMMITTED, Database, PURGED};
use super::record;
use super::series::SeriesWrite;
use super::slots::{Mark, Slots};
use crate::raft::metric_names::QUERY_SECONDS;
use crate::raft::types::{Entry, LogId, Types, Vote};

/// Longest time for which the mark may be in the page cache only.
const MARK_FLUSH: Duration = Duration::from_millis(50);
/// Most operations, and about the most bytes, that share one flush.
const BATCH_OPS: usize = 1024;
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Says when a write is done.
pub(super) type Done = oneshot::Sender<io::Result<()>>;

/// A change of the stored bodies.
#[derive(Debug)]
pub(crate) enum BodyWrite {
    /// Store these bytes.
    Put(ContentHash, Vec<u8>),
    /// Forget them.
    Delete(ContentHash),
}

/// One thing to write.
pub(super) enum Write {
    Append {
        records: Vec<(u64, Vec<u8>)>,
        last: LogId,
        done: IOFlushed<Types>,
    },
    Vote(Vote, Done),
    TruncateAfter(Option<LogId>, Done),
    Purge(LogId, Done),
    Committed(Option<LogId>),
    Bodies(Vec<BodyWrite>, Done),
    Series(SeriesWrite, Done),
    Flush(Done),
    Stop,
}

/// What reader, log store and writer share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Entries that were appended and are not in the database yet: readable all the same.
    pub(super) tail: RwLock<BTreeMap<u64, Pending>>,
    /// The last vote that is on disk.
    pub(super) vote: Mutex<Option<Vote>>,
    /// Last log id and last purged one, as asked for.
    pub(super) ends: Mutex<Ends>,
    /// Number of flushes, for figures and tests.
    pub(super) flushes: AtomicU64,
    /// Why the store no longer works.
    pub(super) failed: watch::Sender<Option<String>>,
}

/// An entry on its way to the disk.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) entry: Entry,
    /// Size of its record.
    pub(super) bytes: usize,
}

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    pub(super) committed: Option<LogId>,
}

/// The way to the writer. A cheap clone; with the last one the thread ends, and is waited for.
#[derive(Clone, Debug)]
pub(crate) struct WriterHandle {
    // Goes before `thread`: when that is dropped for the last time, nobody can send any more.
    queue: Sender<Write>,
    thread: Arc<Running>,
}

/// The writer's thread, until it is waited for. A process must not end before it has: the database that it
/// still has open would abort the process.
#[derive(Debug)]
struct Running(Mutex<Option<JoinHandle<()>>>);

impl Running {
    fn take(&self) -> Option<JoinHandle<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the writer has been seen by everybody who asked it for something.
            let _ = thread.join();
        }
    }
}

impl WriterHandle {
    pub(super) fn spawn(
        database: Arc<Database>,
        slots: Slots,
        shared: Arc<Shared>,
        last: Option<LogId>,
    ) -> io::Result<Self> {
        let (queue, waiting) = channel();
        let writer = Writer {
            database,
            slots,
            shared,
            last,
            marked: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("raft-writer".into())
            .spawn(move || writer.run(&waiting))?;
        Ok(Self {
            queue,
            thread: Arc::new(Running(Mutex::new(Some(thread)))),
        })
    }

    pub(super) fn send(&self, write: Write) -> io::Result<()> {
        self.queue.send(write).map_err(|_| stopped())
    }

    pub(super) async fn ask(&self, write: impl FnOnce(Done) -> Write) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(write(done))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Changes the stored bodies; readable when this returns, durable with the next flush.
    pub(crate) async fn write_bodies(&self, bodies: Vec<BodyWrite>) -> io::Result<()> {
        self.ask(|done| Write::Bodies(bodies, done)).await
    }

    /// The same from a thread that may wait.
    pub(crate) fn write_bodies_blocking(&self, bodies: Vec<BodyWrite>) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(Write::Bodies(bodies, done))?;
        answer.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Changes the stored series; readable when this returns, durable with the next flush.
    pub(crate) async fn write_series(&self, series: SeriesWrite) -> io::Result<()> {
        self.ask(|done| Write::Series(series, done)).await
    }

    /// The same from a thread that may wait.
    pub(crate) fn write_series_blocking(&self, series: SeriesWrite) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(Write::Series(series, done))?;
        answer.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Queues a change of the stored bodies behind all that was asked for before.
    pub(crate) fn queue_bodies(&self, bodies: Vec<BodyWrite>) -> io::Result<()> {
        let (done, _) = oneshot::channel();
        self.send(Write::Bodies(bodies, done))
    }

    /// Makes all that was asked for before durable. For threads that may wait.
    pub(crate) fn flush_blocking(&self) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(Write::Flush(done))?;
        answer.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Writes what waits, flushes, and ends the thread.
    pub(crate) fn stop(&self) {
        if let Some(thread) = self.thread.take()
            && self.queue.send(Write::Stop).is_ok()
        {
            // A panic of the writer has been seen by everybody who asked it for something.
            let _ = thread.join();
        }
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the store's writer has stopped")
}

struct Writer {
    database: Arc<Database>,
    slots: Slots,
    shared: Arc<Shared>,
    /// Last entry in the database.
    last: Option<LogId>,
    /// When the mark was flushed last.
    marked: Instant,
}

/// Who is told what after a batch.
enum Notice {
    Appended(IOFlushed<Types>),
    Done(Done),
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Write>) {
        loop {
            let first = match waiting.recv_timeout(MARK_FLUSH) {
                Ok(write) => Some(write),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let Some(first) = first else {
                self.flush_mark_in_time();
                continue;
            };
            if !self.batch(first, waiting) {
                break;
            }
            self.flush_mark_in_time();
        }
        if let Err(error) = self.slots.flush() {
            self.fail(&error);
        }
    }

    /// Writes one batch; false when told to stop.
    fn batch(&mut self, first: Write, waiting: &Receiver<Write>) -> bool {
        let mut batch = Batch::default();
        let mut next = Some(first);
        let mut going = true;
        while let Some(write) = next.take() {
            if matches!(write, Write::Stop) {
                batch.sync = true;
                going = false;
                break;
            }
            if let Err(error) = self.add(&mut batch, write) {
                self.fail(&error);
                batch.error = Some(error);
            }
            if batch.notices.len() < BATCH_OPS && batch.rocks.size_in_bytes() < BATCH_BYTES {
                next = waiting.try_recv().ok();
            }
        }
        self.finish(batch);
        going
    }

    fn add(&mut self, batch: &mut Batch, write: Write) -> io::Result<()> {
        match write {
            Write::Append {
                records,
                last,
                done,
            } => {
                for (index, record) in &records {
                    let log = self.database.log();
                    batch.rocks.put_cf(log, record::key(*index), record);
                }
                self.last = Some(last);
                batch.mark = Some(Mark::of(&last));
                batch.sync = true;
                batch.notices.push(Notice::Appended(done));
            }
            Write::Vote(vote, done) => {
                batch.notices.push(Notice::Done(done));
                batch.vote = Some(vote);
            }
            Write::TruncateAfter(after, done) => {
                batch.notices.push(Notice::Done(done));
                self.truncate(batch, after)?;
            }
            Write::Purge(upto, done) => {
                batch.notices.push(Notice::Done(done));
                self.purge(batch, upto);
            }
            Write::Committed(committed) => {
                let bytes = encode(&committed);
                batch.rocks.put_cf(self.database.meta(), COMMITTED, bytes);
            }
            Write::Bodies(bodies, done) => {
                for body in bodies {
                    let family = self.database.bodies();
                    match body {
                        BodyWrite::Put(hash, bytes) => batch.rocks.put_cf(family, hash.0, bytes),
                        BodyWrite::Delete(hash) => batch.rocks.delete_cf(family, hash.0),
                    }
                }
                batch.notices.push(Notice::Done(done));
            }
            Write::Series(series, done) => {
                series.add_to(&mut batch.rocks, &self.database);
                batch.notices.push(Notice::Done(done));
            }
            Write::Flush(done) => {
                batch.sync = true;
                batch.notices.push(Notice::Done(done));
            }
            Write::Stop => {}
        }
        Ok(())
    }

    /// The mark goes down, flushed, before the log is cut: a crash in between must not look like a
    /// lost tail.
    fn truncate(&mut self, batch: &mut Batch, after: Option<LogId>) -> io::Result<()> {
        if !is_before(after, self.last) {
            return Ok(());
        }
        batch.mark = None;
        self.slots.lower(after.as_ref().map(Mark::of))?;
        let first = after.map_or(0, |id| id.index + 1);
        if let Some(last) = self.last {
            let log = self.database.log();
            for index in first..=last.index {
                batch.rocks.delete_cf(log, record::key(index));
            }
        }
        self.last = after;
        batch.sync = true;
        Ok(())
    }

    fn purge(&mut self, batch: &mut Batch, upto: LogId) {
        let log = self.database.log();
        batch
            .rocks
            .delete_range_cf(log, record::key(0), record::key(upto.index + 1));
        let bytes = encode(&Some(upto));
        batch.rocks.put_cf(self.database.meta(), PURGED, bytes);
        if self.last.is_none_or(|last| last.index < upto.index) {
            self.last = Some(upto);
            batch.mark = Some(Mark::of(&upto));
        }
        batch.sync = true;
    }

    fn finish(&mut self, mut batch: Batch) {
        let rocks = std::mem::take(&mut batch.rocks);
        let result = self.store(rocks, &batch);
        if let Err(error) = &result {
            self.fail(error);
        }
        if let (Ok(()), Some(last)) = (&result, self.last) {
            let mut tail = write_lock(&self.shared.tail);
            *tail = tail.split_off(&(last.index + 1));
        }
        for notice in batch.notices {
            let answer = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            match notice {
                Notice::Appended(done) => done.io_completed(answer),
                Notice::Done(done) => {
                    // Whoever asked may have stopped waiting.
                    let _ = done.send(answer);
                }
            }
        }
    }

    fn store(&mut self, rocks: WriteBatch, batch: &Batch) -> io::Result<()> {
        if let Some(reason) = self.shared.failed.borrow().as_ref() {
            // Nothing may be written behind a write that failed: the log would get a hole.
            return Err(io::Error::other(reason.clone()));
        }
        if let Some(error) = &batch.error {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        if !rocks.is_empty() || batch.sync {
            let began = Instant::now();
            self.database.write(rocks, batch.sync)?;
            let kind = if batch.sync { "flush" } else { "write" };
            metrics::histogram!(QUERY_SECONDS, "query_type" => kind)
                .record(began.elapsed().as_secs_f64());
            if batch.sync {
                self.shared.flushes.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(mark) = batch.mark {
            self.slots.raise(mark)?;
        }
        if let Some(vote) = batch.vote {
            self.slots.set_vote(vote)?;
            self.marked = Instant::now();
            *lock(&self.shared.vote) = Some(vote);
        }
        Ok(())
    }

    fn flush_mark_in_time(&mut self) {
        if !self.slots.is_dirty() {
            self.marked = Instant::now();
        } else if self.marked.elapsed() >= MARK_FLUSH {
            match self.slots.flush() {
                Ok(()) => self.marked = Instant::now(),
                Err(error) => self.fail(&error),
            }
        }
    }

    fn fail(&self, error: &io::Error) {
        let reason = error.to_string();
        self.shared.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            if first {
                tracing::error!(%reason, "the Raft store failed: this node stops taking part");
                *failed = Some(reason);
            }
            first
        });
    }
}

#[derive(Default)]
struct Batch {
    rocks: WriteBatch,
    sync: bool,
    vote: Option<Vote>,
    mark: Option<Mark>,
    error: Option<io::Error>,
    notices: Vec<Notice>,
}

/// Whether cutting behind `after` takes anything from a log that ends at `last`.
pub(super) fn is_before(after: Option<LogId>, last: Option<LogId>) -> bool {
    after.map(|id| id.index) < last.map(|id| id.index)
}

fn encode(id: &Option<LogId>) -> Vec<u8> {
    postcard::to_stdvec(id).expect("a log id serialises")
}

/// The lock, also after a panic: every value under it is written in one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write_lock<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
