//! What the API says of zones that the fleet knows the primary server of.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::DnsCheckView;
use crate::mail::DomainName;
use crate::time::Timestamp;

/// Whether the fleet changes a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneMode {
    /// It says what to change, and changes nothing.
    #[default]
    Advise,
    /// It keeps its own records right by itself.
    Manage,
}

impl ZoneMode {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Advise => "advise",
            Self::Manage => "manage",
        }
    }
}

/// Body of `PUT /api/v1/dns/zones/{zone}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneRequest {
    /// Whether it is changed; only advised about when absent.
    #[serde(default)]
    pub mode: ZoneMode,
    /// Address and port of its primary server.
    pub server: SocketAddr,
    /// Name of the TSIG key (hmac-sha256).
    pub key_name: String,
    /// The key in base64; the one that is kept when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Without the key.
impl fmt::Debug for ZoneRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZoneRequest")
            .field("mode", &self.mode)
            .field("server", &self.server)
            .field("key_name", &self.key_name)
            .finish_non_exhaustive()
    }
}

/// A zone that the fleet knows the primary server of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneView {
    /// The zone.
    pub zone: DomainName,
    /// Whether it is changed.
    pub mode: ZoneMode,
    /// Its primary server.
    pub server: SocketAddr,
    /// Name of the TSIG key.
    pub key_name: String,
    /// Records in it that the fleet made.
    pub made: usize,
    /// When the leader saw to it last.
    pub seen_to_at: Option<Timestamp>,
    /// Its serial then, before what was changed.
    pub serial: Option<u32>,
    /// Why not all that is wanted is in it, if so.
    pub stuck: Option<String>,
}

/// What is not done of a plan, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The record as a line of a zone file.
    pub record: String,
    /// Why not.
    pub why: String,
}

/// Answer of `GET /api/v1/dns/zones/{zone}/plan`: what would be changed in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZonePlanView {
    /// The zone.
    pub zone: DomainName,
    /// Whether it is changed.
    pub mode: ZoneMode,
    /// Says which plan this is: `apply` is given it, and changes nothing when the zone or what is wanted of it
    /// is another by then.
    pub hash: String,
    /// Serial of the zone from which it was planned.
    pub serial: u32,
    /// Records that come, with the marks that say whose they are, in their order.
    pub add: Vec<String>,
    /// Records that go: the fleet made them and does not want them any more.
    pub remove: Vec<String>,
    /// Records that are there as they must be.
    pub right: usize,
    /// Those of them that somebody else made: they stay theirs unless they are adopted.
    pub not_ours: usize,
    /// What is not done, and why.
    pub blocked: Vec<LeftOut>,
    /// What waits until something else was seen on every server.
    pub waits: Vec<LeftOut>,
    /// Why nothing of it is done unless an operator forces it.
    pub guard: Option<String>,
    /// Changes that did not fit into one message: they are in the next plan.
    pub later: usize,
}

/// Body of `POST /api/v1/dns/zones/{zone}/apply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneApplyRequest {
    /// Which plan.
    pub hash: String,
    /// Records of others that are as they must be become the fleet's.
    #[serde(default)]
    pub adopt: bool,
    /// Also where the guard holds it.
    #[serde(default)]
    pub force: bool,
}

/// Answer of `POST /api/v1/dns/zones/{zone}/apply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneApplied {
    /// What was done.
    pub plan: ZonePlanView,
    /// The domains whose records every authoritative server is asked for now.
    pub check: DnsCheckView,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_only_advised_about_unless_somebody_says_otherwise_and_its_key_is_not_shown() {
        let body = r#"{"server": "192.0.2.53:53", "key_name": "ee", "key": "c2VjcmV0"}"#;
        let request: ZoneRequest = serde_json::from_str(body).unwrap();
        assert_eq!(request.mode, ZoneMode::Advise);
        assert!(!format!("{request:?}").contains("c2VjcmV0"));
        let mistyped = r#"{"server": "192.0.2.53:53", "key_name": "ee", "mod": "manage"}"#;
        assert!(serde_json::from_str::<ZoneRequest>(mistyped).is_err());
    }
}
