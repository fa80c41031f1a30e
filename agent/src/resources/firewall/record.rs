//! What must be known after a crash: which rules are confirmed, which were being tried, which were
//! taken back.

use email_engine_protocol::bytes::ContentHash;
use serde::{Deserialize, Serialize};

use super::super::ApplyError;
use crate::host::Machine;

const NAME: &str = "firewall";

/// The agent's own record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// In force, and confirmed by a new connection.
    pub(super) confirmed: Option<Confirmed>,
    /// Written before these rules are set, erased when they are confirmed or taken back.
    pub(super) trying: Option<ContentHash>,
    /// Not tried again.
    pub(super) taken_back: Option<TakenBack>,
}

/// Rules that stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Confirmed {
    /// As nft reads them.
    pub(super) text: String,
    /// The digest of their listing.
    pub(super) seen: ContentHash,
}

/// Rules that did not stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TakenBack {
    /// Which ones.
    pub(super) rules: ContentHash,
    /// Why.
    pub(super) reason: String,
}

impl Record {
    /// One that is damaged is as one that was never written: everything is looked at and tried anew.
    pub(super) fn read(machine: &Machine) -> Self {
        let read = machine.notes.read(NAME).unwrap_or_else(|error| {
            tracing::error!(%error, "what is known of the firewall is lost");
            None
        });
        read.unwrap_or_default()
    }

    /// # Errors
    /// When the disk refuses; then the old one stands.
    pub(super) fn write(&self, machine: &Machine) -> Result<(), ApplyError> {
        let kept = machine.notes.write(NAME, self);
        kept.map_err(|error| ApplyError::Refused(format!("nothing was changed: {error}")))
    }

    pub(super) fn forget(machine: &Machine) -> Result<(), ApplyError> {
        let gone = machine.notes.remove(NAME);
        gone.map_err(|error| ApplyError::Refused(error.to_string()))
    }
}
