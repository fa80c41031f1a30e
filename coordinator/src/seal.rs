//! Envelope encryption of secrets at rest: a data key per secret, wrapped with the cluster's
//! key-encryption key, which lies on each node with mode 0600 and never enters the log.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use email_engine_protocol::crypto::Entropy;
use email_engine_protocol::secret::SecretBytes;

use crate::state::SealedAtRest;

/// The key-encryption key of a cluster.
pub struct Vault {
    version: u32,
    key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(version {}, redacted)", self.version)
    }
}

/// Why a sealed secret cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Sealed with another version of the key-encryption key.
    #[error("secret is sealed with key-encryption key {wanted}, this node has {held}")]
    KeyVersion {
        /// Version that it needs.
        wanted: u32,
        /// Version that is held.
        held: u32,
    },
    /// Damaged, or sealed with another key.
    #[error("sealed secret does not open: damaged, or sealed with another key")]
    Refused,
}

impl Vault {
    /// A vault that seals with this key.
    #[must_use]
    pub const fn new(version: u32, key: Zeroizing<[u8; 32]>) -> Self {
        Self { version, key }
    }

    /// The raw key, for wrapping it to a joining node or into a backup.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Seals bytes under a fresh data key.
    #[must_use]
    pub fn seal(&self, bytes: &[u8], entropy: &Entropy<'_>) -> SealedAtRest {
        let uid: [u8; 16] = entropy.bytes();
        let data_key = Zeroizing::new(entropy.bytes::<32>());
        SealedAtRest {
            uid,
            kek_version: self.version,
            wrapped_key: encrypt(&self.key, &aad(&uid, b"key"), &data_key[..], entropy),
            ciphertext: encrypt(&data_key, &aad(&uid, b"bytes"), bytes, entropy),
        }
    }

    /// Opens sealed bytes.
    ///
    /// # Errors
    /// When they were sealed with another key or are damaged.
    pub fn open(&self, sealed: &SealedAtRest) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.kek_version != self.version {
            return Err(SealError::KeyVersion {
                wanted: sealed.kek_version,
                held: self.version,
            });
        }
        let data_key = decrypt(&self.key, &aad(&sealed.uid, b"key"), &sealed.wrapped_key)?;
        let mut key = Zeroizing::new([0; 32]);
        if data_key.len() != key.len() {
            return Err(SealError::Refused);
        }
        key.copy_from_slice(&data_key);
        decrypt(&key, &aad(&sealed.uid, b"bytes"), &sealed.ciphertext)
    }

    /// Seals a secret with its salt.
    ///
    /// # Panics
    /// Never: secret bytes serialise.
    #[must_use]
    pub fn seal_secret(&self, secret: &SecretBytes, entropy: &Entropy<'_>) -> SealedAtRest {
        let plain = Zeroizing::new(postcard::to_stdvec(secret).expect("secret bytes serialise"));
        self.seal(&plain, entropy)
    }

    /// Opens a secret with its salt.
    ///
    /// # Errors
    /// As [`open`](Self::open), or when the bytes are no secret.
    pub fn open_secret(&self, sealed: &SealedAtRest) -> Result<SecretBytes, SealError> {
        postcard::from_bytes(&self.open(sealed)?).map_err(|_| SealError::Refused)
    }
}

fn aad(uid: &[u8; 16], part: &[u8]) -> Vec<u8> {
    [b"email-engine/at-rest/v1\0", &uid[..], part].concat()
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(
        UnboundKey::new(&CHACHA20_POLY1305, key).expect("the cipher takes keys of 32 bytes"),
    )
}

fn encrypt(key: &[u8; 32], aad: &[u8], plain: &[u8], entropy: &Entropy<'_>) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = entropy.bytes();
    let mut out = nonce.to_vec();
    let mut buffer = plain.to_vec();
    cipher(key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut buffer,
        )
        .expect("a secret is far below the cipher's limit");
    out.append(&mut buffer);
    out
}

fn decrypt(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, rest) = sealed
        .split_at_checked(NONCE_LEN)
        .ok_or(SealError::Refused)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Refused)?;
    let mut buffer = Zeroizing::new(rest.to_vec());
    let length = cipher(key)
        .open_in_place(nonce, Aad::from(aad), &mut buffer)
        .map_err(|_| SealError::Refused)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: u8) -> Vault {
        Vault::new(1, Zeroizing::new([byte; 32]))
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_only() {
        let random = ring::rand::SystemRandom::new();
        let sealed = vault(1).seal(b"private", &Entropy(&random));
        assert_eq!(&vault(1).open(&sealed).unwrap()[..], b"private");
        assert_eq!(vault(2).open(&sealed).unwrap_err(), SealError::Refused);
        let mut newer = sealed;
        newer.kek_version = 2;
        assert!(matches!(
            vault(1).open(&newer),
            Err(SealError::KeyVersion { .. })
        ));
    }

    #[test]
    fn parts_of_two_blobs_cannot_be_swapped_and_damage_is_seen() {
        let random = ring::rand::SystemRandom::new();
        let one = vault(1).seal(b"one", &Entropy(&random));
        let two = vault(1).seal(b"two", &Entropy(&random));
        let mut swapped = one.clone();
        swapped.ciphertext = two.ciphertext;
        assert_eq!(vault(1).open(&swapped).unwrap_err(), SealError::Refused);
        for at in 0..one.ciphertext.len() {
            let mut damaged = one.clone();
            damaged.ciphertext[at] ^= 1;
            assert_eq!(vault(1).open(&damaged).unwrap_err(), SealError::Refused);
        }
        let mut cut = one;
        cut.ciphertext.truncate(5);
        assert_eq!(vault(1).open(&cut).unwrap_err(), SealError::Refused);
    }

    #[test]
    fn a_vault_never_prints() {
        assert_eq!(format!("{:?}", vault(9)), "Vault(version 1, redacted)");
    }
}
