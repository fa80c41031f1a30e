//! What is behind packages, services and commands: a real machine or a simulation.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use email_engine_protocol::desired::{
    CommandLine, HttpQuestion, OnNotify, PackageSpec, ServiceSpec,
};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use serde::{Deserialize, Serialize};

use super::packages::PackageFiles;
use crate::visit::Page;

/// Why the system did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SystemError {
    /// A server of this machine did not greet.
    #[error("{address} does not greet: {reason}")]
    Greeting {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The program ended with a failure.
    #[error("{program} ended with {code}: {output}")]
    Failed {
        /// Which program.
        program: String,
        /// Its exit code, or the signal that ended it.
        code: String,
        /// The end of what it wrote.
        output: String,
    },
    /// Nobody takes connections at an address of this machine, or answers in time.
    #[error("{address} does not answer: {reason}")]
    Silent {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A test asked for this failure.
    #[error("simulated failure of {0}")]
    Simulated(ResourceId),
    /// It could not be started or watched.
    #[error("{program} could not be run: {reason}")]
    Start {
        /// Which program.
        program: String,
        /// Why.
        reason: String,
    },
    /// A server was to be asked at an address that this machine does not have.
    #[error("{address} is not asked: it is no address of this machine: {reason}")]
    Stranger {
        /// Where.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
    /// The simulation's file cannot be written.
    #[error("simulation cannot be kept: {0}")]
    State(String),
    /// It ran for too long and was ended.
    #[error("{program} was ended after {seconds} s: {output}")]
    Timeout {
        /// Which program.
        program: String,
        /// The bound.
        seconds: u64,
        /// The end of what it wrote.
        output: String,
    },
    /// What answers at an address of this machine is no such server.
    #[error("{address} gives no page: {reason}")]
    Unreadable {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// How a package was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSeen {
    /// Whether it is there.
    pub presence: Presence,
    /// Whether upgrades of it are held.
    pub held: bool,
}

/// Whether a package is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is not; at most its configuration is left.
    #[default]
    Gone,
    /// Partly.
    Partly {
        /// In the package tool's word.
        word: String,
        /// The version that is there, or the newest of several, as far as the package tool knows it.
        version: Option<String>,
    },
    /// Wholly, in this version.
    Installed(String),
}

/// How a service was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSeen {
    /// What happens at boot.
    pub at_boot: AtBoot,
    /// What it does now.
    pub activity: Activity,
}

/// What a unit does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Nothing: it was stopped, or was never started.
    #[default]
    Stopped,
    /// Nothing: it was started, and failed.
    Failed,
    /// It runs.
    Running,
    /// Neither, in the service manager's word: it starts, waits to be started again, or stops.
    Between(String),
}

impl Activity {
    /// Whether starting or stopping would change something. What is between may become either by
    /// itself, a crash loop again and again, so that it is neither wish fulfilled.
    #[must_use]
    pub const fn differs(&self, running: bool) -> bool {
        match self {
            Self::Failed | Self::Stopped => running,
            Self::Running => !running,
            Self::Between(_) => true,
        }
    }
}

/// Whether a unit is started at boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AtBoot {
    /// It is not.
    #[default]
    Disabled,
    /// It is.
    Enabled,
    /// That is not its own to say (static, generated, ...): nothing enables or disables it.
    Fixed(String),
}

impl AtBoot {
    /// Whether enabling or disabling would change something.
    #[must_use]
    pub const fn differs(&self, enabled: bool) -> bool {
        match self {
            Self::Disabled => enabled,
            Self::Enabled => !enabled,
            Self::Fixed(_) => false,
        }
    }
}

/// What a command ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: u8,
    /// The end of what it wrote, bounded.
    pub output: String,
}

/// Packages, services and commands of a machine.
pub trait System: Send + fmt::Debug {
    /// Whether nothing of it is real.
    fn is_simulated(&self) -> bool;

    /// How a package is.
    ///
    /// # Errors
    /// When that cannot be told.
    fn package(&mut self, id: &ResourceId, name: &str) -> Result<PackageSeen, SystemError>;

    /// Installs a package at its version and sets its hold.
    ///
    /// # Errors
    /// When the package tool fails.
    fn install(&mut self, id: &ResourceId, spec: &PackageSpec) -> Result<(), SystemError>;

