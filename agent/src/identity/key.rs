//! The network half's P-256 key.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// A P-256 private key. Wiped when dropped, never printed.
pub struct LinkKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public: Vec<u8>,
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(redacted)")
    }
}

/// Why a key cannot be made or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No randomness, or an encoder failed.
    #[error("key cannot be made: {0}")]
    Make(rcgen::Error),
    /// The bytes are not a P-256 key in PKCS#8 form.
    #[error("not a P-256 key in PKCS#8 form")]
    Form,
    /// Signing failed.
    #[error("key does not sign")]
    Sign,
}

impl LinkKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(KeyError::Make)?;
        Ok(Self::of(&pair))
    }

    /// The key with this PKCS#8 form.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        pair(pkcs8).map(|pair| Self::of(&pair))
    }

    fn of(pair: &KeyPair) -> Self {
        Self {
            pkcs8: Zeroizing::new(pair.serialized_der().to_vec()),
            public: pair.subject_public_key_info(),
        }
    }

    /// The private key, for storing it.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public half, as a DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// A PKCS#10 request (DER). Names nobody: the cluster knows whom it lets in.
    ///
    /// # Errors
    /// When it cannot be encoded or signed.
    pub fn certificate_request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(&pair(&self.pkcs8)?)
            .map_err(KeyError::Make)?;
        Ok(request.der().to_vec())
    }

    /// Signs a message with ECDSA over SHA-256 (ASN.1 form).
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8, &random)
            .map_err(|_| KeyError::Form)?
            .sign(&random, message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| KeyError::Sign)
    }

    /// A copy in the form that TLS takes.
    #[must_use]
    pub fn for_tls(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()).into()
    }
}

fn pair(pkcs8: &[u8]) -> Result<KeyPair, KeyError> {
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.into(), &rcgen::PKCS_ECDSA_P256_SHA256)
        .map_err(|_| KeyError::Form)
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_stored_key_is_the_same_key_and_signs() {
        let key = LinkKey::generate().unwrap();
        let again = LinkKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(key.public(), again.public());
        let signature = again.sign(b"message").unwrap();
        // The uncompressed point is the last 65 bytes of a P-256 SubjectPublicKeyInfo.
        let point = &key.public()[key.public().len() - 65..];
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        public.verify(b"message", &signature).unwrap();
        assert!(public.verify(b"other", &signature).is_err());
    }

    #[test]
    fn a_key_never_prints_and_nonsense_is_no_key() {
        let key = LinkKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "LinkKey(redacted)");
        assert_eq!(LinkKey::from_pkcs8(b"x").unwrap_err(), KeyError::Form);
    }
}
