//! Questions to what runs on a host, each with the shape of its right answer.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::super::certificate::is_web_name;
use super::super::config::at_most;
use super::super::names::{self, is_unit};
use super::super::{CommandCheck, CommandLine, ConfigError, HostPath, Resource};
use crate::limits;

/// A question with the shape of its right answer. What is not of the expected form is a failure of
/// its own, and never taken for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// A command that answers in JSON.
    Answer {
        /// What is run, without a shell. Success is code 0.
        command: CommandLine,
        /// Asked again until it is right, for so many seconds; see [`PROBE_SECONDS`].
        ///
        /// [`PROBE_SECONDS`]: crate::limits::PROBE_SECONDS
        seconds: u32,
        /// What the answer must hold; all of it.
        expect: Vec<Expectation>,
    },
    /// The first line that a server at an address of this host sends.
    Greeting {
        /// Where; an address that is not this host's is refused.
        address: SocketAddr,
        /// How the line begins.
        begins: String,
        /// As in [`Probe::Answer`].
        seconds: u32,
    },
    /// A service that runs.
    Running {
        /// Its unit.
        unit: String,
        /// As in [`Probe::Answer`].
        seconds: u32,
    },
    /// A log that gets no line with any of these texts from the swap on.
    Quiet {
        /// Where it is. What is not there or cannot be read is said and not judged.
        log: HostPath,
        /// Texts that mean an error.
        errors: Vec<String>,
    },
    /// A server at an address of this host that takes a connection.
    Connect {
        /// Where; an address that is not this host's is refused.
        address: SocketAddr,
        /// As in [`Probe::Answer`].
        seconds: u32,
    },
    /// A web server at an address of this host.
    Http {
        /// What it is asked, and what it must answer.
        question: HttpQuestion,
        /// As in [`Probe::Answer`].
        seconds: u32,
        /// Right only once it was so at every asking for so many seconds: after a reload the workers
        /// of before go on answering for a while. At most [`STEADY_SECONDS`].
        ///
        /// [`STEADY_SECONDS`]: crate::limits::STEADY_SECONDS
        steady_seconds: u32,
    },
    /// A command whose code and words say whether all is well.
    Command {
        /// What it is.
        check: CommandCheck,
    },
}

/// What a web server of this host is asked, always by `GET`, and what it must answer. Nobody is sent on:
/// where it leads elsewhere, that is its answer.
///
/// With `tls` it is proven that a server at this address speaks TLS, holds the key of whatever certificate
/// it shows, and answers so. By whom the certificate was issued, for which names and until when is not
/// looked at: a host that waits for its first certificate, or whose certificate is an authority's that it
/// does not know, serves all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpQuestion {
    /// Where; an address that is not this host's is refused.
    pub address: SocketAddr,
    /// Over TLS.
    pub tls: bool,
    /// The name that it is asked by; its address when absent.
    pub host: Option<String>,
    /// Which page, such as `/` or `/status?full`.
    pub path: String,
    /// The lowest right status.
    pub least_status: u16,
    /// The highest right status.
    pub most_status: u16,
    /// What the page must have in it, within its first [`PAGE_BYTES`](crate::limits::PAGE_BYTES).
    pub contains: Option<String>,
}

/// One thing that an answer in JSON must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// A JSON pointer (RFC 6901), such as `/data/status`; empty for the whole answer.
    pub pointer: String,
    /// What must be there.
    pub holds: Holds,
}

/// What must be at a place of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// A text that has this in it.
    Contains(String),
    /// This text, number or truth, in its JSON form without quotes.
    Equals(String),
    /// This text as a whole value, anywhere at or below the place, whatever its case.
    Mentions(String),
    /// Anything but `null`.
    Present,
}

impl Probe {
    /// The command that it runs, if it runs one.
    #[must_use]
    pub const fn command(&self) -> Option<&CommandLine> {
        match self {
            Self::Answer { command, .. } => Some(command),
            Self::Command { check } => Some(&check.command),
            Self::Connect { .. }
            | Self::Greeting { .. }
            | Self::Http { .. }
            | Self::Quiet { .. }
            | Self::Running { .. } => None,
        }
    }

