//! What the API says of DNS: records in the forms that operators load their zones with, and the names that
//! addresses must lead back to.

mod compliance;
mod zones;

pub use compliance::{ComplianceState, ComplianceView, ReceiverCompliance, RuleCompliance};
pub use zones::{
    LeftOut, ZoneApplied, ZoneApplyRequest, ZoneMode, ZonePlanView, ZoneRequest, ZoneView,
};

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::DomainRecord;
use crate::mail::DomainName;
use crate::time::Timestamp;

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

/// A kind of record that is looked at. Append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsPart {
    /// Names lead to the address.
    A,
    /// Who takes mail to the domain.
    Mx,
    /// The address leads to the name in EHLO, and that back.
    Ptr,
    /// The address may send for the domain.
    Spf,
    /// The key that signs is published.
    Dkim,
    /// Receivers are told what to do with what is not ours.
    Dmarc,
    /// The key that a rotation leads to is published.
    NextDkim,
}

impl DnsPart {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::A,
        Self::Mx,
        Self::Ptr,
        Self::Spf,
        Self::Dkim,
        Self::Dmarc,
        Self::NextDkim,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::Mx => "mx",
            Self::Ptr => "ptr",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::NextDkim => "next_dkim",
        }
    }
}

/// What the answers of all authoritative servers come to. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsVerdict {
    /// As it must be.
    Valid {
        /// What is worth knowing all the same.
        warnings: Vec<String>,
    },
    /// Otherwise.
    Invalid {
        /// What was seen, and by which server.
        seen: String,
        /// The text to publish, where that is another than the wanted record's: what is there, with ours in
        /// it.
        replace: Option<String>,
    },
    /// It could not be seen.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl DnsVerdict {
    /// Whether it is as it must be, as far as that is known.
    #[must_use]
    pub const fn is_valid(&self) -> Option<bool> {
        match self {
            Self::Valid { .. } => Some(true),
            Self::Invalid { .. } => Some(false),
            Self::Unknown { .. } => None,
        }
    }
}

/// What the servers of a domain's zone say of its records. What nobody knows is neither right nor wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainCheck {
    /// Names lead to the address.
    #[serde(default)]
    pub a_valid: Option<bool>,
    /// Somebody takes its mail.
    #[serde(default)]
    pub mx_valid: Option<bool>,
    /// The address leads to the name in EHLO, and that back.
    #[serde(default)]
    pub ptr_valid: Option<bool>,
    /// The address may send for it.
    #[serde(default)]
    pub spf_valid: Option<bool>,
    /// The key that signs is published.
    #[serde(default)]
    pub dkim_valid: Option<bool>,
    /// A policy applies.
    #[serde(default)]
    pub dmarc_valid: Option<bool>,
    /// When they were looked at last; a look at what was wanted before counts no more.
    #[serde(default)]
    pub last_dns_check: Option<Timestamp>,
    /// What was seen of each.
    #[serde(default)]
    pub dns: BTreeMap<DnsPart, DnsFinding>,
}

/// What was seen of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsFinding {
    /// What it comes to.
    #[serde(flatten)]
    pub verdict: DnsVerdict,
    /// The lines to publish, where it is not right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
}

/// Answer of `POST /api/v1/dns/check`: they are looked at from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsCheckView {
    /// The domains.
    pub domains: Vec<DomainName>,
    /// A look since then answers it.
    pub asked_at: Timestamp,
}
