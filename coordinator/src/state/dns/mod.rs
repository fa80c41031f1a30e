//! What was seen of identities' records in DNS.

mod zones;

pub use zones::{DnsZone, DnsZones, Inventory, Made, Mark, RecordKind, SeenTo};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{DnsPart, DnsVerdict};
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use super::Table;

/// The last look at an identity's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsLook {
    /// When.
    pub at: Timestamp,
    /// Who looked.
    pub by: String,
    /// Since when it came to what it comes to.
    pub since: Timestamp,
    /// The domain that was looked at.
    pub domain: DomainName,
    /// Hash of what was wanted: a look at something else says nothing.
    pub wanted: ContentHash,
    /// What was seen.
    pub found: BTreeMap<DnsPart, DnsVerdict>,
}

/// Looks at records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsLooks {
    /// The last of each identity.
    pub last: Table<IpAddr, Arc<DnsLook>>,
    /// Those that somebody wants anew, and since when.
    pub asked: Table<IpAddr, Timestamp>,
}

impl DnsLooks {
    /// An address is no identity's any more.
    pub(crate) fn forget(&mut self, address: IpAddr) {
        self.last.remove(&address);
        self.asked.remove(&address);
    }
}
