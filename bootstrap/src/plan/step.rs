//! One step. It says what and where, never a secret: it is written into the journal.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One step of a run. Each may be taken again: it ends where it would have ended the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    /// Waits until the first state was right once.
    AwaitConvergence,
    /// Waits until the cluster has let the host in.
    AwaitEnrolment,
    /// Waits until the node serves.
    AwaitService,
    /// Makes a system user with a group of its own.
    CreateUser {
        /// Its name.
        user: String,
    },
    /// Starts a unit with the machine.
    EnableUnit {
        /// Its name.
        unit: String,
    },
    /// Tells the agent's executor whom this host may belong to: what the join token says. Nobody else can, so
    /// whoever speaks for the host to its cluster cannot put another one in its place.
    Expect,
    /// Forgets what was done here: the last step of a removal.
    ForgetJournal,
    /// Founds a cluster and shows its keys.
    Found,
    /// Enters a cluster as a node.
    Join,
    /// Makes a folder, or gives one its owner and mode.
    MakeFolder {
        /// Which.
        path: PathBuf,
    },
    /// Gives a file that is there its owner and mode.
    MendFile {
        /// Which.
        path: PathBuf,
    },
    /// Lets the service manager read its files again.
    ReloadUnits,
    /// Removes a file.
    RemoveFile {
        /// Which.
        path: PathBuf,
    },
    /// Removes a folder, if nothing is in it.
    RemoveFolder {
        /// Which.
        path: PathBuf,
    },
    /// Removes a folder and all that is in it.
    RemoveTree {
        /// Which.
        path: PathBuf,
    },
    /// Removes a user.
    RemoveUser {
        /// Its name.
        user: String,
    },
    /// Starts a unit, anew if it runs.
    StartUnit {
        /// Its name.
        unit: String,
    },
    /// Stops a unit, now and after the next start of the machine.
    StopUnit {
        /// Its name.
        unit: String,
    },
    /// Writes a file, whole.
    WriteFile {
        /// Which.
        path: PathBuf,
    },
    /// Leaves the join token for the agent.
    WriteToken {
        /// Where.
        path: PathBuf,
    },
}

impl Step {
    /// Whether it only waits for others.
    #[must_use]
    pub const fn is_wait(&self) -> bool {
        matches!(
            self,
            Self::AwaitConvergence | Self::AwaitEnrolment | Self::AwaitService
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AwaitConvergence => write!(f, "wait until the host has converged"),
            Self::AwaitEnrolment => write!(f, "wait until the cluster has let the host in"),
            Self::AwaitService => write!(f, "wait until the node serves"),
            Self::CreateUser { user } => write!(f, "create user and group {user}"),
            Self::EnableUnit { unit } => write!(f, "enable {unit}"),
            Self::Expect => write!(f, "tell the agent whom this host may belong to"),
            Self::ForgetJournal => write!(f, "forget the journal of this installation"),
            Self::Found => write!(f, "found the cluster and show its keys"),
            Self::Join => write!(f, "enter the cluster as a node"),
            Self::MakeFolder { path } => write!(f, "make folder {}", path.display()),
            Self::MendFile { path } => write!(f, "give {} its owner and mode", path.display()),
            Self::ReloadUnits => write!(f, "reload the service manager's files"),
            Self::RemoveFile { path } => write!(f, "remove {}", path.display()),
            Self::RemoveFolder { path } => write!(f, "remove folder {}, if empty", path.display()),
            Self::RemoveTree { path } => {
                write!(f, "remove {} and all that is in it", path.display())
            }
            Self::RemoveUser { user } => write!(f, "remove user and group {user}"),
            Self::StartUnit { unit } => write!(f, "start {unit}"),
            Self::StopUnit { unit } => write!(f, "stop and disable {unit}"),
            Self::WriteFile { path } => write!(f, "write {}", path.display()),
            Self::WriteToken { path } => {
                write!(f, "leave the join token in {}", path.display())
            }
        }
    }
}
