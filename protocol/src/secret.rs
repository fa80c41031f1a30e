//! Secrets are not content: a configuration names them, the bytes travel apart and sealed.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::bytes::Commitment;
use crate::id::SecretId;

/// Names one version of one secret, and commits to its bytes without telling them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretRef {
    /// Which secret.
    pub id: SecretId,
    /// Grows when the bytes change.
    pub version: u32,
    /// SHA-256 over a domain, the salt and the bytes: a host checks what it opened against it.
    pub commitment: Commitment,
}

/// The bytes of a secret with the salt of its commitment. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes {
    /// Random; makes the commitment useless for guessing short secrets.
    pub salt: [u8; 16],
    /// The secret itself.
    pub bytes: Vec<u8>,
}

impl SecretBytes {
    /// What a [`SecretRef`] to these bytes carries.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(b"email-engine/commitment/v1\0");
        context.update(&self.salt);
        context.update(&self.bytes);
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        Commitment(out)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes, redacted)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commitment_depends_on_salt_and_bytes() {
        let one = SecretBytes {
            salt: [1; 16],
            bytes: b"key".to_vec(),
        };
        let two = SecretBytes {
            salt: [2; 16],
            bytes: b"key".to_vec(),
        };
        let three = SecretBytes {
            salt: [1; 16],
            bytes: b"yek".to_vec(),
        };
        assert_ne!(one.commitment(), two.commitment());
        assert_ne!(one.commitment(), three.commitment());
        let same = SecretBytes {
            salt: [1; 16],
            bytes: b"key".to_vec(),
        };
        assert_eq!(one.commitment(), same.commitment());
    }

    #[test]
    fn a_secret_never_prints() {
        let secret = SecretBytes {
            salt: [1; 16],
            bytes: b"hunter2".to_vec(),
        };
        assert_eq!(format!("{secret:?}"), "SecretBytes(7 bytes, redacted)");
    }
}