    /// Removes a package; its configuration stays, as the package tool's `remove` does.
    ///
    /// # Errors
    /// When the package tool fails.
    fn uninstall(&mut self, id: &ResourceId, name: &str) -> Result<(), SystemError>;

    /// Package files, where packages are real.
    fn package_files(&mut self) -> Option<&mut dyn PackageFiles>;

    /// How a service is.
    ///
    /// # Errors
    /// When that cannot be told.
    fn service(&mut self, id: &ResourceId, unit: &str) -> Result<ServiceSeen, SystemError>;

    /// These services are about to be looked at, each once: who can tell of all at once does so.
    fn foresee(&mut self, _units: &[&str]) {}

    /// Enables or disables, starts or stops a service.
    ///
    /// # Errors
    /// When the service manager fails.
    fn set_service(&mut self, id: &ResourceId, spec: &ServiceSpec) -> Result<(), SystemError>;

    /// Reloads or restarts a service.
    ///
    /// # Errors
    /// When the service manager fails.
    fn notify_service(
        &mut self,
        id: &ResourceId,
        unit: &str,
        how: OnNotify,
    ) -> Result<(), SystemError>;

    /// Runs a command.
    ///
    /// # Errors
    /// When it cannot be started or takes too long.
    fn run(
        &mut self,
        id: &ResourceId,
        command: &CommandLine,
        timeout: Duration,
    ) -> Result<Ended, SystemError>;

    /// Runs the command of a step: with the rights of the machine, where this process has fewer.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn run_step(
        &mut self,
        id: &ResourceId,
        command: &CommandLine,
        timeout: Duration,
    ) -> Result<Ended, SystemError> {
        self.run(id, command, timeout)
    }

    /// Asks a command and gives its whole answer, without what it says beside that.
    ///
    /// # Errors
    /// When it cannot be started, fails, takes too long or answers too much.
    fn ask(
        &mut self,
        id: &ResourceId,
        command: &CommandLine,
        timeout: Duration,
    ) -> Result<String, SystemError> {
        self.ask_up_to(id, command, timeout, limits::ANSWER_BYTES)
    }

    /// The same for an answer of up to so many bytes.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    fn ask_up_to(
        &mut self,
        id: &ResourceId,
        command: &CommandLine,
        timeout: Duration,
        bytes: usize,
    ) -> Result<String, SystemError>;

    /// The first line that a server at an address of this machine sends.
    ///
    /// # Errors
    /// When the address is not this machine's, nobody listens, or no line comes in time.
    fn greeting(
        &mut self,
        id: &ResourceId,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<String, SystemError>;

    /// Whether a server at an address of this machine takes connections.
    ///
    /// # Errors
    /// When the address is not this machine's, or nobody listens.
    fn connect(
        &mut self,
        id: &ResourceId,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<(), SystemError>;

    /// What a web server at an address of this machine answers.
    ///
    /// # Errors
    /// When the address is not this machine's, or no answer comes in time.
    fn visit(
        &mut self,
        id: &ResourceId,
        question: &HttpQuestion,
        timeout: Duration,
    ) -> Result<Page, SystemError>;

    /// Another door to the same machine, for another thread; none where nothing is real.
    fn twin(&self) -> Option<Box<dyn System>>;

    /// The same for whoever asks how things are all the time, beside everything else: what it runs has
    /// no more rights than this process, and what it asks waits for nobody. None where nothing is real.
    fn questioner(&self) -> Option<Box<dyn System>>;

    /// Whether a simulated command ran before; false where commands are real.
    fn has_run(&self, id: &ResourceId) -> bool;

    /// What stands for accounts, kernel settings and addresses; none where they are real.
    fn stand_in(&mut self) -> Option<&mut dyn StandIn>;
}

/// Stands for accounts, kernel settings and addresses where nothing is real.
pub trait StandIn {
    /// What was set under a name.
    fn recorded(&self, key: &str) -> Option<&str>;

    /// What a health check fails with, where a test wants it to.
    fn ailment(&self, id: &ResourceId) -> Option<String>;

    /// Writes down what would be set under a name, or strikes it out.
    ///
    /// # Errors
    /// When a test wants it to fail, or the simulation cannot be kept.
    fn record(
        &mut self,
        id: &ResourceId,
        key: &str,
        value: Option<String>,
    ) -> Result<(), SystemError>;
}
