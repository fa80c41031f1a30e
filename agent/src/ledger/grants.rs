//! The newest grants of the recovery key, as they were signed.
//!
//! They lie beside the trust and not in the ledger: an agent that lost its ledger, or begins with
//! nobody there, must not go back to the plan key of its enrolment, which may have been replaced
//! because somebody took it.

use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::{EpochGrant, PlanKeyGrant};
use serde::{Deserialize, Serialize};

use crate::host::{Cabinet, RecordError};

pub(super) const RECORD: &str = "grants";

/// What was granted since the enrolment. Verified before it came here, and again when it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// The newest plan key.
    pub plan_key: Option<Signed<PlanKeyGrant>>,
    /// The newest epoch.
    pub epoch: Option<Signed<EpochGrant>>,
}

impl Grants {
    /// Reads them; none when there never were any.
    ///
    /// # Errors
    /// When they are damaged or unreadable.
    pub fn read(cabinet: &Cabinet) -> Result<Self, RecordError> {
        Ok(cabinet.read(RECORD)?.unwrap_or_default())
    }

    /// Writes them durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, cabinet: &Cabinet) -> Result<(), RecordError> {
        cabinet.write(RECORD, self)
    }
}
