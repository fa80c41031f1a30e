//! The recovery key: 32 bytes that are made once, printed once and kept offline.
//!
//! From it come an Ed25519 key (grants of plan keys, epochs and roots) and an X25519 key (backups and
//! the root's private key are sealed to it). Nodes keep only the public halves, so that a stolen node
//! can neither read a backup nor lift a host over its floor.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use ring::hkdf;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Entropy, SealingKey, SigningKey};
use crate::bytes::{RecoveryPin, SealingPublicKey, VerifyingKey};

/// What a cluster and its agents keep of the recovery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPublic {
    /// Verifies grants.
    pub verifying: VerifyingKey,
    /// Backups are sealed to it.
    pub sealing: SealingPublicKey,
}

impl RecoveryPublic {
    /// By which it is known to somebody who has not seen it yet: both halves under a domain.
    #[must_use]
    pub fn pin(&self) -> RecoveryPin {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(b"email-engine/recovery-pin/v1\0");
        context.update(&self.verifying.0);
        context.update(&self.sealing.0);
        let mut pin = [0; 32];
        pin.copy_from_slice(context.finish().as_ref());
        RecoveryPin(pin)
    }
}

/// The recovery key itself. Printed by [`RecoveryKey::to_text`] only.
pub struct RecoveryKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(redacted)")
    }
}

/// A text that is not a recovery key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryKeyError {
    /// Not in the printed form.
    #[error("a recovery key is 'eer1-' and 58 letters and digits in groups, as printed by --init")]
    Form,
    /// A letter was mistyped.
    #[error("recovery key has a typing error: its checksum does not fit")]
    Checksum,
}

const PREFIX: &str = "EER1";

impl RecoveryKey {
    /// A new random key.
    #[must_use]
    pub fn generate(entropy: &Entropy<'_>) -> Self {
        Self(Zeroizing::new(entropy.bytes()))
    }

    /// The printed form: groups of letters and digits that a person can copy, with a checksum.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.0.to_vec());
        bytes.extend_from_slice(&crc32c::crc32c(&self.0[..]).to_be_bytes());
        let body = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
        let mut text = Zeroizing::new(PREFIX.to_ascii_lowercase());
        for (at, letter) in body.to_ascii_lowercase().chars().enumerate() {
            if at % 8 == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        text
    }

    /// The half that signs grants.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(*self.derive(b"email-engine/recovery/sign/v1"))
    }

    /// The half that opens backups.
    #[must_use]
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey::from_seed(&self.derive(b"email-engine/recovery/seal/v1"))
    }

    /// What may be stored and sent.
    #[must_use]
    pub fn public(&self) -> RecoveryPublic {
        RecoveryPublic {
            verifying: self.signing_key().verifying_key(),
            sealing: self.sealing_key().public_key(),
        }
    }

    fn derive(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"email-engine").extract(&self.0[..]);
        let mut out = Zeroizing::new([0; 32]);
        prk.expand(&[label], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut out[..]))
            .expect("HKDF-SHA256 gives 32 bytes");
        out
    }
}

impl FromStr for RecoveryKey {
    type Err = RecoveryKeyError;

    fn from_str(text: &str) -> Result<Self, RecoveryKeyError> {
        let compact: Zeroizing<String> = Zeroizing::new(
            text.trim()
                .chars()
                .filter(|c| *c != '-' && !c.is_whitespace())
                .collect(),
        );
        let upper = Zeroizing::new(compact.to_ascii_uppercase());
        let body = upper.strip_prefix(PREFIX).ok_or(RecoveryKeyError::Form)?;
        let bytes = Zeroizing::new(
            BASE32_NOPAD
                .decode(body.as_bytes())
                .map_err(|_| RecoveryKeyError::Form)?,
        );
        let (key, sum) = bytes.split_at_checked(32).ok_or(RecoveryKeyError::Form)?;
        if sum != crc32c::crc32c(key).to_be_bytes() {
            return Err(RecoveryKeyError::Checksum);
        }
        let mut out = Zeroizing::new([0; 32]);
        out.copy_from_slice(key);
        Ok(Self(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RecoveryKey {
        RecoveryKey(Zeroizing::new([0x5a; 32]))
    }

    #[test]
    fn the_printed_form_is_read_back_whatever_its_case_and_dashes() {
        let text = key().to_text();
        assert_eq!(
            text.parse::<RecoveryKey>().unwrap().public(),
            key().public()
        );
        let sloppy = text.replace('-', " ").to_uppercase();
        assert_eq!(
            sloppy.parse::<RecoveryKey>().unwrap().public(),
            key().public()
        );
    }

    #[test]
    fn a_typing_error_is_seen() {
        let text = key().to_text();
        let wrong = text.replacen('l', "m", 1);
        assert_ne!(*text, wrong);
        assert_eq!(
            wrong.parse::<RecoveryKey>().unwrap_err(),
            RecoveryKeyError::Checksum
        );
        assert_eq!(
            "secret".parse::<RecoveryKey>().unwrap_err(),
            RecoveryKeyError::Form
        );
    }

    #[test]
    fn a_pin_is_of_both_halves() {
        let public = key().public();
        let mut others = [public; 2];
        others[0].verifying.0[0] ^= 1;
        others[1].sealing.0[0] ^= 1;
        assert_eq!(public.pin(), key().public().pin());
        for other in others {
            assert_ne!(other.pin(), public.pin(), "{other:?}");
        }
    }

    #[test]
    fn the_two_halves_differ() {
        let public = key().public();
        assert_ne!(public.verifying.0, public.sealing.0);
    }
}
