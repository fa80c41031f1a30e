//! The executor half: owns the machine, and believes nobody but the keys that it pinned.
//!
//! [`start`] runs it on a thread of its own, because files and programs block. It is told
//! [`ToExecutor`] through an [`ExecutorHandle`] and says [`FromExecutor`].
//!
//! A generation's way: `offered` (signature and floor judged by [`accept`], contents gathered), then
//! accepted (written to the ledger, which is the floor), then enforced by passes of the reconciler at
//! once, on drift, and at every audit. While passes fail they are repeated with back-off. Which state
//! is enforced: the accepted one; only when it was never right, the last pass over it failed, and nobody
//! was there for a whole audit interval, the last good one, until somebody is there again. What shall
//! stand still and does not makes no state wrong: an older one would set it free.

pub mod accept;
mod accounting;
mod certificates;
mod core;
mod enforce;
mod grants;
mod intake;
mod offered;
mod outbox;
mod reconnect;
mod report;
#[cfg(test)]
mod tests;
mod thread;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::join::JoinToken;
use tokio::sync::{Semaphore, mpsc};

use crate::allow::AllowList;
use crate::certificate::pipe;
use crate::halves::{ExecutorKeys, FromExecutor, Standing, ToExecutor, Trust};
pub use crate::host::Root;
use crate::host::{Cabinet, OwnPlaces, RecordError};
use crate::ledger::expected::{self, ExpectError, Expected, Unexpected};
use crate::ledger::{self, interrupted};
use crate::reconciler::UnderWay;
use thread::{Wake, WakeSender};

/// How the executor is set up.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// Folder of its own: keys, ledger, inventory. Created 0700 when absent.
    pub data_dir: PathBuf,
    /// The machine itself, or a folder that stands for one.
    pub root: Root,
    /// What a state may touch.
    pub allow: AllowList,
    /// The agent's own files and folders: refused under every name that they have.
    pub own: OwnPlaces,
    /// Longest time between two full audits.
    pub audit_interval: Duration,
    /// Reported among the facts.
    pub agent_version: String,
}

/// Why the executor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// Its own folder.
    #[error("data folder {path}: {source}")]
    DataDir {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Keys or trust.
    #[error(
        "{what}: {source}; restore this file, or remove it: keys then need a new join token, \
             made by `token create --replace`"
    )]
    Identity {
        /// Which of them.
        what: &'static str,
        /// Why.
        source: RecordError,
    },
    /// The ledger.
    #[error("ledger: {0}")]
    Ledger(RecordError),
    /// The machine or sandbox.
    #[error("root {root:?}: {source}")]
    Root {
        /// Which one.
        root: Root,
        /// Why.
        source: std::io::Error,
    },
    /// Its thread.
    #[error("executor's thread: {0}")]
    Thread(std::io::Error),
}

/// The executor's thread is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("executor has stopped")]
pub struct Stopped;

/// Messages that may wait for the executor; a body counts for one more with each of these many bytes, so
/// that all that wait hold no more than two of the largest.
const WAITING: usize = 16;
const BODY_BYTES_EACH: usize = 8 * 1024 * 1024;
/// Events that may wait for the network half; what is too much is said later.
const EVENTS: usize = 64;

/// Speaks to the executor; cheap to clone. Dropping it changes nothing: the host stays kept until
/// [`stop`](Self::stop) or the end of the process.
#[derive(Clone, Debug)]
pub struct ExecutorHandle {
    wake: WakeSender,
    room: Arc<Semaphore>,
    under_way: Arc<UnderWay>,
    answers: Arc<reconnect::Answers>,
    fetched: Arc<pipe::Answers>,
    cabinet: Cabinet,
    ended: Arc<thread::Ended>,
}

/// What [`start`] gives.
#[derive(Debug)]
pub struct Started {
    /// Its public keys, for enrolment.
    pub keys: ExecutorKeys,
    /// Where it stands.
    pub standing: Standing,
    /// The trust that was pinned in an earlier life.
    pub trust: Option<Trust>,
    /// Whether the host was retired and nobody has joined the machine anew since: it trusts nobody.
    pub retired: bool,
    /// The way to it.
    pub handle: ExecutorHandle,
    /// What it says. Must be read: it is bounded.
    pub events: mpsc::Receiver<FromExecutor>,
}

/// Starts the executor on its own thread. With a ledger from an earlier life it goes on at once.
///
/// # Errors
/// When its folder, keys or root cannot be used.
pub fn start(config: ExecutorConfig) -> Result<Started, ExecutorError> {
    let cabinet = Cabinet::open(&config.data_dir).map_err(|source| ExecutorError::DataDir {
        path: config.data_dir.clone(),
        source,
    })?;
    let (sender, events) = mpsc::channel(EVENTS);
    let core = core::Core::open(config, cabinet, sender, Arc::default())?;
    launch(core, events)
}

