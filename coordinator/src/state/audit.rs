//! Who did what, and what was answered: both bounded, evicted in `apply`.

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::RequestId;
use email_engine_protocol::time::Timestamp;

use crate::command::Answer;

/// One line of the audit, written in the same log entry as the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Number of this entry.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who: `key NAME`, `node N`, `host NAME`.
    pub actor: String,
    /// Request id.
    pub request: RequestId,
    /// What, such as `add-identity`.
    pub command: String,
    /// On what, such as `ip 192.0.2.1`.
    pub object: String,
    /// Why, in the actor's words.
    pub reason: String,
    /// Fleet revision after it.
    pub revision: u64,
}

/// The first answer to a request id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// What was answered.
    pub answer: Answer,
    /// When.
    pub at: Timestamp,
    /// SHA-256 of the command, so that another command under the same id is refused.
    pub command: email_engine_protocol::bytes::ContentHash,
}
