//! The page: what was accepted and what is not gone below.

use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::Target;
use email_engine_protocol::observed::Attempt;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::Floor;
use serde::{Deserialize, Serialize};

/// What the executor remembers about targets. All of it was verified before it came here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The accepted target: its generation and digest are the floor.
    pub accepted: Option<Accepted>,
    /// The newest that was right once, wholly or but for what shall stand still.
    pub last_good: Option<Target>,
    /// The last that did not get through.
    pub attempted: Option<Attempt>,
    /// Milliseconds from accepting `last_good` to its first good pass.
    pub apply_millis: Option<u64>,
    /// The host was retired, its secrets are gone, and it said so.
    pub retired: bool,
}

/// A target that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// What it says.
    pub target: Target,
    /// The exact bytes that were signed.
    pub signed: Signed<Target>,
    /// When it was accepted.
    pub at: Timestamp,
}

impl Page {
    /// What is not gone below.
    #[must_use]
    pub fn floor(&self) -> Option<Floor> {
        self.accepted.as_ref().map(|accepted| Floor {
            generation: accepted.target.generation,
            digest: accepted.target.digest,
        })
    }
}
