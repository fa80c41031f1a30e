//! Written by its room.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::halves::{ExecutorKeys, FromExecutor, Standing, ToExecutor, Trust};
pub use crate::host::Root;

/// How the executor is set up.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// Folder of its own: keys, ledger, inventory. Created 0700 when absent.
    pub data_dir: PathBuf,
    /// The machine itself, or a folder that stands for one.
    pub root: Root,
    /// Longest time between two full audits.
    pub audit_interval: Duration,
    /// Reported among the facts.
    pub agent_version: String,
}

/// Why the executor cannot start.
#[derive(Debug, thiserror::Error)]
#[error("executor cannot start")]
pub struct ExecutorError;

/// The executor's thread is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("executor has stopped")]
pub struct Stopped;

/// Speaks to the executor; cheap to clone.
#[derive(Clone, Debug)]
pub struct ExecutorHandle {}

/// What [`start`] gives.
#[derive(Debug)]
pub struct Started {
    /// Its public keys, for enrolment.
    pub keys: ExecutorKeys,
    /// Where it stands.
    pub standing: Standing,
    /// The trust that was pinned in an earlier life.
    pub trust: Option<Trust>,
    /// The way to it.
    pub handle: ExecutorHandle,
    /// What it says. Must be read: it is bounded.
    pub events: mpsc::Receiver<FromExecutor>,
}

/// Starts the executor on its own thread.
///
/// # Errors
/// When its folder, keys or root cannot be used.
pub fn start(_config: ExecutorConfig) -> Result<Started, ExecutorError> {
    Err(ExecutorError)
}

impl ExecutorHandle {
    /// Sends a message.
    ///
    /// # Errors
    /// When the executor's thread is gone.
    pub async fn send(&self, _message: ToExecutor) -> Result<(), Stopped> {
        Err(Stopped)
    }

    /// Ends the executor after the action in progress and waits for its thread. Blocks.
    pub fn stop(self) {}
}
