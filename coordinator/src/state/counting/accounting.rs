//! Up to where the accounting files of every host are counted, and what is known of the reading.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::state::{FleetState, Table};

use email_engine_protocol::api::{Uncounted, UncountedView};
use email_engine_protocol::id::{HostId, ReceiverGroup, TenantId};
use email_engine_protocol::observed::{
    AccountingCursors, AccountingFileId, Counts, FileCursor, Gap, Mark,
};
use email_engine_protocol::time::Timestamp;

/// What is known of reading accounting files. Counts themselves are series, beside the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    /// By host, those that are cut off included for a while: their files may come back.
    pub hosts: Table<HostId, Arc<HostAccounting>>,
    /// The day on which series were pruned last, in days since 1970-01-01.
    pub pruned: u32,
}

/// What is known of one host's accounting files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAccounting {
    /// Up to where each is counted.
    pub files: BTreeMap<AccountingFileId, CountedFile>,
    /// By stem, the last name of files that were forgotten.
    pub floors: BTreeMap<String, String>,
    /// All that was written before is counted.
    pub read_until: Option<Timestamp>,
    /// Times of which records may be missing, oldest first.
    pub gaps: BTreeSet<Gap>,
    /// Whose an address is and was of late, oldest first: bounces and complaints still come when an
    /// identity is gone, and its address may be another's by then.
    pub owners: BTreeMap<IpAddr, Vec<Owner>>,
    /// All identities together by UTC day, the newest few.
    pub days: BTreeMap<u32, Counts>,
    /// Records that were counted for an address that was nobody's on this host when they were written.
    pub unclaimed: Option<Uncounted>,
    /// Records from before the first day that is kept.
    pub too_old: Option<Uncounted>,
    /// Groups of receivers that it counted for today.
    pub groups: BTreeSet<ReceiverGroup>,
    /// When something changed here last.
    pub changed_at: Timestamp,
}

/// Up to where one file is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedFile {
    /// First byte that is not.
    pub at: u64,
    /// What stood before it.
    pub mark: Mark,
    /// When that changed last.
    pub changed_at: Timestamp,
}

/// Who owns an address, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The customer.
    pub tenant: TenantId,
    /// Since when.
    pub since: Timestamp,
    /// When this was known last.
    pub seen_at: Timestamp,
}

impl Accounting {
    /// What stands in a host's accounting files and is in nobody's statistics.
    #[must_use]
    pub fn uncounted(&self, host: &HostId) -> UncountedView {
        let known = self.hosts.get(host);
        known.map_or_else(UncountedView::default, |known| UncountedView {
            unclaimed: known.unclaimed,
            too_old: known.too_old,
        })
    }
}

impl FleetState {
    /// A day of a host's mail may be judged when this is past its end: all that the host wrote before
    /// is counted.
    #[must_use]
    pub fn judged_until(&self, host: &HostId) -> Option<Timestamp> {
        self.accounting.hosts.get(host)?.read_until
    }
}

impl HostAccounting {
    /// Up to where a file is counted, as agents are told.
    #[must_use]
    pub fn cursor(&self, file: &AccountingFileId) -> Option<FileCursor> {
        let counted = self.files.get(file)?;
        Some(FileCursor {
            file: file.clone(),
            at: counted.at,
            mark: counted.mark,
        })
    }

    /// All of them.
    #[must_use]
    pub fn cursors(&self) -> AccountingCursors {
        let cursor = |(file, counted): (&AccountingFileId, &CountedFile)| FileCursor {
            file: file.clone(),
            at: counted.at,
            mark: counted.mark,
        };
        AccountingCursors {
            files: self.files.iter().map(cursor).collect(),
            floors: self.floors.clone(),
            read_until: self.read_until,
        }
    }
}