fn launch(
    core: core::Core,
    events: mpsc::Receiver<FromExecutor>,
) -> Result<Started, ExecutorError> {
    let under_way = Arc::clone(&core.under_way);
    let answers = Arc::clone(&core.answers);
    let fetched = Arc::clone(&core.fetched);
    let cabinet = core.cabinet.clone();
    let keys = core.keys.public();
    let standing = core.standing();
    let trust = core.trust.clone();
    let (wake, ended) = thread::run(core).map_err(ExecutorError::Thread)?;
    let handle = ExecutorHandle {
        wake,
        room: Arc::new(Semaphore::new(WAITING)),
        under_way,
        answers,
        fetched,
        cabinet,
        ended,
    };
    Ok(Started {
        keys,
        standing,
        trust,
        retired: handle.is_retired(),
        handle,
        events,
    })
}

/// How much of the room for waiting messages one takes.
fn room_for(message: &ToExecutor) -> u32 {
    let more = match message {
        ToExecutor::Body { bytes, .. } => bytes.len() / BODY_BYTES_EACH,
        _ => 0,
    };
    u32::try_from(1 + more.min(WAITING - 1)).unwrap_or(1)
}

impl ExecutorHandle {
    /// The trust that is pinned now.
    #[must_use]
    pub fn trust(&self) -> Option<Trust> {
        let read = ledger::read_trust(&self.cabinet);
        read.unwrap_or_else(|error| {
            tracing::error!(%error, "the pinned trust cannot be read");
            None
        })
    }

    /// Whom the host may belong to by the word of whoever holds the machine, or why nobody.
    ///
    /// # Errors
    /// When nobody is expected.
    pub fn expected(&self) -> Result<Expected, Unexpected> {
        expected::expected(&self.cabinet).unwrap_or_else(|error| {
            tracing::error!(%error, "whom this host may belong to cannot be read");
            Err(Unexpected::Nobody)
        })
    }

    /// Takes a token's word for it: whoever gives it must be the one that holds the machine.
    ///
    /// # Errors
    /// When the token is not for this machine, or the disk refuses.
    pub fn expect(&self, token: &JoinToken) -> Result<Expected, ExpectError> {
        expected::expect(&self.cabinet, token)
    }

    /// Whether the host was retired and nobody has joined the machine anew since.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.trust().is_none() && matches!(self.expected(), Err(Unexpected::Retired(_)))
    }

    /// Whether the executor's thread does something: it came by within a while, or has an action under
    /// way, which has a time limit of its own.
    #[must_use]
    pub fn is_alive(&self, within: Duration) -> bool {
        self.ended.beat_within(within) || self.under_way.action().is_some()
    }

    /// Sends a message; waits while the executor has many to read.
    ///
    /// # Errors
    /// When the executor's thread is gone.
    pub async fn send(&self, message: ToExecutor) -> Result<(), Stopped> {
        if let ToExecutor::Reconnected { number, reached } = message {
            // The thread waits for it, and reads nothing else meanwhile.
            self.answers.put(number, reached);
            return Ok(());
        }
        if let ToExecutor::Fetched { number, answer } = message {
            self.fetched.put(number, answer);
            return Ok(());
        }
        let room = Arc::clone(&self.room);
        let wanted = room_for(&message);
        let permit = room.acquire_many_owned(wanted).await.map_err(|_| Stopped)?;
        self.wake
            .send(Wake::Message(Box::new(message), Some(permit)))
            .map_err(|_| Stopped)
    }

    /// Tells that the network half is gone; waits for nothing.
    ///
    /// # Errors
    /// When the executor's thread is gone.
    pub fn disconnected(&self) -> Result<(), Stopped> {
        let message = Box::new(ToExecutor::Disconnected);
        let sent = self.wake.send(Wake::Message(message, None));
        sent.map_err(|_| Stopped)
    }

    /// Ends the executor after the action in progress, and waits for it no longer than `grace`.
    /// Nothing new is begun. An action that lasts longer is left to itself and noted as
    /// interrupted: the next life says so and does it again. Blocks.
    pub fn stop(self, grace: Duration) {
        self.under_way.stop();
        // Gone already is stopped too.
        let _ = self.wake.send(Wake::Stop);
        if self.ended.wait(grace) {
            return;
        }
        let seconds = grace.as_secs();
        let Some(id) = self.under_way.action() else {
            tracing::warn!(seconds, "the executor did not end in time");
            return;
        };
        tracing::warn!(resource = %id, seconds, "still under way: left to itself");
        if let Err(error) = interrupted::note(&self.cabinet, &id) {
            tracing::error!(%error, "the interruption is not noted");
        }
    }
}
