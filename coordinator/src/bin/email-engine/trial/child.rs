//! Starts a process that cannot outlive us, and ends one.
//!
//! The signal of a parent's death can only be asked for by the child itself. So we start ourselves
//! again under a hidden command that asks for it and then becomes the program: no `unsafe` between
//! fork and exec is needed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use zeroize::Zeroizing;

use super::TrialError;

/// Name of the hidden command.
pub(crate) const FOLLOW: &str = "follow-parent";
/// Time between asking a process to end and ending it.
const GRACE: Duration = Duration::from_secs(5);
/// Environment of our own programs: what the user's shell has must not steer a trial's processes.
const OWN_VARIABLES: &str = "EMAIL_ENGINE_";

/// Arguments of the hidden command: becomes a program that dies with its parent.
#[derive(Args, Debug)]
pub(crate) struct Follow {
    /// Process id of the parent
    parent: i32,
    /// Program and arguments
    #[arg(last = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

/// Becomes the program; returns only when that fails.
pub(crate) fn follow(follow: &Follow) -> TrialError {
    let name = follow.command[0].to_string_lossy().into_owned();
    let action = format!("start {name}");
    // Not SIGTERM: whoever is stuck must go as well, and each of our programs survives it.
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return TrialError::io(action)(error.into());
    }
    // It may have died before the signal was asked for.
    let parent = rustix::process::getppid().map(Pid::as_raw_nonzero);
    if parent.map(std::num::NonZero::get) != Some(follow.parent) {
        return TrialError::io(action)(io::Error::other("the trial ended meanwhile"));
    }
    let error = std::process::Command::new(&follow.command[0])
        .args(&follow.command[1..])
        .exec();
    TrialError::io(action)(error)
}

/// A process to be: its program, arguments, and where its words go.
#[derive(Clone)]
pub(super) struct Recipe {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<std::ffi::OsString>,
    /// May hold secrets: never shown.
    pub(super) environment: Vec<(&'static str, Zeroizing<String>)>,
    pub(super) log: PathBuf,
    /// Exit code by which it says that it is not wanted any more.
    pub(super) farewell: Option<i32>,
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe")
            .field("name", &self.name)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

impl Recipe {
    /// Starts it; both its outputs go to its log.
    pub(super) fn spawn(&self) -> io::Result<Child> {
        let log = self.open_log()?;
        self.command(log.try_clone()?.into(), log.into())?.spawn()
    }

    /// Runs it to its end and returns what it answered on stdout.
    pub(super) async fn run(&self, deadline: Duration) -> Result<Vec<u8>, TrialError> {
        let start = || format!("start {}", self.name);
        let log = self.open_log().map_err(TrialError::io(start()))?;
        let child = self
            .command(Stdio::piped(), log.into())
            .and_then(|mut command| command.spawn())
            .map_err(TrialError::io(start()))?;
        match tokio::time::timeout(deadline, child.wait_with_output()).await {
            Ok(Ok(output)) if output.status.success() => Ok(output.stdout),
            Ok(Ok(output)) => Err(self.failed(format!("failed ({})", output.status))),
            Ok(Err(error)) => Err(TrialError::io(format!("run {}", self.name))(error)),
            // Dropping it has killed it.
            Err(_) => {
                let seconds = deadline.as_secs();
                Err(self.failed(format!("did not end within {seconds} s")))
            }
        }
    }

    /// An error that shows the end of the log.
    pub(super) fn failed(&self, what: impl Into<String>) -> TrialError {
        TrialError::Program {
            name: self.name.clone(),
            what: what.into(),
            log: self.log.display().to_string(),
            tail: tail(&self.log, TAIL_LINES),
        }
    }

    fn open_log(&self) -> io::Result<File> {
        File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
    }

    fn command(&self, stdout: Stdio, stderr: Stdio) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(FOLLOW)
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // A Ctrl-C is for us: children are ended in order.
            .process_group(0)
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(OWN_VARIABLES) {
                command.env_remove(name);
            }
        }
        for (name, value) in &self.environment {
            command.env(name, value.as_str());
        }
        Ok(command)
    }
}

const TAIL_LINES: usize = 12;

/// The last lines of a log.
pub(super) fn tail(path: &Path, most: usize) -> String {
    const BYTES: u64 = 2048;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_else(|error| format!("(not readable: {error})"));
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(most);
    let shown: Vec<_> = lines[first..]
        .iter()
        .map(|line| format!("  {line}"))
        .collect();
    shown.join("\n")
}

/// Asks a process to end, and ends it when it does not.
pub(super) async fn end(child: &mut Child) {
    end_within(child, GRACE).await;
}

async fn end_within(child: &mut Child, grace: Duration) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return;
    };
    if let Some(pid) = Pid::from_raw(pid) {
        // Not reaped yet, so the number is still its own.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(grace, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// The signals that end a trial.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: unix::Signal,
    hangup: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one and names it.
    pub(super) async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.hangup.recv() => "hang-up",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_shown_and_its_absence_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        assert!(tail(&path, TAIL_LINES).contains("not readable"));
        let lines: Vec<_> = (0..500).map(|n| format!("line {n}")).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let shown = tail(&path, TAIL_LINES);
        assert_eq!(shown.lines().count(), 12);
        assert!(shown.ends_with("  line 499"), "{shown}");
        assert_eq!(tail(&path, 1), "  line 499");
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_request_is_ended_by_force() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        let mut stdout = child.stdout.take().unwrap();
        tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut ready)
            .await
            .unwrap();
        end_within(&mut child, Duration::from_millis(200)).await;
        let status = child.wait().await.unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    }
}
