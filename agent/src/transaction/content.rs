//! What a transaction brings into force.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{HostConfig, Resource, Spec, TransactionSpec};
use email_engine_protocol::id::ResourceId;
use serde::{Deserialize, Serialize};

/// The members of a transaction as they shall be, in the order in which they are swapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Names it: over the members, and over what judges them.
    pub digest: ContentHash,
    /// The members.
    pub members: Vec<Resource>,
    /// Its lines that only a restart brings into force.
    pub restart: Vec<String>,
    /// Its names that hold something, in order.
    pub holds: Vec<String>,
}

impl Content {
    /// The content that a checked state wants.
    #[must_use]
    pub fn wanted(config: &HostConfig, spec: &TransactionSpec) -> Self {
        let find = |id: &ResourceId| {
            let found = config.resources.binary_search_by(|known| known.id.cmp(id));
            found.ok().map(|at| config.resources[at].clone())
        };
        let members: Vec<Resource> = spec.members.iter().filter_map(find).collect();
        Self {
            digest: digest(&members, spec),
            members,
            restart: spec.restart.lines.clone(),
            holds: spec
                .drain
                .as_ref()
                .map(|drain| drain.holds.clone())
                .unwrap_or_default(),
        }
    }
}

/// Edges between resources, the operator's word for a restart and what is asked about names are no
/// part of a content.
fn digest(members: &[Resource], spec: &TransactionSpec) -> ContentHash {
    let mut judges = spec.clone();
    judges.restart.allowed = false;
    judges.drain = None;
    let members: Vec<(&ResourceId, &Spec)> = members
        .iter()
        .map(|member| (&member.id, &member.spec))
        .collect();
    let bytes = postcard::to_stdvec(&(members, judges))
        .expect("a transaction holds nothing that postcard cannot write");
    ContentHash::of(&bytes)
}

/// A digest as people are shown it.
#[must_use]
pub fn short(digest: &ContentHash) -> String {
    digest.to_string().chars().take(12).collect()
}
