//! What a change of the fleet would do to a host.

use serde::{Deserialize, Serialize};

use super::ChangeAction;
use crate::bytes::ContentHash;
use crate::id::{HostId, ResourceId};

/// What would change in a host's desired state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostChange {
    /// The host.
    pub host: HostId,
    /// Its resources that would change, in order of id.
    pub resources: Vec<ResourceChange>,
    /// What an operator must know of it: lines that nobody checked, directives that need a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Resources that would change and are not listed, because there are many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// The host would be wiped of its secrets and cut off.
    #[serde(default, skip_serializing_if = "is_false")]
    pub retired: bool,
    /// Why it could not be planned: it would keep what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Answer of `GET /api/v1/hosts/{host}/allow-restart`: what a restart would be allowed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartView {
    /// The host.
    pub host: HostId,
    /// Lines of the state that is planned for it now which only a restart brings into force, in order;
    /// those that its agent waits for stand in the host's own view.
    pub lines: Vec<String>,
    /// Names these lines and no others.
    pub digest: ContentHash,
    /// Whether a restart is allowed for them already.
    pub allowed: bool,
}

/// Body of `POST /api/v1/hosts/{host}/allow-restart`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartRequest {
    /// The digest that came with the lines that the operator looked at.
    pub digest: ContentHash,
}

/// What would change in one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// What is done.
    pub action: ChangeAction,
    /// Which one, such as `file:/etc/pmta/config`.
    pub id: ResourceId,
    /// What differs beside the text, one `field: old -> new` each. A secret is named by id and
    /// version, never shown.
    pub details: Vec<String>,
    /// What differs in the text, for files with public content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<TextDiff>,
}

/// What differs between two texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextDiff {
    /// Lines that come.
    pub added: u64,
    /// Lines that go.
    pub removed: u64,
    /// In the unified format; its end is missing when `cut`.
    pub unified: String,
    /// Whether the text was left off, wholly or in part, because it is long.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde wants"
)]
pub(super) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde wants"
)]
pub(super) const fn is_false(flag: &bool) -> bool {
    !*flag
}
