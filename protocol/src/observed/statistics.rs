//! Statistics read from PowerMTA's accounting files, in immutable batches.
//!
//! A batch covers the bytes `from..to` of one file and is applied only when `from` equals the
//! replicated cursor, so that no record is lost or counted twice.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::bytes::ContentHash;
use crate::id::HostId;

/// Which accounting file: its name, and the hash of its first bytes, because names are used again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountingFileId {
    /// File name without its folder.
    pub name: String,
    /// SHA-256 of its first bytes.
    pub head: ContentHash,
}

/// Totals of a stretch of one accounting file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsBatch {
    /// The host that has the file.
    pub host: HostId,
    /// The file.
    pub file: AccountingFileId,
    /// First byte that is covered.
    pub from: u64,
    /// First byte that is not.
    pub to: u64,
    /// What was counted, in order of address and hour.
    pub totals: Vec<IdentityTotals>,
}

/// Counts of one identity in one UTC hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityTotals {
    /// The sending address.
    pub address: IpAddr,
    /// Hours since 1970-01-01T00:00:00Z.
    pub hour: u32,
    /// Final results: delivered and bounced.
    pub sent: u64,
    /// Delivered.
    pub delivered: u64,
    /// Bounced for a hard reason, remote bounces included.
    pub bounced: u64,
    /// Distinct messages that were deferred.
    pub deferred: u64,
    /// Complaints from feedback loops.
    pub complaints: u64,
}
