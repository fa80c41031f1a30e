//! Zones that the fleet may change, and what it made in them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::ZoneMode;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::mail::DomainName;
use email_engine_protocol::time::Timestamp;

use crate::state::{SealedAtRest, Table};

/// Zones, and what the fleet made in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsZones {
    /// Those whose primary server is known.
    pub declared: BTreeMap<DomainName, Arc<DnsZone>>,
    /// What the fleet made, or was about to, by zone and name. Written before a record is made, and erased
    /// after it was seen to be gone.
    pub made: Table<(DomainName, String), BTreeMap<Mark, Made>>,
}

/// What the fleet made in one zone, by name.
pub type Inventory = BTreeMap<String, BTreeMap<Mark, Made>>;

/// A zone whose primary server is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsZone {
    /// Whether it is changed.
    pub mode: ZoneMode,
    /// Its primary server.
    pub server: SocketAddr,
    /// Name of the TSIG key.
    pub key_name: String,
    /// The key, sealed.
    pub key: SealedAtRest,
    /// What became of it when the leader saw to it last; none since somebody declared it anew.
    pub last: Option<SeenTo>,
}

/// What became of a zone when the leader saw to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTo {
    /// When.
    pub at: Timestamp,
    /// Hash of what was wanted of it.
    pub wanted: ContentHash,
    /// Its serial then, when it could be read.
    pub serial: Option<u32>,
    /// Why not all that is wanted is in it, if so.
    pub stuck: Option<String>,
    /// Since when it is so, whatever was wanted.
    pub stuck_since: Option<Timestamp>,
    /// How often it was so in a row, for the same wishes.
    pub failures: u32,
}

/// Names one record of a name: a zone shows it beside the record, and says so whose that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Type of the record.
    pub kind: RecordKind,
    /// Beginning of the hash of its data.
    pub digest: u64,
}

/// Types of records that the fleet makes. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordKind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Who takes mail.
    Mx,
    /// The name of an address.
    Ptr,
    /// A text.
    Txt,
}

/// How far a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Made {
    /// It was about to be made; whether it was is not known.
    Intended,
    /// It was there.
    There,
}

impl RecordKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::A, Self::Aaaa, Self::Mx, Self::Ptr, Self::Txt];

    /// As zone files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Ptr => "PTR",
            Self::Txt => "TXT",
        }
    }
}

impl DnsZones {
    /// What the fleet made in one zone.
    #[must_use]
    pub fn inventory(&self, zone: &DomainName) -> Inventory {
        let from = (zone.clone(), String::new());
        let rows = self.made.range(from..);
        let own = rows.take_while(|((of, _), _)| of == zone);
        own.map(|((_, name), marks)| (name.clone(), marks.clone()))
            .collect()
    }
}
