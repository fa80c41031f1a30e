//! A symbolic link.

use serde::{Deserialize, Serialize};

use super::super::names;
use super::super::{ConfigError, HostPath, Resource};

const ELSEWHERE: &str = "a place that neither is the link nor lies below it";

/// A symbolic link, root's own. It leads to an absolute place, so that the host can judge where that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymlinkSpec {
    /// Where it is.
    pub path: HostPath,
    /// Where it leads; nothing has to be there.
    pub target: HostPath,
}

pub(super) fn check(resource: &Resource, link: &SymlinkSpec) -> Result<(), ConfigError> {
    let good = !link.target.is_within(&link.path);
    names::check(resource, "target", link.target.as_str(), good, ELSEWHERE)
}
