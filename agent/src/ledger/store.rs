//! Bodies by hash, and secrets as they came: sealed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::crypto::{Entropy, Sealed, SealedSecret, SealingKey};
use email_engine_protocol::desired::HostConfig;
use email_engine_protocol::id::{ClusterId, HostId};
use email_engine_protocol::limits;
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use crate::host::{Cabinet, RecordError};
use crate::resources::{ContentError, Contents};

const BODIES: &str = "ledger/bodies";
const SECRETS: &str = "ledger/secrets";

/// What is at hand.
#[derive(Debug)]
pub struct Store {
    cabinet: Cabinet,
    bodies: RefCell<BTreeSet<ContentHash>>,
    /// By the hash of their references.
    secrets: RefCell<BTreeSet<ContentHash>>,
    /// Salts of secrets that were opened: enough to recognise their bytes, and no secret.
    salts: RefCell<BTreeMap<SecretRef, [u8; 16]>>,
}

fn key_of(secret: &SecretRef) -> ContentHash {
    ContentHash::of(&postcard::to_stdvec(secret).expect("a secret reference serialises"))
}

fn known(cabinet: &Cabinet, folder: &str) -> Result<BTreeSet<ContentHash>, RecordError> {
    let names = cabinet.list(folder)?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

impl Store {
    /// Opens the store.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn open(cabinet: Cabinet) -> Result<Self, RecordError> {
        Ok(Self {
            bodies: RefCell::new(known(&cabinet, BODIES)?),
            secrets: RefCell::new(known(&cabinet, SECRETS)?),
            salts: RefCell::default(),
            cabinet,
        })
    }

    /// A body. One that was damaged is dropped, so that it is asked for again.
    ///
    /// # Errors
    /// When it is not at hand.
    pub fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
        let refuse = |reason: String| {
            self.bodies.borrow_mut().remove(hash);
            ContentError::Body {
                hash: *hash,
                reason,
            }
        };
        let name = format!("{BODIES}/{hash}");
        match self.cabinet.read_plain(&name, limits::BODY_BYTES) {
            Ok(Some(bytes)) if ContentHash::of(&bytes) == *hash => Ok(bytes),
            Ok(Some(_)) => Err(refuse("it is damaged on disk".to_owned())),
            Ok(None) => Err(refuse("it is not in the ledger".to_owned())),
            Err(error) => Err(refuse(error.to_string())),
        }
    }

    /// Keeps a body. The caller checked its hash.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_body(&self, hash: ContentHash, bytes: &[u8]) -> Result<(), RecordError> {
        self.cabinet
            .write_plain(&format!("{BODIES}/{hash}"), bytes)?;
        self.bodies.borrow_mut().insert(hash);
        Ok(())
    }

    /// Keeps a secret, sealed as it came. The caller checked that it opens.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_secret(&self, sealed: &SealedSecret) -> Result<(), RecordError> {
        let key = key_of(&sealed.secret);
        self.cabinet.write(&format!("{SECRETS}/{key}"), sealed)?;
        self.secrets.borrow_mut().insert(key);
        Ok(())
    }

    /// Whether a body is at hand.
    #[must_use]
    pub fn has_body(&self, hash: &ContentHash) -> bool {
        self.bodies.borrow().contains(hash)
    }

    /// Bodies and secrets that a state needs and that are not at hand.
    #[must_use]
    pub fn missing(&self, config: &HostConfig) -> (Vec<ContentHash>, Vec<SecretRef>) {
        let secrets = self.secrets.borrow();
        let bodies = config.bodies().into_iter();
        (
            bodies.filter(|hash| !self.has_body(hash)).collect(),
            config
                .secrets()
                .into_iter()
                .filter(|secret| !secrets.contains(&key_of(secret)))
                .cloned()
                .collect(),
        )
    }

    /// Removes what none of these states needs; sealed secrets are overwritten too, and bodies stay when
    /// they are not to be swept.
    ///
    /// # Errors
    /// When something stays.
    pub fn keep_only(
        &self,
        configs: &[&HostConfig],
        manifests: &[ContentHash],
        sweeps_bodies: bool,
    ) -> Result<(), RecordError> {
        let mut bodies: BTreeSet<ContentHash> = manifests.iter().copied().collect();
        let mut secrets = BTreeSet::new();
        for config in configs {
            bodies.extend(config.bodies());
            secrets.extend(config.secrets().into_iter().map(key_of));
        }
        if !sweeps_bodies {
            bodies.extend(self.bodies.borrow().iter().copied());
        }
        let stale: Vec<ContentHash> = self.bodies.borrow().difference(&bodies).copied().collect();
        for hash in stale {
            self.cabinet.remove(&format!("{BODIES}/{hash}"))?;
            self.bodies.borrow_mut().remove(&hash);
        }
        let stale: Vec<ContentHash> = self
            .secrets
            .borrow()
            .difference(&secrets)
            .copied()
            .collect();
        for key in stale {
            self.cabinet.wipe(&format!("{SECRETS}/{key}"))?;
            self.secrets.borrow_mut().remove(&key);
        }
        self.salts
            .borrow_mut()
            .retain(|secret, _| secrets.contains(&key_of(secret)));
        Ok(())
    }

    /// One that cannot be used counts as missing, so that it is asked for again.
    fn refuse_secret(&self, secret: &SecretRef, reason: String) -> ContentError {
        self.secrets.borrow_mut().remove(&key_of(secret));
        ContentError::Secret {
            id: secret.id.clone(),
            reason,
        }
    }

    fn sealed(&self, secret: &SecretRef) -> Result<SealedSecret, ContentError> {
        let key = key_of(secret);
        let refuse = |reason: String| self.refuse_secret(secret, reason);
        match self
            .cabinet
            .read::<SealedSecret>(&format!("{SECRETS}/{key}"))
        {
            Ok(Some(sealed)) if sealed.secret == *secret => Ok(sealed),
            Ok(Some(_)) => Err(refuse("another one lies in its place".to_owned())),
            Ok(None) => Err(refuse("it is not in the ledger".to_owned())),
            Err(error) => Err(refuse(error.to_string())),
        }
    }
}

