//! Where a transaction stands: one record, so that every step from one standing to the next is
//! atomic.

use std::fmt;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{CommandCheck, HostPath};
use email_engine_protocol::id::ResourceId;
use serde::{Deserialize, Serialize};

/// What is known of one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Which one.
    pub id: ResourceId,
    /// The content that went through all stages last.
    pub good: Option<Good>,
    /// The last content that did not.
    pub refused: Option<Refusal>,
    /// A change that was begun and has not ended.
    pub journal: Option<Journal>,
    /// Whether the good content, or what was there before there was one, was put back and is not yet
    /// known to be in force again.
    pub owed: bool,
    /// What is left of a record before this one that was damaged, until another content is in force.
    pub lost: Option<Lost>,
}

/// A content that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    /// Its name.
    pub digest: ContentHash,
    /// Its lines that took a restart to come into force.
    pub restart: Vec<String>,
    /// Its names that hold something, in order. Here as well as in its own record: whatever becomes of
    /// that, nothing goes live that loses them.
    pub holds: Vec<String>,
}

/// A content that is in force as far as its names are known, and nothing else of it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Names that may hold something, in order, when at least they are known.
    pub holds: Option<Vec<String>>,
    /// How often an operator had asked for one more try when that was found. Where no names are known,
    /// only a word after that lets a content go live.
    pub attempt: u32,
}

/// A content that is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its name.
    pub digest: ContentHash,
    /// How far it came.
    pub stage: Stage,
    /// What the product said.
    pub reason: String,
}

/// A change on its way: everything that it takes to undo it with nobody's help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The content that shall come into force.
    pub wanted: ContentHash,
    /// What stood at the places that are changed, in the order of the swap.
    pub previous: Vec<Previous>,
    /// How far it came.
    pub stage: Stage,
    /// Whether the service ran before.
    pub was_running: bool,
    /// Whether this change takes a restart.
    pub restarts: bool,
    /// Brings the previous files into force again.
    pub activate: CommandCheck,
    /// The service that reads the files.
    pub unit: Option<String>,
    /// Why it is being undone.
    pub failure: Option<Failure>,
}

/// What stood at one place before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Where.
    pub path: HostPath,
    /// Whether a secret stands there: it is overwritten before it goes.
    pub secret: bool,
    /// What.
    pub kept: Kept,
}

/// What is kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// There was neither a file nor a link.
    Absent,
    /// A sealed copy, under the number of its place in the journal.
    Copy {
        /// Permission bits.
        mode: u32,
        /// Owning user.
        uid: u32,
        /// Owning group.
        gid: u32,
    },
    /// A symbolic link, and where it led.
    Link(String),
}

/// Why a change did not get through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where it ended.
    pub stage: Stage,
    /// What was said.
    pub reason: String,
    /// Who is to blame.
    pub blame: Blame,
}

/// Who is to blame for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blame {
    /// The content: it is not tried again.
    Content,
    /// The machine: it is tried again.
    Machine,
    /// The content, because the service did not start with it; but the machine when the service does
    /// not start with the files before it either.
    Start,
}

/// The stages of a change, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// New files are laid beside the live ones and renamed over them.
    Swap,
    /// The product judges them.
    Test,
    /// They are brought into force.
    Activate,
    /// The product is asked what it runs with.
    ReadBack,
    /// What must work is tried.
    Health,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Swap => "swap",
            Self::Test => "test",
            Self::Activate => "activate",
            Self::ReadBack => "read-back",
            Self::Health => "health",
        })
    }
}

impl Standing {
    /// Of one that was never seen.
    #[must_use]
    pub const fn new(id: ResourceId) -> Self {
        Self {
            id,
            good: None,
            refused: None,
            journal: None,
            owed: false,
            lost: None,
        }
    }

    /// Names of what is in force that may hold something, in order, as far as they are known.
    #[must_use]
    pub fn holds(&self) -> Option<&[String]> {
        let good = self.good.as_ref().map(|good| &good.holds);
        let lost = self.lost.as_ref().and_then(|lost| lost.holds.as_ref());
        good.or(lost).map(Vec::as_slice)
    }
}
