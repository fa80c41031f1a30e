//! What hosts are pinned to, and how it moves.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::bytes::ContentHash;
use crate::id::HostId;
use crate::time::Timestamp;

/// What a host's desired state is rendered from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Role bundle.
    pub bundle: ContentHash,
    /// Version of the planner's rules.
    pub planner_version: u32,
    /// Revision of the settings.
    pub settings: u64,
}

/// Answer of `GET /api/v1/releases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasesView {
    /// What new hosts get.
    pub default: Option<ReleaseView>,
    /// What each host is pinned to.
    pub hosts: BTreeMap<HostId, ReleaseView>,
    /// Bundles that are stored.
    pub bundles: BTreeSet<ContentHash>,
    /// Newest revision of the settings.
    pub newest_settings: Option<u64>,
}

/// Asks to move hosts to another release; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Which hosts; absent = all, and those to come.
    #[serde(default)]
    pub hosts: Option<BTreeSet<HostId>>,
    /// Role bundle.
    #[serde(default)]
    pub bundle: Option<ContentHash>,
    /// Version of the planner's rules.
    #[serde(default)]
    pub planner_version: Option<u32>,
    /// Revision of the settings.
    #[serde(default)]
    pub settings: Option<u64>,
}

/// A role bundle to store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRequest {
    /// The bundle that these files change: the others are as they are there, and an empty file takes
    /// one away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ContentHash>,
    /// Files by path within the bundle.
    pub files: BTreeMap<String, String>,
}

/// Answer of `GET /api/v1/bundles/{bundle}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleView {
    /// Its hash.
    pub bundle: ContentHash,
    /// When it was stored.
    pub put_at: Timestamp,
    /// Texts by path within the bundle.
    pub files: BTreeMap<String, String>,
}

/// A role bundle that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleCreated {
    /// Its hash, to be named in a [`ReleaseRequest`].
    pub bundle: ContentHash,
}