/// The store with the key that opens its secrets.
#[derive(Debug)]
pub struct Opened<'a> {
    /// Where everything is.
    pub store: &'a Store,
    /// Opens secrets.
    pub key: &'a SealingKey,
    /// The cluster that they were sealed in.
    pub cluster: ClusterId,
    /// The host that they were sealed for.
    pub host: &'a HostId,
}

impl Opened<'_> {
    /// The context in which copies of live files are put by.
    fn put_by(&self) -> Vec<u8> {
        format!("email-engine/put-by/v1\0{}\0{}", self.cluster, self.host).into_bytes()
    }
}

fn no_copy(error: &dyn std::fmt::Display) -> ContentError {
    ContentError::Copy {
        reason: error.to_string(),
    }
}

impl Contents for Opened<'_> {
    fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
        self.store.body(hash)
    }

    fn secret(&self, secret: &SecretRef) -> Result<SecretBytes, ContentError> {
        let sealed = self.store.sealed(secret)?;
        let opened = sealed
            .open(self.cluster, self.host, self.key)
            .map_err(|error| self.store.refuse_secret(secret, error.to_string()))?;
        let mut salts = self.store.salts.borrow_mut();
        salts.insert(secret.clone(), opened.salt);
        Ok(opened)
    }

    fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, ContentError> {
        let random = SystemRandom::new();
        let to = self.key.public_key();
        let sealed = Sealed::new(&to, &self.put_by(), b"", bytes, &mut Entropy(&random));
        let sealed = sealed.map_err(|error| no_copy(&error))?;
        postcard::to_stdvec(&sealed).map_err(|error| no_copy(&error))
    }

    fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        let sealed: Sealed = postcard::from_bytes(sealed).map_err(|error| no_copy(&error))?;
        let opened = self.key.open(&sealed, &self.put_by(), b"");
        opened.map(Zeroizing::new).map_err(|error| no_copy(&error))
    }

    fn is_secret(&self, secret: &SecretRef, bytes: &[u8]) -> Result<bool, ContentError> {
        let known = self.store.salts.borrow().get(secret).copied();
        let salt = match known {
            Some(salt) => salt,
            None => self.secret(secret)?.salt,
        };
        let claimed = SecretBytes {
            salt,
            bytes: bytes.to_vec(),
        };
        Ok(claimed.commitment() == secret.commitment)
    }
}
