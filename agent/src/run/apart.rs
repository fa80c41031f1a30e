//! Each half as a process of its own: the executor as root without a network, the network half as a
//! user that owns nothing but its certificate.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::network::{Other, half, stop_signals};
use super::{End, RunError, Task, alive, folders, runtime, start, with_causes};
use crate::config::Config;
use crate::executor::Root;
use crate::host;
use crate::identity::IdentityStore;
use crate::link::hold;
use crate::socket::call::{CallError, Called, call};
use crate::socket::place::{self, NetworkUser};
use crate::socket::serve::{ServeEnd, serve};

/// A thread that did not come by for so long is stuck: a pass looks at everything before it does.
const STUCK: Duration = Duration::from_secs(900);
/// Between two calls of an executor that does not answer.
const CALL_AGAIN: Duration = Duration::from_millis(500);
/// An executor that does not answer for so long is told of: to the log and to the cluster.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two words about the same.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Most of what an executor that cannot run leaves to be told.
const WORDS: u64 = 2048;

/// The executor half.
pub(super) fn executor(config: &Config) -> Result<End, RunError> {
    let _lock = folders::lock(&config.data_dir)?;
    let user = network_user(config)?;
    folders::part(config, user)?;
    let runtime = runtime()?;
    let (end, executor) = runtime.block_on(async {
        let shutdown = stop_signals().map_err(RunError::Runtime)?;
        // Before the executor's thread runs: how files are made is the whole process's.
        let listener = place::listen(&config.socket, user)?;
        let root = config.sandbox_root.clone();
        let started = start(config, root.map_or(Root::Confined, Root::Sandbox))?;
        let _ = fs::remove_file(words_of(&config.socket));
        let executor = started.handle.clone();
        if started.trust.is_none()
            && let Err(nobody) = executor.expected()
        {
            tracing::warn!("no trust is believed: {nobody}");
        }
        let lives = executor.clone();
        tokio::spawn(alive::watchdog(move || lives.is_alive(STUCK)));
        alive::ready();
        let end = serve(listener, user, started, shutdown).await;
        Ok::<_, RunError>((end, executor))
    })?;
    alive::stopping();
    runtime.shutdown_background();
    executor.stop(config.shutdown_grace());
    place::close(&config.socket);
    tracing::info!("stopped");
    match end {
        ServeEnd::Shutdown => Ok(End::Done),
        ServeEnd::Retired => Ok(End::Retired),
        ServeEnd::ExecutorGone => Err(RunError::ExecutorGone),
    }
}

/// Leaves word for the network half, which alone can tell the cluster, why the executor cannot run.
pub(super) fn leave_word(config: &Config, error: &RunError) {
    if matches!(error, RunError::AlreadyRunning(_)) {
        // The one that runs is well.
        return;
    }
    let path = words_of(&config.socket);
    let left = network_user(config).map_err(io::Error::other);
    let left = left.and_then(|user| place::leave(&path, &with_causes(error), user));
    if let Err(error) = left {
        tracing::warn!(%error, "the network half will not know why the executor does not run");
    }
}

fn words_of(socket: &Path) -> PathBuf {
    socket.with_extension("failed")
}

/// Who may be the network half: whoever runs the executor, where that is not root.
fn network_user(config: &Config) -> Result<NetworkUser, RunError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(NetworkUser {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        });
    }
    let name = &config.network_user;
    let (uid, gid) = host::user(name).map_err(|source| RunError::NetworkUser {
        name: name.clone(),
        source,
    })?;
    Ok(NetworkUser { uid, gid })
}

/// The network half.
pub(super) fn network(config: &Config) -> Result<End, RunError> {
    let _lock = folders::lock(&config.identity_dir())?;
    let store = IdentityStore::open(&config.data_dir)?;
    let runtime = runtime()?;
    let end = runtime.block_on(Box::pin(async {
        let mut shutdown = stop_signals().map_err(RunError::Runtime)?;
        tokio::spawn(alive::watchdog(|| true));
        alive::ready();
        loop {
            let Some(called) = reach(config, &store, &mut shutdown).await else {
                return Ok(End::Done);
            };
            let other = Other::from(called);
            match half(config, Task::Network, &store, other, shutdown.clone()).await {
                Err(RunError::ExecutorGone) => tracing::warn!("the executor is called anew"),
                ended => return ended,
            }
        }
    }));
    alive::stopping();
    runtime.shutdown_background();
    tracing::info!("stopped");
    end
}

/// Calls the executor until it answers; nothing when the process shall end first.
async fn reach(
    config: &Config,
    store: &IdentityStore,
    shutdown: &mut watch::Receiver<bool>,
) -> Option<Called> {
    let mut due = Instant::now() + PATIENCE;
    loop {
        let tried = async {
            let error = match call(&config.socket).await {
                Ok(called) => return Some(called),
                Err(error) => error,
            };
            if Instant::now() >= due {
                due = Instant::now() + SAY_AGAIN;
                say(config, store, &error).await;
            }
            tokio::time::sleep(CALL_AGAIN).await;
            None
        };
        tokio::select! {
            called = tried => if called.is_some() {
                return called;
            },
            _ = shutdown.wait_for(|stop| *stop) => return None,
        }
    }
}

async fn say(config: &Config, store: &IdentityStore, error: &CallError) {
    let mut reason = with_causes(error);
    if let Some(words) = words(&words_of(&config.socket)) {
        reason = format!("{reason}; it said: {words}");
    }
    tracing::error!("{reason}");
    if let Ok(Some(identity)) = store.load() {
        hold::tell(store, &identity, &reason).await;
    }
}

/// What an executor that could not run has left.
fn words(path: &Path) -> Option<String> {
    let mut words = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(WORDS).read_to_end(&mut words).ok()?;
    Some(String::from_utf8_lossy(&words).into_owned())
}
