//! Statistics read from PowerMTA's accounting files, in immutable batches.
//!
//! A batch covers the bytes `from..to` of one file. It is added only when `from` is the cursor of
//! whoever takes it, and one that begins at 0 takes the place of all that was known of its file, so
//! that no record is lost or counted twice.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{BounceCategory, Categories, MailNotices};
use crate::bytes::{ContentHash, Nonce};
use crate::crypto::Signable;
use crate::id::{ClusterId, HostId};
use crate::time::Timestamp;

/// Which accounting file: its name, and the hash of its first bytes, because names are used again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountingFileId {
    /// File name without its folder.
    pub name: String,
    /// SHA-256 of its header line and first record.
    pub head: ContentHash,
}

/// Totals of a stretch of one accounting file. Signed by the executor, with the coordinator's nonce,
/// as a report is.
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
    /// What was counted, in order of address and hour, at most
    /// [`STATISTICS_ROWS`](crate::limits::STATISTICS_ROWS). Hours that are older than two days may be
    /// left out of a batch that begins at 0.
    pub totals: Vec<IdentityTotals>,
    /// The cluster that the host belongs to.
    pub cluster: ClusterId,
    /// The nonce of the session that it is for.
    pub nonce: Nonce,
    /// Records that are in no row of `totals`, because there is a bound to rows.
    pub left_out: u64,
    /// What an operator should know of all files together, as of now: it takes the place of what the
    /// batch before said.
    pub notices: MailNotices,
}

impl Signable for StatisticsBatch {
    const DOMAIN: &'static str = "email-engine/statistics/v1";
}

/// Counts of one identity in one UTC hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Distinct messages that were deferred, as far as the agent remembers them: one that is deferred
    /// again after thousands of others counts once more.
    pub deferred: u64,
    /// Complaints from feedback loops.
    pub complaints: u64,
    /// Final results that were refusals here and now, by category.
    pub categories: Categories,
    /// Bounces that came back later as mail, whatever their category: what they are about was counted
    /// as delivered before.
    pub returned: u64,
}

impl IdentityTotals {
    /// Nothing counted yet.
    #[must_use]
    pub const fn none(address: IpAddr, hour: u32) -> Self {
        Self {
            address,
            hour,
            sent: 0,
            delivered: 0,
            bounced: 0,
            deferred: 0,
            complaints: 0,
            categories: Categories([0; BounceCategory::ALL.len()]),
            returned: 0,
        }
    }

    /// Adds what another row of the same identity and hour counted.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in [
            (&mut self.sent, other.sent),
            (&mut self.delivered, other.delivered),
            (&mut self.bounced, other.bounced),
            (&mut self.deferred, other.deferred),
            (&mut self.complaints, other.complaints),
            (&mut self.returned, other.returned),
        ] {
            *own = own.saturating_add(more);
        }
        for (own, more) in self.categories.0.iter_mut().zip(other.categories.0) {
            *own = own.saturating_add(more);
        }
    }

    /// The beginning of its hour.
    #[must_use]
    pub fn begins(&self) -> Timestamp {
        Timestamp(u64::from(self.hour) * Timestamp::HOUR)
    }
}
