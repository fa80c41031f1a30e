//! What is kept of a host that was retired and wiped: that it was, so that nobody takes the machine for a new
//! one but whoever holds it.

use std::fmt;

use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, TokenId};
use email_engine_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::expected::Expected;
use super::page::Page;
use crate::host::{self, Cabinet, RecordError};

const RECORD: &str = "tombstone";

/// A host that was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The cluster that retired it.
    pub cluster: ClusterId,
    /// The host's name.
    pub host: HostId,
    /// The state that retired it.
    pub generation: Generation,
    /// The token that had let it in.
    pub token: Option<TokenId>,
    /// When it was wiped, by this machine's clock.
    pub at: Timestamp,
}

impl fmt::Display for Tombstone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            host,
            generation,
            at,
            ..
        } = self;
        write!(
            f,
            "this machine was host {host}, which its cluster {cluster} retired by state {generation}; it was \
             wiped at {at}"
        )
    }
}

impl Tombstone {
    /// The one that stands, if any.
    ///
    /// # Errors
    /// When it is damaged or unreadable.
    pub fn read(cabinet: &Cabinet) -> Result<Option<Self>, RecordError> {
        cabinet.read(RECORD)
    }

    /// Sets it for the host of this page; one that stands says more than what is left of the host by then.
    pub(super) fn set(cabinet: &Cabinet, page: &Page) -> Result<(), RecordError> {
        let Some(accepted) = &page.accepted else {
            return Ok(());
        };
        if matches!(Self::read(cabinet), Ok(Some(_))) {
            return Ok(());
        }
        let expected = Expected::read(cabinet).ok().flatten();
        let tombstone = Self {
            cluster: accepted.target.cluster,
            host: accepted.target.host.clone(),
            generation: accepted.target.generation,
            token: expected.map(|expected| expected.token),
            at: host::clock(),
        };
        cabinet.write(RECORD, &tombstone)
    }

    pub(super) fn remove(cabinet: &Cabinet) -> Result<(), RecordError> {
        cabinet.remove(RECORD)
    }
}
