//! Running a program without a shell, for a bounded time, keeping a bounded end of its output.

use std::io::{PipeWriter, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::system::{Ended, SystemError};

/// Bytes of output that are kept, the last ones.
const OUTPUT_BYTES: usize = 4096;
/// From the end of a program to the end of its output, on a busy machine.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program answered, what it said beside that apart.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its exit code.
    pub code: u8,
    /// The end of its standard output.
    pub output: String,
    /// The end of its warnings and errors.
    pub errors: String,
}

/// As [`run`], for a program whose output is to be understood: warnings are not part of it.
///
/// # Errors
/// As [`run`].
pub(super) fn query(
    program: &str,
    arguments: &[&str],
    timeout: Duration,
) -> Result<Answer, SystemError> {
    query_up_to(program, arguments, timeout, OUTPUT_BYTES)
}

/// As [`query`], keeping so many bytes.
///
/// # Errors
/// As [`run`].
pub(super) fn query_up_to(
    program: &str,
    arguments: &[&str],
    timeout: Duration,
    bytes: usize,
) -> Result<Answer, SystemError> {
    answered(Stdio::null(), program, arguments, timeout, bytes)
}

fn answered(
    input: Stdio,
    program: &str,
    arguments: &[&str],
    timeout: Duration,
    bytes: usize,
) -> Result<Answer, SystemError> {
    let start = |error: std::io::Error| SystemError::Start {
        program: program.to_owned(),
        reason: error.to_string(),
    };
    let (reader, writer) = std::io::pipe().map_err(start)?;
    let (sender, errors) = mpsc::channel();
    thread::spawn(move || sender.send(keep_end(reader, OUTPUT_BYTES)));
    let ended = spawn(input, program, arguments, timeout, Some(writer), bytes);
    let errors = errors.recv_timeout(LAST_OUTPUT).unwrap_or_default();
    let ended = ended?;
    Ok(Answer {
        code: ended.code,
        output: ended.output,
        errors,
    })
}

/// As [`query`], for a program that reads what it shall do.
///
/// # Errors
/// As [`run`].
pub(super) fn query_from(
    input: Stdio,
    program: &str,
    arguments: &[&str],
    timeout: Duration,
) -> Result<Answer, SystemError> {
    answered(input, program, arguments, timeout, OUTPUT_BYTES)
}

/// Runs a program in a clean environment and waits for it.
///
/// # Errors
/// When it cannot be started, or runs longer than `timeout`; then its whole process group is ended.
pub(super) fn run(
    program: &str,
    arguments: &[&str],
    timeout: Duration,
) -> Result<Ended, SystemError> {
    spawn(
        Stdio::null(),
        program,
        arguments,
        timeout,
        None,
        OUTPUT_BYTES,
    )
}

/// Its errors go where its output goes, or to a pipe of their own.
fn spawn(
    input: Stdio,
    program: &str,
    arguments: &[&str],
    timeout: Duration,
    errors: Option<PipeWriter>,
    bytes: usize,
) -> Result<Ended, SystemError> {
    let start = |error: std::io::Error| SystemError::Start {
        program: program.to_owned(),
        reason: error.to_string(),
    };
    let (reader, writer) = std::io::pipe().map_err(start)?;
    let stdout = writer.try_clone().map_err(start)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .current_dir("/")
        .stdin(input)
        .stdout(stdout)
        .stderr(errors.unwrap_or(writer))
        .process_group(0);
    let mut child = command.spawn().map_err(start)?;
    // Our ends of the pipe close here, so that the reader sees the end of the output.
    drop(command);
    let (sender, output) = mpsc::channel();
    thread::spawn(move || sender.send(keep_end(reader, bytes)));
    let status = wait(&mut child, timeout).map_err(start)?;
    if status.is_none() {
        end_group(&mut child);
    }
    // A daemon that it left behind may hold the pipe open for ever.
    let output = output.recv_timeout(LAST_OUTPUT).unwrap_or_default();
    match status {
        None => Err(SystemError::Timeout {
            program: program.to_owned(),
            seconds: timeout.as_secs(),
            output,
        }),
        Some(status) => ended(program, status, output),
    }
}

