//! The identity on disk: small files, each replaced whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use email_engine_protocol::join::Endpoint;
use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{Identity, LinkKey, Validity};
use crate::halves::{ExecutorKeys, Trust};

const MAGIC: &[u8] = b"email-engine identity 1\n";
const IDENTITY: &str = "identity";
const STAGED_KEY: &str = "staged-key";
const COORDINATORS: &str = "coordinators";
const CLOCK: &str = "clock";
/// Far above any of the files; a larger one is not ours.
const FILE_BYTES: u64 = 1024 * 1024;

/// Where the identity is kept.
#[derive(Clone, Debug)]
pub struct IdentityStore {
    dir: PathBuf,
}

/// Why the identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file is there and is not what was written: never taken for "not enrolled".
    #[error("{} is damaged ({what}); restore it, or remove the folder and enrol again with a \
             token made by `token create --replace`", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A key cannot be made or read.
    #[error("{}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: super::KeyError,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    trust: Trust,
    key: Vec<u8>,
    chain: Vec<Vec<u8>>,
    root: Vec<u8>,
    obtained_at: Timestamp,
    endpoints: Vec<Endpoint>,
    executor: ExecutorKeys,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl IdentityStore {
    /// Opens `identity/` in the data folder, making both when they are not there, and closes it to
    /// others.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn open(data_dir: &Path) -> Result<Self, IdentityError> {
        let dir = data_dir.join("identity");
        let failed = |source| IdentityError::Io {
            doing: "create",
            path: dir.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(failed)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(Self { dir })
    }

    /// Whether an identity lies there, whole or not. Looks, and neither makes nor opens anything: whoever asks
    /// may not be the one that it belongs to.
    #[must_use]
    pub fn is_there(data_dir: &Path) -> bool {
        let path = data_dir.join("identity").join(IDENTITY);
        let absent =
            fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        !absent
    }

    /// The identity, when the host was enrolled.
    ///
    /// # Errors
    /// When there is one that cannot be read whole.
    pub fn load(&self) -> Result<Option<Identity>, IdentityError> {
        let Some(bytes) = self.read(IDENTITY)? else {
            return Ok(None);
        };
        let damaged = |what| IdentityError::Damaged {
            path: self.dir.join(IDENTITY),
            what,
        };
        let body = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("unknown format"))?;
        let (sum, payload) = body
            .split_first_chunk::<4>()
            .ok_or_else(|| damaged("cut short"))?;
        if *sum != crc32c::crc32c(payload).to_be_bytes() {
            return Err(damaged("checksum"));
        }
        let stored: Stored = postcard::from_bytes(payload).map_err(|_| damaged("content"))?;
        let key = LinkKey::from_pkcs8(&stored.key).map_err(|_| damaged("key"))?;
        let leaf = stored.chain.first().ok_or_else(|| damaged("no chain"))?;
        let validity = Validity::of(leaf).map_err(|_| damaged("certificate"))?;
        Ok(Some(Identity {
            trust: stored.trust.clone(),
            key,
            chain: stored
                .chain
                .iter()
                .cloned()
                .map(CertificateDer::from)
                .collect(),
            root: stored.root.clone().into(),
            obtained_at: stored.obtained_at,
            endpoints: stored.endpoints.clone(),
            executor: stored.executor,
            validity,
        }))
    }

    /// Writes the identity: afterwards it is the one that a restart finds. A staged key that became
    /// its key is staged no longer.
    ///
    /// # Errors
    /// When the file system refuses; the former identity is then still whole.
    pub fn save(&self, identity: &Identity) -> Result<(), IdentityError> {
        let stored = Stored {
            trust: identity.trust.clone(),
            key: identity.key.pkcs8().to_vec(),
            chain: identity.chain.iter().map(|der| der.to_vec()).collect(),
            root: identity.root.to_vec(),
            obtained_at: identity.obtained_at,
            endpoints: identity.endpoints.clone(),
            executor: identity.executor,
        };
        let payload = Zeroizing::new(postcard::to_stdvec(&stored).expect("an identity serialises"));
        let mut bytes = Zeroizing::new(MAGIC.to_vec());
        bytes.extend_from_slice(&crc32c::crc32c(&payload).to_be_bytes());
        bytes.extend_from_slice(&payload);
        self.replace(IDENTITY, &bytes)?;
        self.remove(STAGED_KEY)
    }

    /// The key to ask a certificate for: the one that was made before, or a new one that is on disk
    /// before this returns.
    ///
    /// # Errors
    /// When it cannot be made, read or written.
    pub fn staged_key(&self, current: Option<&LinkKey>) -> Result<LinkKey, IdentityError> {
        let failed = |source| IdentityError::Key {
            path: self.dir.join(STAGED_KEY),
            source,
        };
        if let Some(bytes) = self.read(STAGED_KEY)? {
            let key = LinkKey::from_pkcs8(&bytes).map_err(failed)?;
            // A crash between the two steps of `save` leaves the current key here as well.
            if current.is_none_or(|current| current.public() != key.public()) {
                return Ok(key);
            }
        }
        let key = LinkKey::generate().map_err(failed)?;
        self.replace(STAGED_KEY, key.pkcs8())?;
        Ok(key)
    }

    /// Whether a key was staged and not yet adopted: a coordinator may know it already.
    #[must_use]
    pub fn has_staged_key(&self) -> bool {
        self.dir.join(STAGED_KEY).exists()
    }

    /// End points learnt from coordinators; empty when none were.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn coordinators(&self) -> Result<Vec<Endpoint>, IdentityError> {
        let bytes = self.read(COORDINATORS)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes)
            .lines()
            .take(limits::ENDPOINTS)
            .map(str::to_owned)
            .collect())
    }

    /// Remembers end points, the one to try first in front.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save_coordinators(&self, endpoints: &[Endpoint]) -> Result<(), IdentityError> {
        self.replace(COORDINATORS, endpoints.join("\n").as_bytes())
    }

    /// The newest time that a signature vouched for, or the beginning of time. A damaged file is
    /// only a lost hint.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn clock_floor(&self) -> Result<Timestamp, IdentityError> {
        let bytes = self.read(CLOCK)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim().parse().unwrap_or_default())
    }

    /// Remembers such a time.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save_clock_floor(&self, floor: Timestamp) -> Result<(), IdentityError> {
        self.replace(CLOCK, format!("{floor}\n").as_bytes())
    }

    /// Removes everything, keys first.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn forget(&self) -> Result<(), IdentityError> {
        for name in [IDENTITY, STAGED_KEY, COORDINATORS, CLOCK] {
            self.remove(name)?;
            self.remove(&fresh_name(name))?;
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
        let path = self.dir.join(name);
        let mut bytes = Zeroizing::new(Vec::new());
        let read =
            File::open(&path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(count) if count as u64 > FILE_BYTES => Err(IdentityError::Damaged {
                path,
                what: "too large",
            }),
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(IdentityError::Io {
                doing: "read",
                path,
                source,
            }),
        }
    }

    /// Fresh file, synced, renamed over the old one, folder synced.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), IdentityError> {
        let fresh = self.dir.join(fresh_name(name));
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, self.dir.join(name))?;
            self.sync()
        };
        write().map_err(|source| IdentityError::Io {
            doing: "write",
            path: self.dir.join(name),
            source,
        })
    }

    fn remove(&self, name: &str) -> Result<(), IdentityError> {
        let path = self.dir.join(name);
        match fs::remove_file(&path).and_then(|()| self.sync()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(IdentityError::Io {
                doing: "remove",
                path,
                source,
            }),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

fn fresh_name(name: &str) -> String {
    format!(".{name}.new")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testbed::TestCluster;

    fn store() -> (tempfile::TempDir, IdentityStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = IdentityStore::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn an_identity_is_read_back_and_nobody_else_may_read_it() {
        let (dir, store) = store();
        assert!(store.load().unwrap().is_none());
        let identity = TestCluster::new(1).identity("pmta1");
        store.save(&identity).unwrap();
        let again = store.load().unwrap().unwrap();
        assert_eq!(again.trust, identity.trust);
        assert_eq!(again.executor, identity.executor);
        assert_eq!(again.key.public(), identity.key.public());
        assert_eq!(again.chain, identity.chain);
        assert_eq!(again.validity, identity.validity);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("identity")), 0o700);
        assert_eq!(mode(&dir.path().join("identity/identity")), 0o600);
    }

    #[test]
    fn a_damaged_identity_is_an_error_and_not_an_absent_one() {
        let (dir, store) = store();
        store.save(&TestCluster::new(1).identity("pmta1")).unwrap();
        let path = dir.path().join("identity/identity");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = store.load().unwrap_err();
        assert!(
            matches!(
                error,
                IdentityError::Damaged {
                    what: "checksum",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_staged_key_stays_the_same_until_it_is_adopted() {
        let (_dir, store) = store();
        let mut identity = TestCluster::new(1).identity("pmta1");
        store.save(&identity).unwrap();
        let staged = store.staged_key(Some(&identity.key)).unwrap();
        // A crash here, with the new key on disk and no certificate for it:
        let found = store.load().unwrap().unwrap();
        assert_eq!(found.key.public(), identity.key.public());
        assert_ne!(staged.public(), identity.key.public());
        let again = store.staged_key(Some(&identity.key)).unwrap();
        assert_eq!(again.public(), staged.public());

        identity.key = staged;
        store.save(&identity).unwrap();
        assert!(!store.has_staged_key());
        let next = store.staged_key(Some(&identity.key)).unwrap();
        assert_ne!(next.public(), identity.key.public());
    }

    #[test]
    fn a_crash_between_adopting_and_unstaging_a_key_does_not_reuse_it() {
        let (dir, store) = store();
        let mut identity = TestCluster::new(1).identity("pmta1");
        let staged = store.staged_key(Some(&identity.key)).unwrap();
        let left_over = staged.pkcs8().to_vec();
        identity.key = staged;
        store.save(&identity).unwrap();
        fs::write(dir.path().join("identity/staged-key"), left_over).unwrap();
        let next = store.staged_key(Some(&identity.key)).unwrap();
        assert_ne!(next.public(), identity.key.public());
    }

    #[test]
    fn a_forgotten_identity_leaves_no_file() {
        let (dir, store) = store();
        let identity = TestCluster::new(1).identity("pmta1");
        store.save(&identity).unwrap();
        store.staged_key(Some(&identity.key)).unwrap();
        store
            .save_coordinators(&["192.0.2.1:7443".to_owned()])
            .unwrap();
        store.save_clock_floor(Timestamp(5)).unwrap();
        assert_eq!(store.clock_floor().unwrap(), Timestamp(5));
        store.forget().unwrap();
        let left: Vec<_> = fs::read_dir(dir.path().join("identity")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
