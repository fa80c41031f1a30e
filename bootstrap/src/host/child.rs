//! Programs that are run: with a plain environment, and their last words when they fail.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Enough of what a program said to understand it.
const SAID: usize = 2000;

/// Why a program did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    /// It ended badly.
    #[error("{program} ended with {}: {said}", code.map_or_else(|| "a signal".to_owned(), |code| code.to_string()))]
    Ended {
        program: String,
        code: Option<i32>,
        said: String,
    },
    /// It does not start, or does not take what it is given.
    #[error("{program} cannot be run: {source}")]
    Start {
        program: String,
        source: std::io::Error,
    },
}

/// A program with the environment of a service: nothing of who started the bootstrap.
pub(super) fn program(path: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(path);
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LANG", "C.UTF-8")
        .current_dir("/");
    command
}

/// Runs it to its good end and gives what it printed.
pub(super) fn run(command: &mut Command) -> Result<Vec<u8>, ChildError> {
    run_with(command, &[])
}

/// As [`run`], with something to read on standard input.
pub(super) fn run_with(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, ChildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| ChildError::Start {
        program: program.clone(),
        source,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it has its reasons, and says them.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let cut = said.trim().chars().rev().take(SAID).collect::<Vec<_>>();
    Err(ChildError::Ended {
        program,
        code: output.status.code(),
        said: cut.into_iter().rev().collect(),
    })
}
