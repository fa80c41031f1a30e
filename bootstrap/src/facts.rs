//! What was measured: the machine as it came, and what of ours is on it already. Pure data.
//!
//! Unknown is never false: what could not be measured says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::{ClusterId, Role};
use email_engine_protocol::join::Endpoint;
use serde::Deserialize;

/// A measurement, or why there is none.
pub type Measured<T> = Result<T, String>;

/// Everything that a preflight judges.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The machine.
    pub machine: Machine,
    /// What is there of what belongs there.
    pub installed: Installed,
    /// Programs that lie beside the bootstrap, by name.
    pub bundle: Bundle,
    /// What came of calling each coordinator of the token; empty when none was called.
    pub reach: Vec<(Endpoint, Measured<()>)>,
    /// What came of calling a mail server of the world; nothing when none was called.
    pub mail: Option<(Endpoint, Result<(), MailTrouble>)>,
}

/// Why a mail server did not greet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailTrouble {
    /// It could not be called.
    Unknown(String),
    /// It was called.
    Shut(String),
}

/// The machine as it came.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its operating system.
    pub os: Measured<Os>,
    /// Whether this process may change everything.
    pub is_root: bool,
    /// Whether systemd is the first process.
    pub has_systemd: bool,
    /// Processors.
    pub cpus: Measured<u64>,
    /// Memory in bytes.
    pub memory: Measured<u64>,
    /// Size of the file system with `/var`, in bytes.
    pub disk: Measured<u64>,
    /// Free bytes by folder that is written to.
    pub free: BTreeMap<PathBuf, Measured<u64>>,
    /// Whether the clock is kept by somebody.
    pub clock_synchronised: Measured<bool>,
    /// Ports of ours that cannot be listened on, and why.
    pub ports_taken: BTreeMap<Port, String>,
    /// Folders that cannot be written to, and why.
    pub unwritable: BTreeMap<PathBuf, String>,
}

/// The operating system, by `os-release`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Os {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `12`; empty where it has none.
    pub version: String,
    /// `PRETTY_NAME`, for people.
    pub name: String,
}

/// A port that a part listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// TCP.
    Tcp(u16),
    /// UDP.
    Udp(u16),
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "{port}/tcp"),
            Self::Udp(port) => write!(f, "{port}/udp"),
        }
    }
}

/// Programs beside the bootstrap.
pub type Bundle = BTreeMap<&'static str, Measured<Program>>;

/// A program that can be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it lies.
    pub path: PathBuf,
    /// Hash of its bytes.
    pub hash: ContentHash,
}

/// What is there of a layout.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Users that exist.
    pub users: BTreeSet<String>,
    /// Files and folders that exist.
    pub paths: BTreeMap<PathBuf, Found>,
    /// Units, by name.
    pub units: BTreeMap<String, UnitState>,
    /// Whom this machine is to a cluster.
    pub membership: Measured<Membership>,
}

/// A file or folder that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: FoundKind,
    /// Permission bits.
    pub mode: u32,
    /// Name of its owner, or the number where it has none.
    pub owner: String,
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundKind {
    /// A file with these bytes.
    File(ContentHash),
    /// A folder, and whether something is in it.
    Folder {
        /// Whether nothing is.
        is_empty: bool,
    },
    /// A link, a device, or what could not be read: never taken for ours.
    Other,
}

/// A unit as the service manager sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitState {
    /// Whether it starts with the machine.
    pub is_enabled: bool,
    /// Whether it runs, or is about to be started again.
    pub is_active: bool,
    /// Whether its file is newer than what the manager has read.
    pub needs_reload: bool,
    /// Whether its process runs a program that was replaced since.
    pub is_outdated: bool,
}

/// Whom this machine is to a cluster, by what its own programs read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Membership {
    /// Host or node of a cluster; nothing before it was let in.
    pub enrolled: Option<Member>,
    /// Whether it was let in and cannot prove it any more: it needs a token as if it never had been.
    #[serde(default)]
    pub identity_lost: bool,
    /// Whether its first state was right once.
    #[serde(default)]
    pub converged: bool,
    /// What did not get through, for people.
    #[serde(default)]
    pub trouble: Option<String>,
}

impl Membership {
    /// Whether it was let in and can prove it.
    #[must_use]
    pub const fn is_in(&self) -> bool {
        self.enrolled.is_some() && !self.identity_lost
    }
}

/// A member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Name of the host, or number of the node.
    pub name: String,
    /// Role of a host.
    pub role: Option<Role>,
}