    /// The log that it reads, if it reads one.
    #[must_use]
    pub const fn log(&self) -> Option<&HostPath> {
        match self {
            Self::Quiet { log, .. } => Some(log),
            _ => None,
        }
    }

    /// The unit that it looks at, if it looks at one.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Running { unit, .. } => Some(unit),
            _ => None,
        }
    }

    /// Where it connects to, if it connects.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Connect { address, .. } | Self::Greeting { address, .. } => Some(*address),
            Self::Http { question, .. } => Some(question.address),
            _ => None,
        }
    }

    /// For how many seconds it is asked, as its author says it.
    #[must_use]
    pub const fn seconds(&self) -> u32 {
        match self {
            Self::Answer { seconds, .. }
            | Self::Connect { seconds, .. }
            | Self::Greeting { seconds, .. }
            | Self::Http { seconds, .. }
            | Self::Running { seconds, .. } => *seconds,
            Self::Command { check } => check.seconds,
            Self::Quiet { .. } => 0,
        }
    }

    /// The texts that it is judged by, when all else is within its bounds.
    ///
    /// # Errors
    /// When something is not.
    pub(in crate::desired) fn texts(
        &self,
        resource: &Resource,
    ) -> Result<Vec<&String>, ConfigError> {
        Ok(match self {
            Self::Answer { expect, .. } => {
                at_most("number of expectations", expect.len(), limits::EXPECTATIONS)?;
                let pointers = expect.iter().map(|one| &one.pointer);
                let held = expect.iter().filter_map(|one| one.holds.text());
                pointers.chain(held).collect()
            }
            Self::Greeting { begins, .. } => vec![begins],
            Self::Quiet { errors, .. } => {
                at_most("number of errors", errors.len(), limits::EXPECTATIONS)?;
                errors.iter().collect()
            }
            Self::Running { unit, .. } => {
                names::check(resource, "unit", unit, is_unit(unit), names::UNIT)?;
                Vec::new()
            }
            Self::Connect { .. } => Vec::new(),
            Self::Http {
                question,
                steady_seconds,
                ..
            } => {
                let steady = u64::from(*steady_seconds);
                let most = u64::from(limits::STEADY_SECONDS);
                super::super::config::bound("steady_seconds", steady, most)?;
                question.check(resource)?;
                question.contains.iter().collect()
            }
            Self::Command { check } => check.texts()?.collect(),
        })
    }
}

/// What [`HttpQuestion::path`] may be.
const PATH: &str = "a path that begins with '/', of printing ASCII without blanks, '#', '<', '>' and '\"', at most 1024 bytes";
/// What [`HttpQuestion::host`] may be.
const HOST: &str = "a name such as www.example.com or localhost, in small letters";
const STATUS: &str = "a status from 100 to 599, or two of them, the lower one first";

impl HttpQuestion {
    fn check(&self, resource: &Resource) -> Result<(), ConfigError> {
        let printing = |b: u8| b.is_ascii_graphic() && !b"#<>\"\\^`{|}".contains(&b);
        let is_path = self.path.starts_with('/')
            && self.path.len() <= limits::EXPECTED_BYTES
            && self.path.bytes().all(printing);
        names::check(resource, "path", &self.path, is_path, PATH)?;
        let host = self.host.as_deref().unwrap_or("localhost");
        let is_host = host == "localhost" || is_web_name(host);
        names::check(resource, "host", host, is_host, HOST)?;
        let (least, most) = (self.least_status, self.most_status);
        let is_status = (100..=599).contains(&least) && (least..=599).contains(&most);
        let status = format!("{least}-{most}");
        names::check(resource, "status", &status, is_status, STATUS)?;
        // Every page contains nothing.
        let text = self.contains.as_deref().unwrap_or("x");
        let accepted = "a text, or no such key";
        names::check(resource, "contains", text, !text.is_empty(), accepted)
    }
}

impl Holds {
    const fn text(&self) -> Option<&String> {
        match self {
            Self::Contains(text) | Self::Equals(text) | Self::Mentions(text) => Some(text),
            Self::Present => None,
        }
    }
}
