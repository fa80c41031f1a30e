//! Sealing: only the holder of one X25519 key can read, and only in the context it was meant for.

use std::fmt;

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem as KemTrait, OpModeR, OpModeS, Serializable};
use serde::{Deserialize, Serialize};

use super::Entropy;
use crate::bytes::SealingPublicKey;
use crate::id::{ClusterId, HostId};
use crate::limits;
use crate::secret::{SecretBytes, SecretRef};

type Kem = X25519HkdfSha256;
type Kdf = HkdfSha256;
type Aead = ChaCha20Poly1305;
/// The encapsulated key that goes in front, and the context that seals what follows.
type Sender = ([u8; 32], AeadCtxS<Aead, Kdf, Kem>);

/// Bytes sealed to one key: the encapsulated key and the ciphertext.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    encapsulated: [u8; 32],
    ciphertext: Vec<u8>,
}

impl Sealed {
    /// What was never sealed and cannot be opened: stands where a key would, in states that no cluster
    /// has.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            encapsulated: [0; 32],
            ciphertext: Vec::new(),
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.ciphertext.len())
    }
}

/// Why sealed bytes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed to another key, for another context, or changed on the way.
    #[error("sealed bytes do not open with this key in this context")]
    Refused,
    /// Opened, but not what the reference commits to.
    #[error("secret {0} opened to bytes that its reference does not commit to")]
    Commitment(crate::id::SecretId),
    /// Opened, but not a secret.
    #[error("secret {0} opened to bytes that do not decode")]
    Decode(crate::id::SecretId),
}

/// An X25519 private key that secrets are sealed to. Never printed.
pub struct SealingKey {
    private: <Kem as KemTrait>::PrivateKey,
    public: SealingPublicKey,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({}, redacted)", self.public)
    }
}

impl SealingKey {
    /// The key derived from 32 secret bytes (RFC 9180 `DeriveKeyPair`).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let (private, public) = Kem::derive_keypair(seed);
        Self {
            private,
            public: SealingPublicKey(public.to_bytes().into()),
        }
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> SealingPublicKey {
        self.public
    }

    /// Opens bytes that were sealed to this key in the context `info`, bound to `aad`.
    ///
    /// # Errors
    /// When they were not.
    pub fn open(&self, sealed: &Sealed, info: &[u8], aad: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut context = self.receiver(&sealed.encapsulated, info)?;
        context
            .open(&sealed.ciphertext, aad)
            .map_err(|_| OpenError::Refused)
    }

    fn receiver(
        &self,
        encapsulated: &[u8; 32],
        info: &[u8],
    ) -> Result<AeadCtxR<Aead, Kdf, Kem>, OpenError> {
        let key = <Kem as KemTrait>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| OpenError::Refused)?;
        hpke::setup_receiver::<Aead, Kdf, Kem>(&OpModeR::Base, &self.private, &key, info)
            .map_err(|_| OpenError::Refused)
    }
}

impl Sealed {
    /// Seals `bytes` to `to` for the context `info`, bound to `aad`.
    ///
    /// # Errors
    /// When `to` is not a usable key (a point of low order).
    pub fn new(
        to: &SealingPublicKey,
        info: &[u8],
        aad: &[u8],
        bytes: &[u8],
        entropy: &mut Entropy<'_>,
    ) -> Result<Self, OpenError> {
        let (encapsulated, mut context) = sender(to, info, entropy)?;
        let ciphertext = context.seal(bytes, aad).map_err(|_| OpenError::Refused)?;
        Ok(Self {
            encapsulated,
            ciphertext,
        })
    }
}

fn sender(
    to: &SealingPublicKey,
    info: &[u8],
    entropy: &mut Entropy<'_>,
) -> Result<Sender, OpenError> {
    let to =
        <Kem as KemTrait>::PublicKey::from_bytes(to.as_bytes()).map_err(|_| OpenError::Refused)?;
    let (encapsulated, context) =
        hpke::setup_sender_with_rng::<Aead, Kdf, Kem>(&OpModeS::Base, &to, info, entropy)
            .map_err(|_| OpenError::Refused)?;
    Ok((encapsulated.to_bytes().into(), context))
}

/// A secret on its way to one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// Which secret it is.
    pub secret: SecretRef,
    /// Its bytes and salt, sealed to the host's key.
    pub sealed: Sealed,
}

fn secret_info(cluster: ClusterId, host: &HostId) -> Vec<u8> {
    format!("email-engine/secret/v1\0{cluster}\0{host}").into_bytes()
}

fn secret_aad(secret: &SecretRef) -> Vec<u8> {
    postcard::to_stdvec(secret).expect("a secret reference serialises")
}

impl SealedSecret {
    /// Seals a secret for one host of one cluster.
    ///
    /// # Errors
    /// When the host's key is not usable.
    pub fn new(
        cluster: ClusterId,
        host: &HostId,
        to: &SealingPublicKey,
        secret: SecretRef,
        bytes: &SecretBytes,
        entropy: &mut Entropy<'_>,
    ) -> Result<Self, OpenError> {
        let plain =
            zeroize::Zeroizing::new(postcard::to_stdvec(bytes).expect("secret bytes serialise"));
        let sealed = Sealed::new(
            to,
            &secret_info(cluster, host),
            &secret_aad(&secret),
            &plain,
            entropy,
        )?;
        Ok(Self { secret, sealed })
    }

