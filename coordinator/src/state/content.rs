//! Content that rendering depends on, and content that was rendered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::Settings;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

/// A body that is stored beside the state, by hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRecord {
    /// Its size in bytes.
    pub length: u64,
    /// How many targets need it; dropped at zero.
    pub references: u32,
}

/// What a host may be given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Release {
    /// Hash of the role bundle.
    pub bundle: ContentHash,
    /// Version of the planner.
    pub planner_version: u32,
    /// Revision of the settings.
    pub settings: u64,
}

/// A role bundle: templates and role files by path, such as `powermta/role.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleBundle {
    /// Texts by path.
    pub files: BTreeMap<String, String>,
    /// When it was put.
    pub put_at: Timestamp,
}

/// One revision of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsRevision {
    /// The settings.
    pub settings: Settings,
    /// When they were put.
    pub put_at: Timestamp,
}
