//! Whether something is done by this process, or in a unit of its own.
//!
//! The service manager keeps the executor from the network and from much else. What installs packages,
//! what roles run as steps, and a server's greeting at another address than the loopback need more: they
//! are errands. An errand is this very program once more, started by the service manager with the rights
//! of the machine; it does the one thing and says what came of it in one line. So the codes, signals and
//! time limits of what it ran are known exactly, and whatever the service manager says of its unit is
//! only why there is no such line. There is one errand at a time: a former life's may still be at it, and
//! nothing is begun beside that. Only what asks servers how they are, and changes nothing, has units of its
//! own and waits for nobody.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use email_engine_protocol::desired::HttpQuestion;
use serde::{Deserialize, Serialize};

use super::greeting;
use super::spawn;
use super::system::{Ended, SystemError};
use crate::visit::{self, Page, VisitError};

const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";
const UNIT: &str = "--unit=email-engine-errand";
/// Begins the names of units that only ask.
const QUESTION_UNIT: &str = "--unit=email-engine-question";
/// From the end of an errand's time to the end of its unit, and of whoever waits for that.
const LATER: Duration = Duration::from_secs(20);
/// Begins the line that says what came of it.
const MARK: &str = "email-engine-errand: ";
/// Longest such line: the kept end of an output, escaped.
const LINE_BYTES: usize = 64 * 1024;

/// Something that this process may not do itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Errand {
    /// Run a program.
    Run {
        program: String,
        arguments: Vec<String>,
        millis: u64,
    },
    /// Ask a server of this machine for its first line.
    Greet { address: SocketAddr, millis: u64 },
    /// Connect to a server of this machine.
    Connect { address: SocketAddr, millis: u64 },
    /// Ask a web server of this machine for a page.
    Visit { question: HttpQuestion, millis: u64 },
}

/// What came of an errand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Done {
    Ended { code: u8, output: String },
    Line(String),
    Connected,
    Page(Page),
}

/// How things are done that may need more than this process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// By this process.
    #[default]
    Own,
    /// As errands.
    Errands,
    /// By this process, but for questions that it may not ask itself: they are errands of their own.
    Questions,
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
        if self != Self::Errands {
            return spawn::run(program, arguments, timeout);
        }
        let errand = Errand::Run {
            program: program.to_owned(),
            arguments: arguments.iter().map(|one| (*one).to_owned()).collect(),
            millis: millis(timeout),
        };
        match self.send(&errand, timeout)? {
            Done::Ended { code, output } => Ok(Ended { code, output }),
            _ => Err(other()),
        }
    }

    /// Whether this process may speak with this address.
    fn reaches(self, address: SocketAddr) -> bool {
        self == Self::Own || address.ip().is_loopback()
    }

    /// The first line of a server at an address of this machine.
    ///
    /// # Errors
    /// As [`greeting::first_line`], and when the errand cannot be run.
    pub(super) fn greeting(
        self,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<String, SystemError> {
        if self.reaches(address) {
            return greeting::first_line(address, timeout);
        }
        let millis = millis(timeout);
        match self.send(&Errand::Greet { address, millis }, timeout)? {
            Done::Line(line) => Ok(line),
            _ => Err(other()),
        }
    }

    /// Whether a server at an address of this machine takes connections.
    ///
    /// # Errors
    /// As [`greeting::connect`], and when the errand cannot be run.
    pub(super) fn connect(self, address: SocketAddr, timeout: Duration) -> Result<(), SystemError> {
        if self.reaches(address) {
            return greeting::connect(address, timeout).map(drop);
        }
        let millis = millis(timeout);
        match self.send(&Errand::Connect { address, millis }, timeout)? {
            Done::Connected => Ok(()),
            _ => Err(other()),
        }
    }

    /// What a web server at an address of this machine answers.
    ///
    /// # Errors
    /// Why it does not, and when the errand cannot be run.
    pub(super) fn visit(
        self,
        question: &HttpQuestion,
        timeout: Duration,
    ) -> Result<Page, SystemError> {
        if self.reaches(question.address) {
            return visited(question, timeout);
        }
        let errand = Errand::Visit {
            question: question.clone(),
            millis: millis(timeout),
        };
        match self.send(&errand, timeout)? {
            Done::Page(page) => Ok(page),
            _ => Err(other()),
        }
    }

    /// Has an errand done and waits for what comes of it.
    fn send(self, errand: &Errand, timeout: Duration) -> Result<Done, SystemError> {
        let program = std::env::current_exe().map_err(|error| lost(error.to_string()))?;
        // A program that was replaced while it runs has this behind its name; the new one stands there.
        let program = program.display().to_string();
        let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
        let seconds = (timeout + LATER).as_secs();
        let limit = format!("--property=TimeoutStartSec={seconds}");
        let request = encode(errand);
        let unit = self.unit();
        let arguments = [
            "--quiet",
            "--collect",
            "--wait",
            "--pipe",
            unit.as_str(),
            // Unlike other services, one that is ended by a signal has failed.
            "--service-type=oneshot",
            limit.as_str(),
            "--property=TimeoutStopSec=10",
            "--working-directory=/",
            "--",
            program,
            "errand",
            request.as_str(),
        ];
        let waits = timeout + LATER + LATER;
        let answer = spawn::query_up_to(SYSTEMD_RUN, &arguments, waits, LINE_BYTES)?;
        let line = answer
            .output
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(MARK));
        let said =
            line.and_then(|line| serde_json::from_str::<Result<Done, SystemError>>(line).ok());
        said.unwrap_or_else(|| {
            let code = answer.code;
            Err(lost(format!("it ended with {code}: {}", answer.errors)))
        })
    }

    /// The unit that an errand is.
    fn unit(self) -> String {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Own | Self::Errands => UNIT.to_owned(),
            Self::Questions => {
                let number = ASKED.fetch_add(1, Ordering::Relaxed);
                format!("{QUESTION_UNIT}-{}-{number}", std::process::id())
            }
        }
    }
}

