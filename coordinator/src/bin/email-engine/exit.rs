//! Exit codes, and errors on their way to one.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::client::ClientError;
use crate::context::ContextError;
use crate::fleet_file::FleetFileError;
use crate::output::OutputError;
use crate::private_file::PrivateFileError;
use crate::trial::TrialError;

/// How a call ended. The numbers are part of the interface; none means two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; for `status`: converged; for `plan`: nothing would change.
    Success = 0,
    /// Refused, or something went wrong.
    Failure = 1,
    /// What was looked for is there: `plan`: something would change; `pmta lint`: something is wrong
    /// with the configuration.
    Found = 2,
    /// Some host is on its way.
    Converging = 3,
    /// Something is wrong with some host, or there is no leader.
    Degraded = 4,
    /// No node could be reached, or none has a leader.
    Unreachable = 5,
    /// The command line itself is wrong (`EX_USAGE`; 2 belongs to `plan`).
    Usage = 64,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

/// Shown by `--help` and by `email-engine help-exit-codes`.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done; `status`: converged; `plan`: nothing would change
    1  refused, or something went wrong: the reason is on stderr
    2  `plan`, `deploy --plan`: something would change; a `lint` or `import`: not right
    3  `status`: converging; `deploy`: hosts are on their way
    4  `status`: degraded; `deploy`: some host is not what it shall be
    5  no node could be reached, or the cluster has no leader
   64  the command line is wrong (2 belongs to `plan`)
  130  interrupted";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a call failed: printed once, by `main`.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Errors are printed even when quiet: an exit code alone helps nobody.
    pub(crate) fn report(&self, quiet: bool) {
        let text = if quiet {
            self.error.to_string()
        } else {
            self.to_string()
        };
        crate::output::to_stderr(&format!("error: {text}"));
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        let mut source = self.error.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match error {
            ClientError::Unreachable { .. } | ClientError::Unavailable { .. } => Exit::Unreachable,
            ClientError::Answer { .. }
            | ClientError::Build(_)
            | ClientError::File { .. }
            | ClientError::Key { .. }
            | ClientError::Refused { .. }
            | ClientError::TooLarge { .. } => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<FleetFileError> for Failure {
    fn from(error: FleetFileError) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<PrivateFileError> for Failure {
    fn from(error: PrivateFileError) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<TrialError> for Failure {
    fn from(error: TrialError) -> Self {
        Self::new(Exit::Failure, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_exit_code_means_two_things_and_the_table_has_them_all() {
        let all = [
            Exit::Success,
            Exit::Failure,
            Exit::Found,
            Exit::Converging,
            Exit::Degraded,
            Exit::Unreachable,
            Exit::Usage,
            Exit::Interrupted,
        ];
        let codes: std::collections::BTreeSet<u8> = all.iter().map(|exit| *exit as u8).collect();
        assert_eq!(codes.len(), all.len());
        for code in codes {
            assert!(TABLE.contains(&format!("{code:>5}  ")), "{code}");
        }
    }

    #[test]
    fn an_unreachable_cluster_is_told_apart_from_a_refusal() {
        let unreachable = ClientError::Unreachable { tried: Vec::new() };
        assert_eq!(Failure::from(unreachable).exit(), Exit::Unreachable);
        let other = ContextError::Absent {
            path: "context.toml".into(),
        };
        assert_eq!(Failure::from(other).exit(), Exit::Failure);
    }
}
