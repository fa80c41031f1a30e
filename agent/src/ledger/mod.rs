//! The executor's durable memory: what it accepted, what it will not go below, and everything that
//! it needs to go on without anybody.
//!
//! - [`page`]: one small record, replaced whole and synced before any apply: floor, accepted target,
//!   last good one.
//! - [`store`]: bodies by hash and secrets, these still sealed; opened in memory only.
//! - [`keys`], the pinned trust and the [`grants`] that followed it lie beside it, so that losing the
//!   ledger loses none of them. An agent
//!   that lost its ledger has no floor: it takes the current target again and rebuilds its host.
//! - [`expected`] says whom the host may belong to, until a trust is pinned; [`tombstone`] what it was,
//!   after it was retired.

pub mod expected;
pub mod grants;
pub mod interrupted;
pub mod keys;
pub mod page;
pub mod store;
pub mod tombstone;

use email_engine_protocol::desired::HostConfig;

use crate::accounting;
use crate::certificate;
use crate::halves::Trust;
use crate::host::{Cabinet, RecordError};
use crate::resources;
use crate::suspension::record as suspensions;
use crate::transaction::shelf;
use keys::ExecutorSecrets;
use page::Page;
use store::Store;
use tombstone::Tombstone;

const PAGE: &str = "ledger/page";
const TRUST: &str = "trust";
const INVENTORY: &str = "inventory";
const PENDING: &str = "pending";

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    cabinet: Cabinet,
    page: Page,
    /// Bodies and secrets.
    pub store: Store,
}

impl Ledger {
    /// Opens the ledger. A damaged page is said and treated as lost.
    ///
    /// # Errors
    /// When the stored bodies and secrets cannot be listed.
    pub fn open(cabinet: Cabinet) -> Result<Self, RecordError> {
        let page = match cabinet.read::<Page>(PAGE) {
            Ok(Some(page)) => page,
            Ok(None) => Page::default(),
            Err(error) => {
                tracing::error!(%error, "ledger is lost: the current target is taken again");
                Page::default()
            }
        };
        let store = Store::open(cabinet.clone())?;
        Ok(Self {
            cabinet,
            page,
            store,
        })
    }

    /// What the page says that lies there, for who only looks; nothing when none was written.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub fn page_of(cabinet: &Cabinet) -> Result<Option<Page>, RecordError> {
        cabinet.read(PAGE)
    }

    /// What it says.
    #[must_use]
    pub const fn page(&self) -> &Page {
        &self.page
    }

    /// Changes the page and makes the change durable.
    ///
    /// # Errors
    /// When the disk refuses; then the page is as it was.
    pub fn turn(&mut self, change: impl FnOnce(&mut Page)) -> Result<(), RecordError> {
        let mut next = self.page.clone();
        change(&mut next);
        if next != self.page {
            self.cabinet.write(PAGE, &next)?;
            self.page = next;
        }
        Ok(())
    }

    /// Changes the page and tries to make the change durable. For what is said to others, and not
    /// for what is relied on.
    ///
    /// # Errors
    /// When the disk refuses; the change holds for this life.
    pub fn note(&mut self, change: impl FnOnce(&mut Page)) -> Result<(), RecordError> {
        let before = self.page.clone();
        change(&mut self.page);
        if before == self.page {
            return Ok(());
        }
        self.cabinet.write(PAGE, &self.page)
    }

    /// The checked manifest with this digest.
    ///
    /// # Errors
    /// When it is not at hand, or not what it was when it was accepted.
    pub fn manifest(
        &self,
        digest: &email_engine_protocol::bytes::ContentHash,
    ) -> Result<HostConfig, String> {
        let bytes = self.store.body(digest).map_err(|error| error.to_string())?;
        HostConfig::from_bytes(&bytes).map_err(|error| error.to_string())
    }
}

/// The trust that was pinned, if any.
///
/// # Errors
/// When it is damaged or unreadable.
pub fn read_trust(cabinet: &Cabinet) -> Result<Option<Trust>, RecordError> {
    cabinet.read(TRUST)
}

/// Pins the trust.
///
/// # Errors
/// When the disk refuses.
pub fn pin_trust(cabinet: &Cabinet, trust: &Trust) -> Result<(), RecordError> {
    cabinet.write(TRUST, trust)
}

/// Forgets everything but that the host was: it was retired and said so. Nobody else is believed from then on
/// until somebody is expected.
///
/// # Errors
/// When something stays.
pub fn forget_all(cabinet: &Cabinet) -> Result<(), RecordError> {
    let store = Store::open(cabinet.clone())?;
    store.keep_only(&[], &[], true)?;
    ExecutorSecrets::wipe(cabinet)?;
    shelf::forget_all(cabinet)?;
    certificate::forget_all(cabinet)?;
    resources::forget_discarded(cabinet)?;
    // When room was made, and as long as it is known what the host was.
    Tombstone::set(cabinet, &Ledger::page_of(cabinet)?.unwrap_or_default())?;
    let plain = [
        expected::RECORD,
        TRUST,
        grants::RECORD,
        interrupted::RECORD,
        INVENTORY,
        PENDING,
        suspensions::RECORD,
        accounting::RECORD,
        accounting::posting::RECORD,
    ];
    for record in plain {
        cabinet.remove(record)?;
    }
    // Last: as long as it is there, this is done again.
    cabinet.remove(PAGE)
}
