//! The daemon: everything that `pmtad` starts, until a signal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::engine::{Engine, Overrides, StartError};
use crate::{deliver, manage, receive};

/// What `pmtad` was started with.
#[derive(Debug)]
pub struct Start {
    /// The configuration.
    pub config: PathBuf,
    /// The socket for commands.
    pub control: PathBuf,
    /// What tests say besides.
    pub overrides: Overrides,
}

/// Why the daemon ended.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct DaemonError(#[from] Ended);

#[derive(Debug, Error)]
enum Ended {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{what}: {source}")]
    Io {
        what: &'static str,
        source: io::Error,
    },
}

impl Start {
    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    ///
    /// When the configuration is refused, or a socket cannot be had.
    pub async fn run(self) -> Result<(), DaemonError> {
        let engine = Engine::start(&self.config, self.overrides).map_err(Ended::from)?;
        let ended = serve(&engine, &self.control).await;
        engine.log("stopped");
        ended.map_err(DaemonError::from)
    }
}

async fn serve(engine: &Arc<Engine>, control: &Path) -> Result<(), Ended> {
    let failed = |what| move |source| Ended::Io { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("signals"))?;
    tokio::select! {
        ended = receive::serve(Arc::clone(engine)) => ended.map_err(failed("listeners")),
        ended = manage::serve(Arc::clone(engine), control) => ended.map_err(failed("control")),
        ended = manage::serve_http(Arc::clone(engine)) => ended.map_err(failed("http-mgmt-port")),
        () = deliver::run(Arc::clone(engine)) => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}
