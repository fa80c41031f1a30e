//! Errors of the HTTP API (RFC 9457).

use serde::{Deserialize, Serialize};

/// Code of a refusal for now: DKIM keys that a change takes are being made, and nothing is changed yet. Whoever
/// asks again finds those that were made.
pub const KEYS_UNDER_WAY: &str = "keys-under-way";

/// Code of a refusal: what a document would remove is not what its author agreed to, because the fleet has
/// changed since.
pub const REMOVALS_MOVED: &str = "removals-moved";

/// `application/problem+json`. `code` is stable and made for programs; `detail` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `https://` URI of the kind, or `about:blank`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short text of the kind.
    pub title: String,
    /// HTTP status code.
    pub status: u16,
    /// Stable code, such as `duplicate-domain`.
    pub code: String,
    /// What happened here, with field, value and what would be accepted.
    pub detail: String,
    /// The field that is wrong, as a path in the request, such as `ips[56].domain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The refused value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What would be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// Request id, as in the log and the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
