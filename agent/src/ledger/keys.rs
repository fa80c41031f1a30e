//! The executor's own private keys: made on this machine, never leave it.

use email_engine_protocol::crypto::{Entropy, SealingKey, SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::halves::ExecutorKeys;
use crate::host::{Cabinet, RecordError};

const RECORD: &str = "keys";

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Seeds {
    report: [u8; 32],
    sealing: [u8; 32],
}

/// The private keys.
#[derive(Debug)]
pub struct ExecutorSecrets {
    /// Signs reports.
    pub report: SigningKey,
    /// Opens secrets.
    pub sealing: SealingKey,
}

impl ExecutorSecrets {
    /// Reads the keys, or makes them at the first start. Damaged ones are not replaced: the cluster
    /// knows the old ones, and new ones need a new enrolment.
    ///
    /// # Errors
    /// When they are damaged, or cannot be read or written.
    pub fn open(cabinet: &Cabinet, entropy: &Entropy<'_>) -> Result<Self, RecordError> {
        let seeds = match cabinet.read::<Seeds>(RECORD)? {
            Some(seeds) => seeds,
            None => {
                let seeds = Seeds {
                    report: entropy.bytes(),
                    sealing: entropy.bytes(),
                };
                cabinet.write(RECORD, &seeds)?;
                seeds
            }
        };
        Ok(Self {
            report: SigningKey::from_seed(seeds.report),
            sealing: SealingKey::from_seed(&seeds.sealing),
        })
    }

    /// Overwrites and removes them.
    ///
    /// # Errors
    /// When they stay.
    pub fn wipe(cabinet: &Cabinet) -> Result<(), RecordError> {
        cabinet.wipe(RECORD)
    }

    /// The public halves.
    #[must_use]
    pub fn public(&self) -> ExecutorKeys {
        ExecutorKeys {
            report_key: self.report.verifying_key(),
            sealing_key: self.sealing.public_key(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_damage_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let cabinet = Cabinet::open(dir.path()).unwrap();
        let random = ring::rand::SystemRandom::new();
        let entropy = Entropy(&random);
        let first = ExecutorSecrets::open(&cabinet, &entropy).unwrap().public();
        let second = ExecutorSecrets::open(&cabinet, &entropy).unwrap().public();
        assert_eq!(first, second);
        std::fs::write(dir.path().join(RECORD), "EEA1nonsense").unwrap();
        assert!(ExecutorSecrets::open(&cabinet, &entropy).is_err());
        ExecutorSecrets::wipe(&cabinet).unwrap();
        let third = ExecutorSecrets::open(&cabinet, &entropy).unwrap().public();
        assert_ne!(first, third);
    }
}
