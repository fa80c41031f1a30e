//! Files of an operator that hosts are given: a product's archive, a package, a licence.

use serde::{Deserialize, Serialize};

use crate::bytes::ContentHash;
use crate::id::{ArtifactName, HostId};
use crate::time::Timestamp;

/// Begins an upload, or goes on with one: the same again is answered with what is still missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactRequest {
    /// A name for people, such as the file's.
    pub name: String,
    /// Its size in bytes.
    pub length: u64,
    /// SHA-256 of the whole.
    pub sha256: ContentHash,
    /// SHA-256 of each piece, in order. All but the last one have
    /// [`ARTIFACT_PIECE_BYTES`](crate::limits::ARTIFACT_PIECE_BYTES).
    pub pieces: Vec<ContentHash>,
    /// Its content is nobody's but the hosts' that it is for: a licence.
    #[serde(default)]
    pub secret: bool,
}

/// An artifact, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactView {
    /// SHA-256 of the whole: what it is called by.
    pub sha256: ContentHash,
    /// A name for people.
    pub name: String,
    /// Its size in bytes.
    pub length: u64,
    /// Its content is sensitive.
    pub secret: bool,
    /// Number of its pieces.
    pub pieces: u32,
    /// Pieces that have not come, by their number from 0.
    pub missing: Vec<u32>,
    /// When its upload began.
    pub begun_at: Timestamp,
    /// When it was whole; absent while it is not.
    pub finished_at: Option<Timestamp>,
    /// What role files call it, by the newest settings.
    pub named: Vec<ArtifactName>,
    /// Hosts whose target needs it.
    pub hosts: Vec<HostId>,
}

/// Which artifact a name of role files stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactNameRequest {
    /// SHA-256 of an artifact that is whole.
    pub sha256: ContentHash,
}
