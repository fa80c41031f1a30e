//! One coordinator node as a process.

mod ports;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use ports::Port;

use crate::process::under_umask;
use crate::{Clock, Daemon, binary, wait_for};

/// DKIM keys that a node keeps ahead of need.
pub const DKIM_STOCK: u64 = 8;

/// Where a node is reached, as it writes it down when all its listeners are up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Endpoints {
    /// Agents (UDP).
    pub agent: String,
    /// Raft (UDP).
    pub raft: String,
    /// HTTPS (TCP).
    pub api: String,
    /// Process that wrote it.
    pub pid: u32,
}

/// One coordinator node.
#[derive(Debug)]
pub struct NodeProcess {
    dir: PathBuf,
    /// Where its data lies, when not below `dir`.
    data: Option<PathBuf>,
    daemon: Option<Daemon>,
    endpoints: Option<Endpoints>,
    /// For agents, Raft and the API, until it is told to take over another's.
    ports: [Port; 3],
    extra: Vec<(String, String)>,
    /// Of its clock, where it has one of its own.
    clock: Vec<(&'static str, String)>,
    umask: Option<&'static str>,
}

impl NodeProcess {
    /// A node whose data and log live in `dir`; nothing is started.
    pub fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        Self {
            dir: dir.to_owned(),
            data: None,
            daemon: None,
            endpoints: None,
            ports: [Port::claim(), Port::claim(), Port::claim()],
            extra: Vec::new(),
            clock: Vec::new(),
            umask: None,
        }
    }

    /// Runs under this file mode creation mask from its next start on.
    pub fn under_umask(&mut self, umask: &'static str) {
        self.umask = Some(umask);
    }

    /// Folder of its data.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        let own = || self.dir.join("data");
        self.data.clone().unwrap_or_else(own)
    }

    /// Keeps its data elsewhere. Before its first start.
    pub fn keep_data_in(&mut self, folder: &Path) {
        self.data = Some(folder.to_owned());
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Sets a configuration value from its next start on, such as `MIN_FREE_BYTES`.
    pub fn set(&mut self, key: &str, value: &str) {
        self.extra.retain(|(name, _)| name != key);
        self.extra.push((key.to_owned(), value.to_owned()));
    }

    /// Goes by a clock of its own from its next start on, its subcommands included.
    pub fn go_by(&mut self, clock: &Clock) {
        let environment = clock.environment();
        self.clock = environment
            .map(|(key, value)| (key, value.to_owned()))
            .collect();
    }

    /// The command for one of its subcommands. Its ports are its own, also while it is down.
    #[must_use]
    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(binary("email-engine-coordinator"));
        command.arg(subcommand);
        let known = self.endpoints.as_ref();
        let listen = |port: usize, pick: fn(&Endpoints) -> &String| {
            known.map_or_else(|| self.ports[port].endpoint(), |all| pick(all).clone())
        };
        let settings = [
            ("DATA_DIR", self.data_dir().display().to_string()),
            ("AGENT_LISTEN", listen(0, |all| &all.agent)),
            ("RAFT_LISTEN", listen(1, |all| &all.raft)),
            ("API_LISTEN", listen(2, |all| &all.api)),
            ("MODE", "sandbox".to_owned()),
            ("MIN_FREE_BYTES", "1048576".to_owned()),
            ("DKIM_STOCK", DKIM_STOCK.to_string()),
            // No list is asked but by those scenarios that have one of their own.
            ("DNSBL_SWEEP_SECONDS", "0".to_owned()),
            ("LOG_LEVEL", "info".to_owned()),
        ];
        for (key, value) in settings
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .chain(
                self.extra
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str())),
            )
        {
            command.env(format!("EMAIL_ENGINE_COORDINATOR_{key}"), value);
        }
        for (key, value) in &self.clock {
            command.env(key, value);
        }
        match self.umask {
            Some(umask) => under_umask(&command, umask),
            None => command,
        }
    }

    /// Runs a subcommand to its end, which must be a good one, and gives what it printed.
    pub fn run(&self, mut command: Command) -> Vec<u8> {
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Starts it and waits until its listeners are up.
    pub async fn start(&mut self) {
        let file = self.data_dir().join("endpoints.json");
        let name = format!("node {}", self.dir.display());
        self.daemon = Some(Daemon::start(&name, self.command("run"), &self.log()));
        let daemon = self.daemon.as_mut().unwrap();
        let endpoints = wait_for("a node has all its listeners up", async || {
            assert!(
                daemon.is_running(),
                "a node ended at once:\n{}",
                daemon.log_tail()
            );
            let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let found: Endpoints =
                serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if found.pid == daemon.id() {
                Ok(found)
            } else {
                Err(text)
            }
        })
        .await;
        self.endpoints = Some(endpoints);
    }

    /// Where it is reached; it must have been started once.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        self.endpoints.as_ref().unwrap()
    }

    /// Where other nodes reach it.
    #[must_use]
    pub fn raft_endpoint(&self) -> &str {
        let told = self.extra.iter().find(|(key, _)| key == "ADVERTISE_RAFT");
        told.map_or(&self.endpoints().raft, |(_, endpoint)| endpoint)
    }

    /// Base URL of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.endpoints().api)
    }

    /// Listens where another node did, so that agents find it.
    pub fn take_over(&mut self, endpoints: Endpoints) {
        self.endpoints = Some(endpoints);
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(Daemon::is_running)
    }

    /// Ends it as a power cut of the process would (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Asks it to end.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let status = daemon.stop();
            assert!(status.success(), "a node did not end well: {status:?}");
        }
    }

    /// The running process.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }
}
