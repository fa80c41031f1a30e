//! What the API says of DNS: records in the forms that operators load their zones with, and the names that
//! addresses must lead back to.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::DomainRecord;
use crate::mail::DomainName;

/// What an export is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// Snippets that a zone file takes in by `$INCLUDE`.
    Bind,
    /// Rows of name, type, ttl, value and priority.
    Csv,
    /// Extensions of DNSControl's domains.
    Dnscontrol,
    /// A source of octoDNS, with filters.
    Octodns,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bind, Self::Csv, Self::Dnscontrol, Self::Octodns];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Csv => "csv",
            Self::Dnscontrol => "dnscontrol",
            Self::Octodns => "octodns",
        }
    }
}

/// Answer of `GET /api/v1/dns/export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportView {
    /// What for.
    pub format: ExportFormat,
    /// The files, in order of name.
    pub files: Vec<ExportFile>,
    /// What to do with them, and what is in none of them.
    pub notes: Vec<String>,
}

/// One file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFile {
    /// Its name, without folders.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Answer of `GET /api/v1/dns/records`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecordsView {
    /// By zone of the fleet's domains.
    pub zones: Vec<ZoneRecords>,
    /// Records that belong into zones of others: they say that reports of ours are welcome.
    pub elsewhere: Vec<DomainRecord>,
    /// What is set where the addresses come from.
    pub pointers: Vec<PointerBlock>,
}

/// The records of one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRecords {
    /// The zone.
    pub zone: DomainName,
    /// Its records.
    pub records: Vec<DomainRecord>,
}

/// The addresses of one block, which one provider or customer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointerBlock {
    /// The /24, or of IPv6 the /64.
    pub block: String,
    /// What its addresses must lead back to.
    pub pointers: Vec<Pointer>,
}

/// An address and the one name that it must lead back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The address.
    pub address: IpAddr,
    /// The owner name of the record, without the final dot.
    pub reverse: String,
    /// The name that it leads to.
    pub name: String,
}
