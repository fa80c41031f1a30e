//! Who did what, as answered.

use serde::{Deserialize, Serialize};

use crate::id::RequestId;
use crate::time::Timestamp;

/// One change of the fleet. `GET /api/v1/audit` answers a list of them, newest first; the next page is
/// asked for with `before=` the last sequence number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// Grows by one per change.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who: `key NAME`, `node N`, `host NAME` or `init`.
    pub actor: String,
    /// Under which request id.
    pub request: RequestId,
    /// What was done.
    pub command: String,
    /// To what.
    pub object: String,
    /// Why, in the actor's words.
    pub reason: String,
    /// Fleet revision after it.
    pub revision: u64,
}
