//! `email-engine trial`: everything on one machine, by one command.

mod once;
mod standing;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use email_engine_tests::{Daemon, binary, wait_until};
use serde_json::Value;

/// Head of the table of hosts.
const HEAD: [&str; 7] = [
    "HOST",
    "ROLE",
    "TENANT",
    "GENERATION",
    "RESOURCES",
    "NODE",
    "STATE",
];

/// Runs a trial to its end.
fn once(dir: &Path, further: &[&str]) -> Output {
    let mut command = Command::new(binary("email-engine"));
    command.args(["trial", "--once", "--dir"]).arg(dir);
    command.args(further).output().unwrap()
}

/// A trial that stays up, and everything that it says.
struct Running {
    dir: PathBuf,
    daemon: Daemon,
    log: PathBuf,
}

impl Running {
    /// Starts one and waits until all of it is up.
    async fn start(dir: &Path, further: &[&str]) -> Self {
        let mut command = Command::new(binary("email-engine"));
        command.args(["trial", "--dir"]).arg(dir).args(further);
        let log = dir.with_extension("log");
        let daemon = Daemon::start("trial", command, &log);
        let dir = dir.to_owned();
        let mut running = Self { dir, daemon, log };
        // The last line of what is told once it is up.
        running.says("\nLogs: ").await;
        running
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn says(&mut self, words: &str) {
        wait_until(&format!("the trial says {words:?}"), async || {
            assert!(
                self.daemon.is_running(),
                "it ended:\n{}",
                self.daemon.log_tail()
            );
            self.said().contains(words)
        })
        .await;
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("email-engine"));
        command.env("EMAIL_ENGINE_CONTEXT", self.dir.join("admin.toml"));
        command.args(arguments).output().unwrap()
    }

    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn answers(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        serde_json::from_str(&self.prints(&arguments)).unwrap()
    }

    /// The state of the fleet, if all of it has converged.
    fn converged(&self) -> Result<Value, String> {
        let ended = self.run(&["status", "--output", "json"]);
        let status: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        let done = ended.status.success() && status["state"] == "converged";
        done.then_some(status).ok_or_else(|| format!("{ended:?}"))
    }

    /// Ends it as its user does, after which nothing of it runs any more.
    fn interrupt(&mut self) {
        let ended = self.daemon.interrupt();
        assert!(ended.success(), "{ended:?}");
        let said = self.said();
        assert!(said.contains("Ctrl-C: ending"), "{said}");
        assert!(said.contains("all processes ended"), "{said}");
        let dir = self.dir.to_str().unwrap();
        let left: Vec<_> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .map(|process| command_line(&process.path()))
            .filter(|line| line.contains(dir))
            .collect();
        assert!(left.is_empty(), "still running: {left:?}");
    }
}

/// Program and arguments of a process in `/proc`; nothing of one that is gone.
fn command_line(process: &Path) -> String {
    let bytes = std::fs::read(process.join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
