//! What waits in a product and shall never leave it: written down, then thrown away.

use serde::{Deserialize, Serialize};

use super::config::at_most;
use super::{CommandCheck, CommandLine, ConfigError};
use crate::limits;
use crate::time::Timestamp;

/// Throws away what a product holds, once it is written down. Nothing goes that is not in the file before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardSpec {
    /// Since when it shall be gone: what is written down for one time stands in one file.
    pub since: Timestamp,
    /// Whether anything is there; cheap, because it is asked again and again.
    pub is_any: Listing,
    /// All of it. Each entry becomes a line of the file, as the product writes it.
    pub all: Listing,
    /// As many entries, or more, are not surely all of it: nothing is thrown away then.
    pub most: u32,
    /// Throws it away.
    pub discard: CommandCheck,
}

/// A command that answers in JSON, with a list in it. An answer without that list is of an unknown form, and
/// none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// What is run, without a shell. Success is code 0.
    pub command: CommandLine,
    /// Ended and failed after this many seconds, at most [`STEP_SECONDS`](limits::STEP_SECONDS).
    pub seconds: u32,
    /// Where the list is: a JSON pointer (RFC 6901).
    pub list: String,
}

impl DiscardSpec {
    /// Every command that it would run.
    pub fn commands(&self) -> impl Iterator<Item = &CommandLine> {
        [
            &self.is_any.command,
            &self.all.command,
            &self.discard.command,
        ]
        .into_iter()
    }
}

/// Checks the bounds of one.
pub(super) fn check(spec: &DiscardSpec) -> Result<(), ConfigError> {
    let listed = [&spec.is_any.list, &spec.all.list].into_iter();
    let longest = spec.discard.texts()?.chain(listed).map(String::len).max();
    at_most(
        "length of a text of a discard",
        longest.unwrap_or(0),
        limits::EXPECTED_BYTES,
    )
}
