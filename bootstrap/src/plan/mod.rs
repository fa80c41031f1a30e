//! What is to be done, from what is there and what belongs there. Pure.
//!
//! - [`install()`]: what is missing, in order. A machine that has everything gets no steps.
//! - [`remove()`]: what is ours, in the order in which it can go.
//!
//! What an earlier run planned and did not get to is planned again whatever the facts say: some
//! steps leave no trace to be seen, such as a restart that was due.

mod install;
mod remove;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use email_engine_protocol::bytes::ContentHash;

pub use install::install;
pub use remove::{Left, Removal, remove};
pub use step::Step;

/// What former runs did here, by their journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Steps of an installation that was cut off.
    pub pending: Vec<Step>,
    /// Steps of a removal that was cut off.
    pub removing: Vec<Step>,
    /// Files that were written, and their bytes.
    pub files: BTreeMap<PathBuf, ContentHash>,
    /// Folders that were made.
    pub folders: BTreeSet<PathBuf>,
    /// Users that were created.
    pub users: BTreeSet<String>,
}
