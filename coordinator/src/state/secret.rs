//! Secrets at rest: only ever sealed (see [`crate::seal`]).

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use email_engine_protocol::bytes::Commitment;
use email_engine_protocol::id::{HostId, SecretId};
use email_engine_protocol::secret::SecretRef;

use super::{FleetState, Host};

/// Bytes under envelope encryption: a data key of their own, wrapped with the key-encryption key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedAtRest {
    /// Random name of this blob, bound into both encryptions, so that blobs cannot be swapped.
    pub uid: [u8; 16],
    /// Version of the key-encryption key.
    pub kek_version: u32,
    /// Nonce and data key, encrypted with the key-encryption key.
    pub wrapped_key: Vec<u8>,
    /// Nonce and bytes, encrypted with the data key.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for SealedAtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedAtRest({} bytes)", self.ciphertext.len())
    }
}

/// A secret in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    /// Its name.
    pub id: SecretId,
    /// Grows when the bytes change.
    pub version: u32,
    /// Commits to salt and bytes.
    pub commitment: Commitment,
    /// Salt and bytes (postcard of `SecretBytes`), sealed.
    pub sealed: SealedAtRest,
}

impl StoredSecret {
    /// What a configuration names.
    #[must_use]
    pub fn reference(&self) -> SecretRef {
        SecretRef {
            id: self.id.clone(),
            version: self.version,
            commitment: self.commitment,
        }
    }
}

/// A DKIM key made ahead of need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedKey {
    /// Commits to salt and bytes.
    pub commitment: Commitment,
    /// Salt and private key (PKCS#8 PEM), sealed as in [`StoredSecret`].
    pub sealed: SealedAtRest,
    /// Public half: base64 of the DER SubjectPublicKeyInfo.
    pub public: String,
}

impl FleetState {
    /// The name of a database's password in the table of secrets; none for what is too long for one.
    #[must_use]
    pub fn database_secret(host: &HostId, database: &str) -> Option<SecretId> {
        SecretId::new(format!("database/{host}/{database}")).ok()
    }

    /// Databases of a host whose user has a password, by engine and name.
    #[must_use]
    pub fn passwords_wanted(&self, host: &Host) -> BTreeSet<String> {
        let bundle = self.bundles.get(&host.release.bundle);
        let wanted = bundle.filter(|_| host.takes_work());
        wanted.map_or_else(BTreeSet::new, |bundle| {
            bundle.passwords(&host.spec, |part| part.is_for(self, host))
        })
    }

    /// Those that were not made yet.
    pub fn passwords_missing(&self) -> impl Iterator<Item = (&HostId, String)> {
        self.live_hosts().flat_map(|(id, host)| {
            let wanted = self.passwords_wanted(host).into_iter();
            let is_missing = |name: &String| {
                let secret = Self::database_secret(id, name);
                secret.is_some_and(|secret| !self.secrets.contains_key(&secret))
            };
            wanted.filter(is_missing).map(move |name| (id, name))
        })
    }

    /// Takes back what a host had.
    pub(crate) fn forget_passwords(&mut self, host: &HostId) {
        let beginning = format!("database/{host}/");
        self.secrets
            .retain(|id, _| !id.as_str().starts_with(&beginning));
    }
}
