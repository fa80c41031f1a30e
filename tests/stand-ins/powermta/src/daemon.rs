//! The daemon: everything that `pmtad` starts, until a signal.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::engine::{Engine, Overrides, StartError};
use crate::{clock, deliver, manage, receive};

/// Where the product has its log, when no line says so.
const LOG: &str = "/var/log/pmta/log";

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
        let fault = |ended: &Ended| note_fault(&self.config, ended);
        let engine = Engine::start(&self.config, self.overrides)
            .map_err(Ended::from)
            .inspect_err(fault)?;
        let ended = serve(&engine, &self.control).await.inspect_err(fault);
        engine.log("stopped");
        ended.map_err(DaemonError::from)
    }
}

/// Says in `pmta-startuperr.log`, beside the log, why there is no daemon.
///
/// The line that names the log is looked for by itself, since the rest may be what is at fault.
fn note_fault(config: &Path, fault: &Ended) {
    let text = fs::read_to_string(config).unwrap_or_default();
    let mut named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_log = words.next()?.eq_ignore_ascii_case("log-file");
        words
            .next()
            .map(|path| path.trim_matches('"'))
            .filter(|path| is_log && path.starts_with('/'))
    });
    let log = Path::new(named.next_back().unwrap_or(LOG)).with_file_name("pmta-startuperr.log");
    let line = format!("{} Startup error: {fault}\n", clock::plain(clock::now()));
    let opened = OpenOptions::new().create(true).append(true).open(log);
    // Where it cannot be written, standard error has it still.
    drop(opened.and_then(|mut file| file.write_all(line.as_bytes())));
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
