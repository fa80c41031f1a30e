//! One thing that a preflight found.

use serde::Serialize;

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What follows from it.
    pub severity: Severity,
    /// What was looked at.
    pub check: Check,
    /// What was found, and what would be right.
    pub text: String,
}

/// What follows from a finding; the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is changed before it is put right.
    Refusal,
    /// It goes on; somebody should look.
    Warning,
    /// Good to know.
    Note,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// How others reach the node.
    Advertise,
    /// Who keeps the clock.
    Clock,
    /// Processors.
    Cpus,
    /// Size of the disk and room on it.
    Disk,
    /// What is installed already.
    Installation,
    /// Whether mail can leave.
    Mail,
    /// Memory.
    Memory,
    /// The operating system.
    OperatingSystem,
    /// Ports to listen on.
    Port,
    /// Programs beside the bootstrap.
    Program,
    /// Coordinators of the token.
    Reach,
    /// Whose rights the run has.
    Root,
    /// The service manager.
    Systemd,
    /// The join token.
    Token,
    /// Folders that are written to.
    Writable,
}

impl Check {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Advertise => "address",
            Self::Clock => "clock",
            Self::Cpus => "processors",
            Self::Disk => "disk",
            Self::Installation => "installation",
            Self::Mail => "mail",
            Self::Memory => "memory",
            Self::OperatingSystem => "operating system",
            Self::Port => "port",
            Self::Program => "program",
            Self::Reach => "network",
            Self::Root => "rights",
            Self::Systemd => "systemd",
            Self::Token => "join token",
            Self::Writable => "file system",
        }
    }
}

impl Finding {
    pub(super) fn refusal(check: Check, text: impl Into<String>) -> Self {
        Self::new(Severity::Refusal, check, text)
    }

    pub(super) fn warning(check: Check, text: impl Into<String>) -> Self {
        Self::new(Severity::Warning, check, text)
    }

    pub(super) fn note(check: Check, text: impl Into<String>) -> Self {
        Self::new(Severity::Note, check, text)
    }

    fn new(severity: Severity, check: Check, text: impl Into<String>) -> Self {
        Self {
            severity,
            check,
            text: text.into(),
        }
    }
}