fn ended(program: &str, status: ExitStatus, output: String) -> Result<Ended, SystemError> {
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => Ok(Ended { code, output }),
        _ => Err(SystemError::Failed {
            program: program.to_owned(),
            code: format!("signal {}", status.signal().unwrap_or_default()),
            output,
        }),
    }
}

fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn end_group(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // It may have ended by itself in this moment.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

fn keep_end(mut reader: impl Read, bytes: usize) -> String {
    let mut kept = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut part) {
        kept.extend_from_slice(&part[..count]);
        let excess = kept.len().saturating_sub(bytes);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn code_and_output_come_back() {
        let ended = run("/bin/sh", &["-c", "echo out; echo err >&2; exit 3"], LONG).unwrap();
        assert_eq!(ended.code, 3);
        assert_eq!(ended.output, "out\nerr");
    }

    #[test]
    fn success_and_failure_are_told_apart_without_a_shell() {
        assert_eq!(run("/bin/true", &["$(exit 7)"], LONG).unwrap().code, 0);
        assert_eq!(run("/bin/false", &[], LONG).unwrap().code, 1);
        let echoed = run("/bin/echo", &["$HOME", "*", "; exit 7"], LONG).unwrap();
        assert_eq!(echoed.output, "$HOME * ; exit 7");
    }

    #[test]
    fn a_program_sees_nothing_of_our_environment_input_and_folder() {
        assert!(std::env::var_os("HOME").is_some() || std::env::var_os("CARGO").is_some());
        let mut seen: Vec<String> = run("/usr/bin/env", &[], LONG)
            .unwrap()
            .output
            .lines()
            .map(str::to_owned)
            .collect();
        seen.sort();
        let path = format!("PATH={PATH}");
        assert_eq!(
            seen,
            ["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", &path]
        );
        assert_eq!(run("/bin/cat", &[], LONG).unwrap().output, "");
        assert_eq!(run("/bin/pwd", &[], LONG).unwrap().output, "/");
    }

    #[test]
    fn a_program_that_a_signal_ends_has_failed() {
        let error = run("/bin/sh", &["-c", "echo last words; kill -KILL $$"], LONG).unwrap_err();
        let SystemError::Failed { code, output, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((&code[..], &output[..]), ("signal 9", "last words"));
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let begin = Instant::now();
        let error = run(
            "/bin/sh",
            &["-c", "sleep 60 & echo $!; sleep 60"],
            // Enough to have begun, on a busy machine.
            Duration::from_secs(2),
        )
        .unwrap_err();
        let SystemError::Timeout { output, .. } = &error else {
            panic!("{error}");
        };
        assert!(begin.elapsed() < LONG);
        let child: u32 = output.parse().expect("the child's number");
        wait_gone(child);
    }

    /// Ended, or ended and not yet taken note of by whoever inherited it.
    fn wait_gone(process: u32) {
        let deadline = Instant::now() + LONG;
        let state = || std::fs::read_to_string(format!("/proc/{process}/stat"));
        while state().is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "the child outlived its group");
            thread::yield_now();
        }
    }

    #[test]
    fn a_daemon_that_is_left_behind_with_our_pipe_does_not_hold_us() {
        let begin = Instant::now();
        let ended = run(
            "/bin/sh",
            &["-c", "sleep 60 & exit 0"],
            Duration::from_secs(50),
        )
        .unwrap();
        assert_eq!(ended.code, 0);
        assert!(begin.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn output_is_bounded_to_its_end() {
        let ended = run("/bin/sh", &["-c", "seq 1 100000"], LONG).unwrap();
        assert!(ended.output.len() <= OUTPUT_BYTES);
        assert!(ended.output.ends_with("100000"));
    }

    #[test]
    fn a_missing_program_says_so() {
        let error = run("/nowhere/tool", &[], LONG).unwrap_err().to_string();
        assert!(error.contains("/nowhere/tool could not be run"), "{error}");
    }
}
