//! The whole agent, put together: one place that starts things in order and ends them in reverse.
//!
//! - [`run`] has both halves in one process, or, by `apart`, each in its own; `alive` shows the service
//!   manager that it lives, `folders` are whose they shall be.
//! - `network` is what the network half does either way: `admission` lets the host in, then the link
//!   runs.
//! - [`expect()`] tells the executor beforehand whom the host may belong to.
//! - `last_words` is for the cluster, from an agent that cannot run.

mod admission;
mod alive;
mod apart;
mod expect;
mod folders;
mod last_words;
pub mod logging;
mod network;
pub mod token;

use std::error::Error;
use std::io;
use std::path::PathBuf;

use email_engine_protocol::id::{HostId, Role};
use email_engine_protocol::observed::Mode;
use tokio::runtime::Runtime;

pub use self::expect::expect;
use self::network::Other;
use self::token::TokenError;
use crate::allow::{self, AllowListError};
use crate::config::Config;
use crate::executor::{self, ExecutorConfig, ExecutorError, Root, Started};
use crate::host::AccountError;
use crate::identity::{IdentityError, IdentityStore};
use crate::ledger::expected::{ExpectError, Unexpected};
use crate::link::enroll::EnrollError;
use crate::socket::place::PlaceError;

/// Our version, for people.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is asked of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The executor half alone.
    Executor,
    /// The network half alone.
    Network,
    /// Enrol if need be, then keep the host at its desired state.
    Run,
    /// Only enrol.
    Enroll,
}

/// Why the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It did what was asked, or was told to stop.
    Done,
    /// The host was retired and has forgotten its identity.
    Retired,
    /// The cluster does not know this host any more.
    Revoked,
}

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Which paths and commands are allowed cannot be told.
    #[error(transparent)]
    AllowList(#[from] AllowListError),
    /// Another agent runs on the same folder.
    #[error("another agent is running on {}", .0.display())]
    AlreadyRunning(PathBuf),
    /// The halves are two users' here.
    #[error(
        "{} is the network half's own: this agent's halves are two processes, run \
         `email-engine-agent executor` and `email-engine-agent network`, or their units", .0.display()
    )]
    Apart(PathBuf),
    /// The data folder cannot be used.
    #[error("data folder {} cannot be used", path.display())]
    DataDir {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The executor half cannot start.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The executor half has stopped.
    #[error("the executor has stopped; see the log lines before this one")]
    ExecutorGone,
    /// The user of the network half is not known.
    #[error(
        "the network half's user {name} cannot be told: make it (`useradd --system {name}`), or set \
         `network_user`"
    )]
    NetworkUser {
        /// Its name.
        name: String,
        /// Why.
        source: AccountError,
    },
    /// The way between the halves cannot be opened.
    #[error(transparent)]
    Socket(#[from] PlaceError),
    /// The identity cannot be read or written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no usable join token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The cluster did not let the host in.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// The executor has other keys than those that the host was enrolled with.
    #[error(
        "the executor's keys are lost: those in {} are not the ones that host {host} was enrolled \
         with, so the cluster would believe none of its reports, and secrets that were sealed for \
         it stay closed. Enrol it anew: make a token with `email-engine token create --host {host} \
         --role {role} --replace`, then {way}. So far: {reason}", folder.display()
    )]
    KeysLost {
        /// Where they should be.
        folder: PathBuf,
        /// Which host it is.
        host: HostId,
        /// Its role.
        role: Role,
        /// Where a new token is to be put.
        way: String,
        /// What came of looking for one.
        reason: String,
    },
    /// The host belongs to somebody else already.
    #[error(
        "this machine is host {pinned}, and {other} is another one: an executor serves one host \
         of one cluster for its whole life; use another data folder or retire the host first"
    )]
    OtherHost {
        /// What the executor has pinned.
        pinned: String,
        /// What the token or identity says.
        other: String,
    },
    /// A join token cannot say whom this host may belong to.
    #[error(transparent)]
    Expect(#[from] ExpectError),
    /// The executor would not believe what the host was to be let in by.
    #[error("this machine does not join: {0}")]
    Unexpected(#[from] Unexpected),
    /// The system gives no threads, signals or sockets.
    #[error("the runtime cannot start")]
    Runtime(#[source] io::Error),
}

/// Does what is asked, until it is done or the process is told to stop.
///
/// # Errors
/// When it cannot be done.
pub fn run(config: &Config, task: Task) -> Result<End, RunError> {
    match task {
        Task::Executor => {
            let ended = apart::executor(config);
            if let Err(error) = &ended {
                apart::leave_word(config, error);
            }
            ended
        }
        Task::Network => apart::network(config),
        Task::Enroll | Task::Run => {
            // Before anything else: whoever is the second one here has nothing to say.
            let _lock = folders::lock(&config.data_dir)?;
            folders::together(config)?;
            let _network = folders::lock(&config.identity_dir())?;
            let ended = together(config, task);
            if let (Err(error), Task::Run) = (&ended, task) {
                last_words::say(config, error);
            }
            ended
        }
    }
}

/// Both halves in this process.
fn together(config: &Config, task: Task) -> Result<End, RunError> {
    let store = IdentityStore::open(&config.data_dir)?;
    let root = config.sandbox_root.clone();
    let started = start(config, root.map_or(Root::Real, Root::Sandbox))?;
    let executor = started.handle.clone();
    let runtime = runtime()?;
    let end = runtime.block_on(Box::pin(async {
        let shutdown = network::stop_signals().map_err(RunError::Runtime)?;
        network::half(config, task, &store, Other::beside(started), shutdown).await
    }));
    // The channels are closed with the runtime, so nothing holds the executor up. A name that is
    // being looked up cannot be called back: it is not waited for.
    runtime.shutdown_background();
    executor.stop(config.shutdown_grace());
    tracing::info!("stopped");
    end
}

/// Starts the executor on its own thread.
fn start(config: &Config, root: Root) -> Result<Started, RunError> {
    let started = executor::start(ExecutorConfig {
        data_dir: config.executor_dir(),
        root,
        allow: allow::load(config)?,
        own: allow::own_places(config),
        audit_interval: config.audit_interval(),
        agent_version: VERSION.to_owned(),
    })?;
    tracing::info!(version = VERSION, mode = ?mode(config), "executor started");
    Ok(started)
}

/// One thread is enough for one connection, and costs the least memory.
fn runtime() -> Result<Runtime, RunError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(RunError::Runtime)
}

fn mode(config: &Config) -> Mode {
    match config.sandbox_root {
        Some(_) => Mode::Sandbox,
        None => Mode::Real,
    }
}

/// An error with its causes, each once.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Some errors print their cause themselves.
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
