//! How a run ends, as a number for scripts. The first four are those of the programs it installs.

use std::process::ExitCode;

/// The part of `--help` that lists the numbers.
pub const HELP: &str = "\
Exit codes:
  0  done, or there was nothing to do
  1  anything that is not named here
  2  bad usage, or what was handed over is no join token
  3  the cluster refuses the join token
  4  whoever answers is not the cluster of the join token (CA pin, cluster)
  5  the preflight found something to be put right first; nothing was changed
  6  a step failed; the same run again continues there
  7  installed, but the cluster has not let the machine in within the time given
  8  let in, but the host has not converged within the time given
  9  another bootstrap is running";

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything is as it should be.
    Done = 0,
    /// What has no number of its own.
    Failed = 1,
    /// It was asked for something that cannot be.
    Usage = 2,
    /// The cluster says no.
    Refused = 3,
    /// It is not the cluster.
    Stranger = 4,
    /// Nothing was changed.
    Preflight = 5,
    /// It can be continued.
    Step = 6,
    /// Nobody let the machine in.
    NotEnrolled = 7,
    /// The host is not what it shall be.
    NotConverged = 8,
    /// Somebody else is at it.
    Busy = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// What a program that was started, and ended badly while it enrolled, says by its number.
    #[must_use]
    pub const fn of_program(code: i32) -> Option<Self> {
        match code {
            2 => Some(Self::Usage),
            3 => Some(Self::Refused),
            4 => Some(Self::Stranger),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_listed() {
        let all = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Refused,
            Exit::Stranger,
            Exit::Preflight,
            Exit::Step,
            Exit::NotEnrolled,
            Exit::NotConverged,
            Exit::Busy,
        ];
        for exit in all {
            let listed = format!("\n  {}  ", exit as u8);
            assert!(HELP.contains(&listed), "{exit:?}");
        }
    }
}
