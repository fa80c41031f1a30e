//! What receivers' replies say of lists: evidence that is faster than any sweep, and nobody's verdict.

use serde::{Deserialize, Serialize};

use email_engine_protocol::time::Timestamp;

/// Replies that name one list, to mail of one identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replies {
    /// How many, since the first of them.
    pub count: u64,
    /// When the first was written, by the host's clock and never ahead of the fleet's.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// What one of the latest says.
    pub sample: String,
    /// Since when the list is to be asked because of them; none once it was.
    pub wanted_since: Option<Timestamp>,
    /// When the list was last asked about the identity, since they began.
    pub checked_at: Option<Timestamp>,
}
