//! Signed values: the exact bytes travel with their signature, so that nothing is re-encoded.

use std::fmt;
use std::marker::PhantomData;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Entropy;
use crate::bytes::{Signature, VerifyingKey};
use crate::canonical;

/// A value that can be signed. The domain keeps a signature over one kind of value from being taken
/// for a signature over another.
pub trait Signable: Serialize + DeserializeOwned {
    /// Unique per kind and version, such as `email-engine/target/v1`.
    const DOMAIN: &'static str;
}

/// A value in its encoded form with a signature over domain and bytes.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Signed<T> {
    payload: Vec<u8>,
    signature: Signature,
    #[serde(skip)]
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            payload: self.payload.clone(),
            signature: self.signature,
            kind: PhantomData,
        }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload && self.signature == other.signature
    }
}

impl<T> Eq for Signed<T> {}

impl<T: Signable> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({}, {} bytes)", T::DOMAIN, self.payload.len())
    }
}

/// Why a signed value is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature is by another key, over other bytes, or over another kind of value.
    #[error("signature does not verify")]
    Signature,
    /// Rightly signed, but not a value of this kind.
    #[error("signed value does not decode: {0}")]
    Decode(postcard::Error),
}

fn message(domain: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(domain.len() + 1 + payload.len());
    message.extend_from_slice(domain.as_bytes());
    message.push(0);
    message.extend_from_slice(payload);
    message
}

impl<T: Signable> Signed<T> {
    /// Checks the signature, then decodes.
    ///
    /// # Errors
    /// When the key did not sign exactly this value.
    pub fn verify(&self, key: &VerifyingKey) -> Result<T, VerifyError> {
        UnparsedPublicKey::new(&ED25519, key.as_bytes())
            .verify(
                &message(T::DOMAIN, &self.payload),
                self.signature.as_bytes(),
            )
            .map_err(|_| VerifyError::Signature)?;
        canonical::decode(&self.payload).map_err(VerifyError::Decode)
    }

    /// The value as claimed, for picking the key to verify with or for an error text. Not to be
    /// acted on.
    ///
    /// # Errors
    /// When the bytes do not decode.
    pub fn unverified(&self) -> Result<T, VerifyError> {
        canonical::decode(&self.payload).map_err(VerifyError::Decode)
    }
}

/// An Ed25519 private key. Never printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: zeroize::Zeroizing<[u8; 32]>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, redacted)", self.verifying_key())
    }
}

impl SigningKey {
    /// A new random key.
    #[must_use]
    pub fn generate(entropy: &Entropy<'_>) -> Self {
        Self::from_seed(entropy.bytes())
    }

    /// The key with this seed (RFC 8032 section 5.1.5).
    ///
    /// # Panics
    /// Never: every 32 bytes are a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are an Ed25519 seed");
        Self {
            pair,
            seed: zeroize::Zeroizing::new(seed),
        }
    }

    /// The seed, for storing it under seal.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        VerifyingKey(key)
    }

    /// Encodes and signs a value.
    ///
    /// # Panics
    /// Never for the values of this crate: each serialises.
    #[must_use]
    pub fn sign<T: Signable>(&self, value: &T) -> Signed<T> {
        let payload = postcard::to_stdvec(value).expect("a signable value serialises");
        let raw = self.pair.sign(&message(T::DOMAIN, &payload));
        let mut signature = [0; 64];
        signature.copy_from_slice(raw.as_ref());
        Signed {
            payload,
            signature: Signature(signature),
            kind: PhantomData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Cat(u32);
    impl Signable for Cat {
        const DOMAIN: &'static str = "test/cat";
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Dog(u32);
    impl Signable for Dog {
        const DOMAIN: &'static str = "test/dog";
    }

    #[test]
    fn only_the_right_key_kind_and_bytes_verify() {
        let key = SigningKey::from_seed([1; 32]);
        let other = SigningKey::from_seed([2; 32]);
        let signed = key.sign(&Cat(9));
        assert_eq!(signed.verify(&key.verifying_key()).unwrap(), Cat(9));
        assert_eq!(
            signed.verify(&other.verifying_key()),
            Err(VerifyError::Signature)
        );
        let bytes = postcard::to_stdvec(&signed).unwrap();
        let as_dog: Signed<Dog> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(
            as_dog.verify(&key.verifying_key()),
            Err(VerifyError::Signature)
        );
        let mut forged = signed;
        forged.payload[0] ^= 1;
        assert_eq!(
            forged.verify(&key.verifying_key()),
            Err(VerifyError::Signature)
        );
    }

    #[test]
    fn a_private_key_never_prints() {
        let key = SigningKey::from_seed([7; 32]);
        let seed = data_encoding::HEXLOWER.encode(&[7; 32]);
        assert!(!format!("{key:?}").contains(&seed));
    }
}
