//! What a cluster remembers of the backup that it began anew from.
//!
//! Hosts renewed between the backup and the loss: their certificates are good and not on record. Those
//! are told from all others exactly: rows go only at their end, so one that ends after the backup and
//! was not on record in it was recorded after it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::{CertificateSerial, ContentHash};
use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;

use super::{FleetState, HostLifecycle};

/// The beginning of a cluster's new life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Time of the last change that the backup has.
    pub as_of: Timestamp,
    /// When the new life began.
    pub at: Timestamp,
    /// Certificates that the backup has on record.
    pub on_record: BTreeSet<CertificateSerial>,
    /// Hosts that came back with a certificate of the lost time: each once.
    pub readmitted: BTreeSet<HostId>,
}

/// A certificate that this cluster's authority signed, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCertificate {
    /// Its serial.
    pub serial: CertificateSerial,
    /// Its key.
    pub spki: ContentHash,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

/// What becomes of a host whose certificate is from the time that a restore lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// It is let in, once.
    Readmitted,
    /// It was enrolled in the lost time: it needs a new token, and nobody took its identity.
    NeedsToken,
}

impl FleetState {
    /// Judges a certificate that is not the host's current one. None when it is not from the time
    /// that a restore lost, or when the host has been let in again since.
    #[must_use]
    pub fn may_return(
        &self,
        host: &HostId,
        shown: &ShownCertificate,
        now: Timestamp,
    ) -> Option<Return> {
        let restored = self.restored.as_ref()?;
        let is_known = self.certificates.contains_key(&shown.serial)
            || restored.on_record.contains(&shown.serial)
            || self.revoked.contains(&shown.serial);
        // One that ended may be of the new life, its row gone; one that has not ended has its row.
        let was_lost = shown.not_after > restored.as_of
            && (shown.not_after > now || shown.issued_at < restored.at);
        if is_known || !was_lost {
            return None;
        }
        let Some(row) = self.hosts.get(host) else {
            return Some(Return::NeedsToken);
        };
        match (row.lifecycle, &row.keys) {
            (HostLifecycle::Declared, _) => Some(Return::NeedsToken),
            (HostLifecycle::Enrolled | HostLifecycle::Retiring { .. }, Some(keys)) => {
                let is_first = !restored.readmitted.contains(host)
                    && keys.enrolled_at <= restored.as_of
                    && !self.revoked.contains(&keys.serial);
                is_first.then_some(Return::Readmitted)
            }
            _ => None,
        }
    }
}