    /// Opens the secret with the host's key and checks it against its reference.
    ///
    /// # Errors
    /// When it is for another host or cluster, was changed, or is not what the reference means.
    pub fn open(
        &self,
        cluster: ClusterId,
        host: &HostId,
        key: &SealingKey,
    ) -> Result<SecretBytes, OpenError> {
        let aad = secret_aad(&self.secret);
        let plain =
            zeroize::Zeroizing::new(key.open(&self.sealed, &secret_info(cluster, host), &aad)?);
        let secret: SecretBytes =
            postcard::from_bytes(&plain).map_err(|_| OpenError::Decode(self.secret.id.clone()))?;
        if secret.commitment() != self.secret.commitment
            || secret.bytes.len() > limits::SECRET_BYTES
        {
            return Err(OpenError::Commitment(self.secret.id.clone()));
        }
        Ok(secret)
    }
}

/// One direction of a sealed stream of chunks in a fixed order (RFC 9180 section 5.2: the context
/// numbers them, so that none can be dropped, doubled or moved; the caller marks the last in `aad`).
pub enum HpkeStream {
    /// Opens what was sealed.
    Open(Box<AeadCtxR<Aead, Kdf, Kem>>),
    /// Seals.
    Seal(Box<AeadCtxS<Aead, Kdf, Kem>>),
}

impl fmt::Debug for HpkeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HpkeStream")
    }
}

impl HpkeStream {
    /// Seals or opens the next chunk.
    ///
    /// # Errors
    /// When the chunk is not the next one of this stream.
    pub fn next(&mut self, chunk: &[u8], aad: &[u8]) -> Result<Vec<u8>, OpenError> {
        match self {
            Self::Open(context) => context.open(chunk, aad),
            Self::Seal(context) => context.seal(chunk, aad),
        }
        .map_err(|_| OpenError::Refused)
    }
}

/// Begins a sealed stream; the first value goes in front of it.
///
/// # Errors
/// When the key is not usable.
pub fn seal_stream(
    to: &SealingPublicKey,
    info: &[u8],
    entropy: &mut Entropy<'_>,
) -> Result<([u8; 32], HpkeStream), OpenError> {
    let (encapsulated, context) = sender(to, info, entropy)?;
    Ok((encapsulated, HpkeStream::Seal(Box::new(context))))
}

/// Begins to open a sealed stream.
///
/// # Errors
/// When it was sealed to another key or for another context.
pub fn open_stream(
    key: &SealingKey,
    encapsulated: &[u8; 32],
    info: &[u8],
) -> Result<HpkeStream, OpenError> {
    Ok(HpkeStream::Open(Box::new(
        key.receiver(encapsulated, info)?,
    )))
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "a test is where randomness comes from outside"
)]
mod tests {
    use super::*;
    use crate::id::SecretId;

    fn sealed_for(host: &str, key: &SealingKey) -> (SealedSecret, SecretBytes) {
        let random = ring::rand::SystemRandom::new();
        let bytes = SecretBytes {
            salt: [3; 16],
            bytes: b"private key".to_vec(),
        };
        let secret = SecretRef {
            id: SecretId::new("dkim/mail1.example.com/mail").unwrap(),
            version: 1,
            commitment: bytes.commitment(),
        };
        let sealed = SealedSecret::new(
            ClusterId([1; 16]),
            &HostId::new(host).unwrap(),
            &key.public_key(),
            secret,
            &bytes,
            &mut Entropy(&random),
        );
        (sealed.unwrap(), bytes)
    }

    #[test]
    fn only_the_meant_host_of_the_meant_cluster_opens_a_secret() {
        let key = SealingKey::from_seed(&[5; 32]);
        let (sealed, bytes) = sealed_for("pmta1", &key);
        let host = HostId::new("pmta1").unwrap();
        assert!(sealed.open(ClusterId([1; 16]), &host, &key).unwrap() == bytes);
        let other_host = HostId::new("pmta2").unwrap();
        assert!(sealed.open(ClusterId([1; 16]), &other_host, &key).is_err());
        assert!(sealed.open(ClusterId([2; 16]), &host, &key).is_err());
        let other_key = SealingKey::from_seed(&[6; 32]);
        assert!(sealed.open(ClusterId([1; 16]), &host, &other_key).is_err());
    }

    #[test]
    fn a_secret_under_another_reference_does_not_open() {
        let key = SealingKey::from_seed(&[5; 32]);
        let (mut sealed, _) = sealed_for("pmta1", &key);
        sealed.secret.version = 2;
        let host = HostId::new("pmta1").unwrap();
        assert!(sealed.open(ClusterId([1; 16]), &host, &key).is_err());
    }

    #[test]
    fn a_sealed_stream_refuses_a_swap_of_chunks() {
        let random = ring::rand::SystemRandom::new();
        let key = SealingKey::from_seed(&[5; 32]);
        let (head, mut seal) =
            seal_stream(&key.public_key(), b"backup", &mut Entropy(&random)).unwrap();
        let one = seal.next(b"one", b"").unwrap();
        let two = seal.next(b"two", b"last").unwrap();
        let mut open = open_stream(&key, &head, b"backup").unwrap();
        assert_eq!(open.next(&one, b"").unwrap(), b"one");
        assert!(open.next(&one, b"").is_err());
        assert_eq!(open.next(&two, b"last").unwrap(), b"two");
    }
}
