//! One agent as a process, with a sandbox root.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::process::under_umask;
use crate::{Daemon, binary};

/// One agent.
#[derive(Debug)]
pub struct AgentProcess {
    host: String,
    dir: PathBuf,
    daemon: Option<Daemon>,
    /// Length of its log when it was started last.
    logged: u64,
    extra: Vec<(String, String)>,
    umask: Option<&'static str>,
    machine: Option<fn(&Path) -> Command>,
    /// The executor, where it is a process of its own.
    executor: Option<Daemon>,
    apart: bool,
}

impl AgentProcess {
    /// An agent whose root, data and log live in `dir`; nothing is started.
    pub fn new(host: &str, dir: &Path) -> Self {
        std::fs::create_dir_all(dir.join("root")).unwrap();
        Self {
            host: host.to_owned(),
            dir: dir.to_owned(),
            daemon: None,
            logged: 0,
            extra: Vec::new(),
            umask: None,
            machine: None,
            executor: None,
            apart: false,
        }
    }

    /// Runs under this file mode creation mask from its next start on.
    pub fn under_umask(&mut self, umask: &'static str) {
        self.umask = Some(umask);
    }

    /// Runs on a machine that this command makes of the root folder, instead of a sandbox, from its next
    /// start on.
    pub fn on_machine(&mut self, machine: fn(&Path) -> Command) {
        self.machine = Some(machine);
    }

    /// Runs each half as a process of its own from its next start on, both as our own user.
    pub fn apart(&mut self) {
        self.apart = true;
        let socket = self.socket().display().to_string();
        self.set("EMAIL_ENGINE_AGENT_SOCKET", &socket);
        self.set("EMAIL_ENGINE_AGENT_NETWORK_USER", "root");
    }

    /// Where the halves meet when they are apart.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("run/executor.sock")
    }

    /// The host's root folder.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// The agent's own data.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("agent")
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// A file below the host's root.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// The command that runs it; a join token goes through the environment, never through argv.
    #[must_use]
    pub fn command(&self, token: Option<&str>) -> Command {
        self.command_of(if self.apart { "network" } else { "run" }, token)
    }

    fn command_of(&self, task: &str, token: Option<&str>) -> Command {
        let mut command = match self.machine {
            Some(machine) => machine(&self.root()),
            None => {
                let mut command = Command::new(binary("email-engine-agent"));
                command.env("EMAIL_ENGINE_AGENT_SANDBOX_ROOT", self.root());
                command
            }
        };
        command
            .arg(task)
            .env("EMAIL_ENGINE_AGENT_DATA_DIR", self.data_dir())
            .env("EMAIL_ENGINE_AGENT_AUDIT_INTERVAL_SECONDS", "2")
            .env("EMAIL_ENGINE_AGENT_RECONNECT_MAX_SECONDS", "1");
        for (key, value) in &self.extra {
            command.env(key, value);
        }
        if let Some(token) = token {
            command.env("EMAIL_ENGINE_JOIN_TOKEN", token);
        }
        match self.umask {
            Some(umask) => under_umask(&command, umask),
            None => command,
        }
    }

    /// Sets an environment variable from its next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.extra.push((key.to_owned(), value.to_owned()));
    }

    /// Starts it.
    pub fn start(&mut self, token: Option<&str>) {
        if self.apart
            && let Some(token) = token
        {
            self.expect(token);
        }
        if self.apart && self.executor.is_none() {
            self.start_executor();
        }
        let name = format!("agent {}", self.host);
        self.logged = std::fs::metadata(self.log()).map_or(0, |log| log.len());
        self.daemon = Some(Daemon::start(&name, self.command(token), &self.log()));
    }

    /// Tells the executor whom the host may belong to, as whoever holds the machine.
    pub fn expect(&self, token: &str) {
        let told = self.try_expect(token);
        assert!(told.status.success(), "{told:?}");
    }

    /// As [`expect`](Self::expect), and gives how that ended.
    #[must_use]
    pub fn try_expect(&self, token: &str) -> Output {
        self.command_of("expect", Some(token)).output().unwrap()
    }

    /// What `status` says on this host.
    #[must_use]
    pub fn status(&self) -> Value {
        let said = self.command_of("status", None).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        serde_json::from_slice(&said.stdout).unwrap()
    }

    /// What the executor has said, where it is a process of its own.
    #[must_use]
    pub fn executor_log(&self) -> PathBuf {
        self.dir.join("executor.log")
    }

    /// Starts the network half alone, and tells nobody of its token.
    pub fn start_network(&mut self, token: Option<&str>) {
        let name = format!("network half {}", self.host);
        self.daemon = Some(Daemon::start(&name, self.command(token), &self.log()));
    }

    /// Starts the executor alone.
    pub fn start_executor(&mut self) {
        let name = format!("executor {}", self.host);
        let command = self.command_of("executor", None);
        let log = self.executor_log();
        self.executor = Some(Daemon::start(&name, command, &log));
    }

    /// The running executor, where it is a process of its own.
    pub fn executor(&mut self) -> &mut Daemon {
        self.executor.as_mut().unwrap()
    }

    /// Ends the executor alone, without a chance to tidy up.
    pub fn kill_executor(&mut self) {
        if let Some(mut daemon) = self.executor.take() {
            daemon.kill();
        }
    }

    /// Whether a session with the cluster began since its last start: until then, what the cluster
    /// knows of its host is an earlier process's word.
    #[must_use]
    pub fn has_reached_the_cluster(&self) -> bool {
        let Ok(mut log) = std::fs::File::open(self.log()) else {
            return false; // it never was started
        };
        log.seek(SeekFrom::Start(self.logged)).unwrap();
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).contains("session begins")
    }

    /// Ends it without a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
        self.kill_executor();
    }

    /// Ends the network half alone, without a chance to tidy up.
    pub fn kill_network(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// The running process.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }
}
