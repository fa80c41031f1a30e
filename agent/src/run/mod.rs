//! The whole agent, put together: one place that starts things in order and ends them in reverse.

mod admission;
mod last_words;
pub mod logging;
pub mod token;

use std::error::Error;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use email_engine_protocol::id::{HostId, Role};
use email_engine_protocol::observed::Mode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use self::admission::{Entrance, Stop, same_host};
use self::token::TokenError;
use crate::allow::{self, AllowListError};
use crate::config::Config;
use crate::executor::{self, ExecutorConfig, ExecutorError, ExecutorHandle, Root, Started};
use crate::halves::ToExecutor;
use crate::identity::{IdentityError, IdentityStore};
use crate::link::enroll::EnrollError;
use crate::link::{ExecutorSide, Link, LinkEnd, LinkSettings};

/// Our version, for people.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Messages for the executor that may be under way.
const QUEUE: usize = 16;
/// Three pings of a coordinator.
const SILENCE: Duration = Duration::from_secs(60);

/// What is asked of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
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
    /// The system gives no threads, signals or sockets.
    #[error("the runtime cannot start")]
    Runtime(#[source] io::Error),
}

/// Does what is asked, until it is done or the process is told to stop.
///
/// # Errors
/// When it cannot be done.
pub fn run(config: &Config, task: Task) -> Result<End, RunError> {
    // Before anything else: whoever is the second one here has nothing to say.
    let _lock = lock(config)?;
    let ended = keep(config, task);
    if let (Err(error), Task::Run) = (&ended, task) {
        last_words::say(config, error);
    }
    ended
}

fn keep(config: &Config, task: Task) -> Result<End, RunError> {
    let allow = allow::load(config)?;
    let store = IdentityStore::open(&config.data_dir)?;
    let started = executor::start(ExecutorConfig {
        data_dir: config.executor_dir(),
        root: config
            .sandbox_root
            .clone()
            .map_or(Root::Real, Root::Sandbox),
        allow,
        own: allow::own_places(config),
        audit_interval: config.audit_interval(),
        agent_version: VERSION.to_owned(),
    })?;
    tracing::info!(version = VERSION, mode = ?mode(config), "executor started");
    let executor = started.handle.clone();
    // One thread is enough for one connection, and costs the least memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let end = runtime.block_on(Box::pin(network_half(config, task, store, started)));
    // The channels are closed with the runtime, so nothing holds the executor up. A name that is
    // being looked up cannot be called back: it is not waited for.
    runtime.shutdown_background();
    executor.stop(config.shutdown_grace());
    tracing::info!("stopped");
    end
}

/// One agent per data folder, for as long as the file is held.
fn lock(config: &Config) -> Result<File, RunError> {
    let path = &config.data_dir;
    let open = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            // Who can open it can hold it.
            .mode(0o600)
            .open(path.join("lock"))
    };
    let failed = |source| RunError::DataDir {
        path: path.clone(),
        source,
    };
    let file = open().map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::AlreadyRunning(path.clone())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn mode(config: &Config) -> Mode {
    match config.sandbox_root {
        Some(_) => Mode::Sandbox,
        None => Mode::Real,
    }
}

async fn network_half(
    config: &Config,
    task: Task,
    store: IdentityStore,
    started: Started,
) -> Result<End, RunError> {
    let Started {
        keys,
        standing,
        trust,
        retired,
        handle,
        events,
    } = started;
    if retired && matches!(store.load(), Ok(Some(_))) {
        return ended(LinkEnd::Retired, &store);
    }
    let (stop, shutdown) = watch::channel(false);
    watch_signals(stop).map_err(RunError::Runtime)?;
    let mut side = ExecutorSide::new(forward(handle), events, standing, shutdown);
    let entrance = Entrance {
        config,
        task,
        store: &store,
        keys,
        pinned: trust.as_ref(),
    };
    let admitted = entrance.identity(&mut side).await;
    let identity = match admitted {
        Ok(identity) => identity,
        Err(Stop::Link(end)) => return ended(end, &store),
        Err(Stop::Failed(error)) if trust.is_some() && task == Task::Run => {
            // The executor knows what this host shall be: that goes on without us.
            tracing::error!(%error, "no identity, so no coordinator; the last good state is kept");
            let alone = side.during(std::future::pending::<()>()).await;
            return alone.map_or_else(|end| ended(end, &store), |()| Ok(End::Done));
        }
        Err(Stop::Failed(error)) => return Err(error),
    };
    same_host(trust.as_ref(), &identity.trust)?;
    if trust.is_none() {
        let admitted = ToExecutor::Admitted(Box::new(identity.trust.clone()));
        if let Err(end) = side.tell(admitted).await {
            return ended(end, &store);
        }
    }
    tracing::info!(host = %identity.host(), cluster = %identity.cluster(), "enrolled");
    if task == Task::Enroll {
        return Ok(End::Done);
    }
    let settings = LinkSettings {
        mode: mode(config),
        reconnect_max: config.reconnect_max(),
        silence: SILENCE,
        software: VERSION.to_owned(),
    };
    let link = Link::new(settings, store.clone(), identity, side)?;
    ended(Box::pin(link.run()).await, &store)
}

fn ended(end: LinkEnd, store: &IdentityStore) -> Result<End, RunError> {
    match end {
        LinkEnd::Shutdown => Ok(End::Done),
        LinkEnd::ExecutorGone => Err(RunError::ExecutorGone),
        LinkEnd::Revoked => Ok(End::Revoked),
        LinkEnd::Retired => {
            store.forget()?;
            tracing::info!("this host was retired; its identity is forgotten");
            Ok(End::Retired)
        }
    }
}

/// Carries messages to the executor's thread.
fn forward(handle: ExecutorHandle) -> mpsc::Sender<ToExecutor> {
    let (to, mut messages) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            if handle.send(message).await.is_err() {
                return;
            }
        }
    });
    to
}

/// Turns SIGTERM and SIGINT into the wish to stop.
fn watch_signals(stop: watch::Sender<bool>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        stop.send_replace(true);
        // Kept open: a closed channel would be the same wish again, and a second signal no other.
        stop.closed().await;
    });
    Ok(())
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
