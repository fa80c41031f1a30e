//! Identities that are gone from the fleet and not yet from their hosts.

use serde::{Deserialize, Serialize};

use super::IpSpec;
use crate::observed::Observed;
use crate::time::Timestamp;

/// An identity whose virtual MTA stays on a host until its queue there is empty. Answered by
/// `GET /api/v1/leaving`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavingView {
    /// What it was; `host` is where it drains.
    pub ip: IpSpec,
    /// Since when.
    pub since: Timestamp,
    /// It lives on, on another host or under another virtual MTA.
    pub moved: bool,
    /// Messages that are left in its queue, as its host said last; absent while nobody said anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Observed<u64>>,
}

/// A queue that was given up. Answered by `DELETE /api/v1/ips/{address}?now=true`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpView {
    /// Messages that were left in it, as far as that was known.
    pub messages: Option<u64>,
    /// What that does which nobody may have in mind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