fn visited(question: &HttpQuestion, timeout: Duration) -> Result<Page, SystemError> {
    let address = question.address;
    visit::visit(question, timeout).map_err(|error| match error {
        VisitError::Silent(reason) => SystemError::Silent { address, reason },
        VisitError::Stranger(reason) => SystemError::Stranger { address, reason },
        VisitError::Unreadable(reason) => SystemError::Unreadable { address, reason },
    })
}

fn other() -> SystemError {
    lost("it answered something else".to_owned())
}

fn millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

fn lost(reason: String) -> SystemError {
    SystemError::Start {
        program: format!("{SYSTEMD_RUN} {UNIT}"),
        reason,
    }
}

/// One word without any sign that the service manager would expand.
fn encode(errand: &Errand) -> String {
    let bytes = serde_json::to_vec(errand).expect("an errand is JSON");
    BASE64URL_NOPAD.encode(&bytes)
}

/// Does an errand, as the program that was sent on it, and says what came of it. Gives the exit code.
#[must_use]
pub fn run_errand(request: &str) -> u8 {
    let errand = BASE64URL_NOPAD.decode(request.as_bytes()).ok();
    let errand = errand.and_then(|bytes| serde_json::from_slice::<Errand>(&bytes).ok());
    let Some(errand) = errand else {
        eprintln!("not an errand: this command is for the agent itself");
        return 2;
    };
    let done = match errand {
        Errand::Run {
            program,
            arguments,
            millis,
        } => {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            spawn::run(&program, &arguments, Duration::from_millis(millis)).map(|ended| {
                Done::Ended {
                    code: ended.code,
                    output: ended.output,
                }
            })
        }
        Errand::Greet { address, millis } => {
            greeting::first_line(address, Duration::from_millis(millis)).map(Done::Line)
        }
        Errand::Connect { address, millis } => {
            greeting::connect(address, Duration::from_millis(millis)).map(|_| Done::Connected)
        }
        Errand::Visit { question, millis } => {
            visited(&question, Duration::from_millis(millis)).map(Done::Page)
        }
    };
    println!("{MARK}{}", serde_json::to_string(&done).unwrap_or_default());
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_is_one_word_that_nobody_expands_and_comes_back_whole() {
        let errand = Errand::Run {
            program: "/bin/sh".to_owned(),
            arguments: vec!["-c".to_owned(), "echo ${A} $$ %n \"a b\"".to_owned()],
            millis: 7,
        };
        let word = encode(&errand);
        assert!(
            word.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        );
        let bytes = BASE64URL_NOPAD.decode(word.as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<Errand>(&bytes).unwrap(), errand);
        assert_eq!(run_errand("nonsense"), 2);
    }

    #[test]
    fn what_came_of_it_is_told_exactly() {
        let outcomes: [Result<Done, SystemError>; 3] = [
            Ok(Done::Ended {
                code: 3,
                output: "its \"words\"\nand more".to_owned(),
            }),
            Err(SystemError::Timeout {
                program: "/bin/sleep".to_owned(),
                seconds: 1,
                output: String::new(),
            }),
            Err(SystemError::Failed {
                program: "/bin/sh".to_owned(),
                code: "signal 15".to_owned(),
                output: String::new(),
            }),
        ];
        for outcome in outcomes {
            let line = serde_json::to_string(&outcome).unwrap();
            assert_eq!(line.lines().count(), 1);
            let back: Result<Done, SystemError> = serde_json::from_str(&line).unwrap();
            assert_eq!(back, outcome);
        }
    }
}
