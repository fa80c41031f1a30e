//! What the parts of the daemon share.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use tokio::sync::Notify;

use crate::accounting::{Accounting, Record};
use crate::clock;
use crate::config::Config;
use crate::deliver::{Resolver, Seats};
use crate::queue::{Item, Queues};
use crate::spool::{Recipient, Store};

/// What tests say besides the configuration.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// A resolver with a port, instead of `name-server` lines.
    pub name_server: Option<SocketAddr>,
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) config: RwLock<Arc<Config>>,
    pub(crate) resolver: RwLock<Arc<Resolver>>,
    pub(crate) overrides: Overrides,
    pub(crate) queues: Mutex<Queues>,
    pub(crate) accounting: Mutex<Accounting>,
    pub(crate) store: Store,
    /// Connections to each host, where they are limited.
    pub(crate) seats: Seats,
    pub(crate) work: Notify,
    /// Listeners look at the configuration again.
    pub(crate) reloaded: Notify,
    pub(crate) stats: Mutex<Stats>,
    pub(crate) started: i64,
    /// Values that a reload does not change.
    pub(super) until_restart: BTreeMap<&'static str, String>,
    /// The first bounce or feedback processor needs a restart.
    pub(crate) processors: (bool, bool),
    pub(crate) paused_jobs: Mutex<BTreeSet<String>>,
    /// Recipients of messages some of which are decided.
    pub(super) open: Mutex<BTreeMap<u64, Vec<Recipient>>>,
    pub(super) pool_cursors: Mutex<BTreeMap<String, usize>>,
    pub(super) last_id: AtomicU64,
    /// For what goes on after the call that began it.
    pub(crate) own: Weak<Self>,
}

/// Counters of `show status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) inward: Traffic,
    pub(crate) outward: Traffic,
    pub(crate) bounces_processed: u64,
    pub(crate) feedback_processed: u64,
    pub(crate) connections_in: u64,
    pub(crate) top_in: u64,
    pub(crate) top_out: u64,
}

/// Traffic of one direction, with the last hour event by event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) recipients: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    recent: std::collections::VecDeque<(i64, u64, u64)>,
}

const HOUR: i64 = 3_600_000;

impl Traffic {
    pub(crate) fn add(&mut self, now: i64, recipients: u64, bytes: u64) {
        self.recipients += recipients;
        self.messages += 1;
        self.bytes += bytes;
        self.recent.push_back((now, recipients, bytes));
        while self
            .recent
            .front()
            .is_some_and(|(at, _, _)| *at < now - HOUR)
        {
            self.recent.pop_front();
        }
    }

    /// Recipients, messages and bytes since a time of the last hour.
    pub(crate) fn since(&self, at: i64) -> (u64, u64, u64) {
        let recent = self.recent.iter().filter(|(when, _, _)| *when >= at);
        recent.fold(
            (0, 0, 0),
            |(recipients, messages, bytes), (_, count, size)| {
                (recipients + count, messages + 1, bytes + size)
            },
        )
    }
}

/// A panic elsewhere is no reason to lose what is behind the lock.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn queues(&self) -> MutexGuard<'_, Queues> {
        locked(&self.queues)
    }

    pub(crate) fn stats(&self) -> MutexGuard<'_, Stats> {
        locked(&self.stats)
    }

    /// Numbers grow with time, so that the spool's order is the order of arrival.
    pub(crate) fn next_id(&self) -> u64 {
        let now = u64::try_from(clock::now()).unwrap_or(0) << 16;
        let next = |last: u64| Some(now.max(last + 1));
        match self
            .last_id
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        {
            Ok(last) | Err(last) => now.max(last + 1),
        }
    }

    /// Notes on disk what became of a recipient, among those of its message in memory.
    pub(crate) fn settle(&self, item: &Item, done: bool) {
        let mut open = locked(&self.open);
        let id = item.envelope.id;
        let recipients = open
            .entry(id)
            .or_insert_with(|| item.envelope.recipients.clone());
        recipients[item.index].done = done;
        recipients[item.index].attempts = item.attempts;
        let noted = self.store.note(id, recipients);
        if recipients.iter().all(|recipient| recipient.done) {
            open.remove(&id);
        }
        drop(open);
        if let Err(error) = noted {
            self.log(&error.to_string());
        }
    }

    /// What a test may wrongly rely on is said aloud.
    pub(super) fn log_idle(&self) {
        for what in &self.config().idle {
            self.log(&format!("notice: the stand-in does not carry out {what}"));
        }
    }

    /// Writes a line to the log file.
    pub(crate) fn log(&self, text: &str) {
        let path: PathBuf = self.config().log_file.clone();
        let line = format!("{} {text}\n", clock::plain(clock::now()));
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if written.is_err() {
            // Nowhere left to say it but here.
            eprint!("{line}");
        }
    }

    /// Writes an accounting record.
    pub(crate) fn account(&self, record: &Record) {
        let faults = locked(&self.accounting).write(record);
        for fault in faults {
            self.log(&fault);
        }
    }
}
