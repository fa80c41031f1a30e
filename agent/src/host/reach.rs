//! Whether a program runs as this process may, or in a unit of its own.
//!
//! The service manager keeps the executor from the network and from much else. What installs packages
//! and what roles run as steps needs more than that: it becomes a transient unit, which has the rights
//! of the machine and not those of the executor. Questions are asked by the executor itself.

use std::time::Duration;

use super::spawn::{self, PATH};
use super::system::{Ended, SystemError};

const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";
/// From the end of a unit's time to the end of whoever waits for it.
const LATER: Duration = Duration::from_secs(10);

/// How programs are run that may need more than this process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// By this process.
    #[default]
    Own,
    /// As a transient unit (systemd-run(1)).
    Outside,
}

impl Reach {
    /// Runs a program and waits for it.
    ///
    /// # Errors
    /// When it cannot be started or runs longer than `timeout`; then all of it is ended.
    pub(super) fn run(
        self,
        program: &str,
        arguments: &[&str],
        timeout: Duration,
    ) -> Result<Ended, SystemError> {
        match self {
            Self::Own => spawn::run(program, arguments, timeout),
            Self::Outside => {
                let all = transient(program, arguments, timeout);
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                spawn::run(SYSTEMD_RUN, &all, timeout + LATER)
            }
        }
    }
}

/// Arguments of systemd-run for a program: its exit code and output become those of systemd-run.
fn transient(program: &str, arguments: &[&str], timeout: Duration) -> Vec<String> {
    let seconds = timeout.as_secs().max(1);
    let mut all: Vec<String> = [
        "--quiet",
        "--collect",
        "--wait",
        "--pipe",
        "--service-type=exec",
        "--working-directory=/",
        "--setenv=LC_ALL=C.UTF-8",
        "--setenv=DEBIAN_FRONTEND=noninteractive",
    ]
    .map(str::to_owned)
    .into();
    all.push(format!("--setenv=PATH={PATH}"));
    // The unit goes on when whoever waits for it is killed; it ends by itself.
    all.push(format!("--property=RuntimeMaxSec={seconds}"));
    all.push("--".to_owned());
    all.push(program.to_owned());
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_and_its_arguments_are_no_options_of_systemd_run() {
        let all = transient("/bin/true", &["--wait", "a b"], Duration::from_millis(1));
        let end = all.iter().position(|one| one == "--").unwrap();
        assert_eq!(all[end + 1..], ["/bin/true", "--wait", "a b"]);
        assert!(all.contains(&"--property=RuntimeMaxSec=1".to_owned()));
    }
}
