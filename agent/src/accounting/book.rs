//! What is known of one accounting file: how far it was read, and what was counted in it.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::HostPath;
use email_engine_protocol::observed::AccountingFileId;
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::line::columns::Columns;
use super::tally::Tally;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book {
    /// The path of the state that it belongs to.
    pub(super) base: HostPath,
    pub(super) id: AccountingFileId,
    /// Bytes that the hash in the id is of.
    pub(super) head: u64,
    pub(super) inode: u64,
    /// First byte that was not read.
    pub(super) position: u64,
    /// By which records from there on are read.
    pub(super) columns: Option<Columns>,
    pub(super) tally: Tally,
    /// When something was read from it last.
    pub(super) read_at: Timestamp,
    /// What the cluster was told in this session.
    #[serde(skip)]
    pub(super) told: Option<u64>,
    /// What was counted since.
    #[serde(skip)]
    pub(super) fresh: Tally,
    /// Whether it was there at the last look.
    #[serde(skip)]
    pub(super) present: bool,
}

impl Book {
    pub(super) fn new(base: HostPath, name: String, head: &[u8], inode: u64) -> Self {
        Self {
            base,
            id: AccountingFileId {
                name,
                head: ContentHash::of(head),
            },
            head: head.len() as u64,
            inode,
            position: 0,
            columns: None,
            tally: Tally::default(),
            read_at: Timestamp(0),
            told: None,
            fresh: Tally::default(),
            present: true,
        }
    }

    /// Whether these are its first bytes.
    pub(super) fn begins(&self, head: &[u8]) -> bool {
        head.len() as u64 == self.head && ContentHash::of(head) == self.id.head
    }

    /// Whether it was cut below what was read: what was counted stays counted, and what is written
    /// from now on is read from its new end.
    pub(super) fn cut_to(&mut self, size: u64) {
        tracing::warn!(
            file = self.id.name,
            read = self.position,
            size,
            "an accounting file lost records that were read already"
        );
        self.position = size;
        self.untell();
    }

    /// Whether the cluster does not know all of it.
    pub(super) fn has_news(&self) -> bool {
        match self.told {
            Some(told) => told != self.position,
            None => !self.tally.is_empty(),
        }
    }

    /// The cluster knows nothing of it, or something else.
    pub(super) fn untell(&mut self) {
        self.told = None;
        self.fresh = Tally::default();
    }
}
