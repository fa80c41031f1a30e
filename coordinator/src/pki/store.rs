//! A node's own identity on disk: PEM files that only the node's user may read, each replaced as a
//! whole, so that a crash leaves the old one or the new one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use email_engine_protocol::id::{ClusterId, NodeId};

use super::{
    AuthorityError, Credential, CredentialError, IdentityError, NodeIdentity, NodeKey, Peer,
};
use crate::seal::Vault;

/// The node's private key.
const KEY: &str = "node.key";
/// Its certificate and the intermediate.
const CHAIN: &str = "node.chain.pem";
/// The cluster's root certificate.
const ROOT: &str = "root.pem";
/// A private key whose certificate has still to come.
const STAGED: &str = "node.staged.key";
/// The cluster's key-encryption key.
const KEK: &str = "kek";

/// Why the identity on disk cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others may read a private file.
    #[error("{} has mode {mode:o}, but only its owner may read it: chmod 600", path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is not what its name says.
    #[error("{} is not {wanted}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// No key can be made.
    #[error(transparent)]
    Key(Box<AuthorityError>),
    /// The certificate is not a node's.
    #[error("{} is not the certificate of a node: {source}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CredentialError,
    },
}

/// The folder of a node's identity.
#[derive(Clone, Debug)]
pub struct IdentityStore {
    folder: PathBuf,
}

impl IdentityStore {
    /// The identity in this folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.folder.join(CHAIN).exists()
    }

    /// Writes key, chain and root. Whenever it is cut off, the chain on disk has its key beside it:
    /// the new key is staged before the chain changes, and [`load`](Self::load) looks there too.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save(&self, identity: &NodeIdentity) -> Result<(), StoreError> {
        fs::create_dir_all(&self.folder).map_err(file(&self.folder))?;
        let key = pem("PRIVATE KEY", identity.key.secret_der());
        let root = pem("CERTIFICATE", &identity.root);
        let mut chain = String::new();
        for certificate in &identity.chain {
            chain.push_str(&pem("CERTIFICATE", certificate));
        }
        self.replace(STAGED, key.as_bytes(), 0o600)?;
        self.replace(ROOT, root.as_bytes(), 0o644)?;
        self.replace(CHAIN, chain.as_bytes(), 0o644)?;
        self.replace(KEY, key.as_bytes(), 0o600)?;
        let staged = self.folder.join(STAGED);
        fs::remove_file(&staged).map_err(file(&staged))
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// When a file is missing, damaged, or readable for others, or no key fits the certificate.
    pub fn load(&self) -> Result<NodeIdentity, StoreError> {
        let chain = self.certificates(CHAIN)?;
        let root = self.certificates(ROOT)?.swap_remove(0);
        let (credential, cluster, node) = self.name(&chain[0])?;
        for name in [KEY, STAGED] {
            let path = self.folder.join(name);
            if !path.exists() {
                continue;
            }
            let key = read_key(&path)?;
            if key.spki() == credential.spki {
                let key = PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()).into();
                return Ok(NodeIdentity {
                    cluster,
                    node,
                    chain,
                    key,
                    root,
                });
            }
        }
        Err(StoreError::Content {
            path: self.folder.join(KEY),
            wanted: "the private key of the certificate beside it",
        })
    }

    /// The key of a certificate that is still to be asked for: made once and kept, so that a lost
    /// answer can be asked for again. [`save`](Self::save) ends it.
    ///
    /// # Errors
    /// When it cannot be made or stored.
    pub fn staged_key(&self) -> Result<NodeKey, StoreError> {
        fs::create_dir_all(&self.folder).map_err(file(&self.folder))?;
        let path = self.folder.join(STAGED);
        if path.exists() {
            return read_key(&path);
        }
        let key = NodeKey::generate().map_err(|error| StoreError::Key(Box::new(error)))?;
        self.replace(STAGED, pem("PRIVATE KEY", key.pkcs8()).as_bytes(), 0o600)?;
        Ok(key)
    }

    /// Writes the key-encryption key.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save_vault(&self, vault: &Vault) -> Result<(), StoreError> {
        fs::create_dir_all(&self.folder).map_err(file(&self.folder))?;
        let hex = Zeroizing::new(HEXLOWER.encode(vault.key()));
        let text = Zeroizing::new(format!("{} {}\n", vault.version(), *hex));
        self.replace(KEK, text.as_bytes(), 0o600)
    }

    /// Reads the key-encryption key.
    ///
    /// # Errors
    /// When it is missing, damaged, or readable for others.
    pub fn load_vault(&self) -> Result<Vault, StoreError> {
        let path = self.folder.join(KEK);
        let text = read_private(&path)?;
        parse_vault(&text).ok_or(StoreError::Content {
            path,
            wanted: "a key-encryption key",
        })
    }

    fn certificates(&self, name: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
        let path = self.folder.join(name);
        let text = fs::read(&path).map_err(file(&path))?;
        match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(StoreError::Content {
                path,
                wanted: "certificates in PEM",
            }),
        }
    }

    fn name(
        &self,
        leaf: &CertificateDer<'_>,
    ) -> Result<(Credential, ClusterId, NodeId), StoreError> {
        let refuse = |source| StoreError::Certificate {
            path: self.folder.join(CHAIN),
            source,
        };
        let cluster = Credential::cluster_of(leaf).map_err(refuse)?;
        let credential = Credential::read(cluster, leaf).map_err(refuse)?;
        match &credential.peer {
            Peer::Node(node) => {
                let node = *node;
                Ok((credential, cluster, node))
            }
            Peer::Host(host) => Err(refuse(CredentialError::Name(IdentityError::Form(
                super::host_uri(cluster, host),
            )))),
        }
    }

    /// Write beside, sync, rename, sync the folder.
    fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let beside = self.folder.join(format!(".{name}.new"));
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file(&beside)(error));
            }
            _ => {}
        }
        let write = || -> io::Result<()> {
            let mut out = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&beside)?;
            // The mode above is cut by the umask.
            out.set_permissions(Permissions::from_mode(mode))?;
            out.write_all(bytes)?;
            out.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(file(&path))
    }
}

fn parse_vault(text: &[u8]) -> Option<Vault> {
    let text = std::str::from_utf8(text).ok()?;
    let (version, hex) = text.trim_end().split_once(' ')?;
    let bytes = Zeroizing::new(HEXLOWER.decode(hex.as_bytes()).ok()?);
    let key: [u8; 32] = bytes[..].try_into().ok()?;
    Some(Vault::new(version.parse().ok()?, Zeroizing::new(key)))
}

fn read_key(path: &Path) -> Result<NodeKey, StoreError> {
    let text = read_private(path)?;
    PrivateKeyDer::from_pem_slice(&text)
        .ok()
        .and_then(|key| NodeKey::from_pkcs8(key.secret_der()).ok())
        .ok_or_else(|| StoreError::Content {
            path: path.to_owned(),
            wanted: "a P-256 private key in PEM",
        })
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mode = fs::metadata(path).map_err(file(path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(StoreError::Mode { path, mode });
    }
    fs::read(path).map(Zeroizing::new).map_err(file(path))
}

fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(BASE64.encode(der));
    let mut out = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    |source| StoreError::File { path, source }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::id::NodeId;

    use super::super::testbed::TestPki;
    use super::*;

    fn store() -> (tempfile::TempDir, IdentityStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = IdentityStore::new(folder.path().join("identity"));
        (folder, store)
    }

    #[test]
    fn an_identity_is_read_back_and_its_key_is_private() {
        let (_folder, store) = store();
        let pki = TestPki::new();
        assert!(!store.exists());
        for node in [NodeId(1), NodeId(2)] {
            let identity = pki.node(node, &["192.0.2.1:7443"]);
            store.save(&identity).unwrap();
            store.save_vault(&pki.vault).unwrap();
            let read = store.load().unwrap();
            assert_eq!((read.cluster, read.node), (pki.record.id, node));
            assert_eq!(read.chain, identity.chain);
            assert_eq!(read.root, identity.root);
            assert_eq!(read.key.secret_der(), identity.key.secret_der());
        }
        assert!(store.exists());
        assert_eq!(store.load_vault().unwrap().key(), pki.vault.key());
        for name in [KEY, KEK] {
            let path = store.folder.join(name);
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn a_renewal_that_was_cut_off_leaves_an_identity_whose_key_fits() {
        let (_folder, store) = store();
        let pki = TestPki::new();
        let (old, new) = (pki.node(NodeId(1), &[]), pki.node(NodeId(1), &[]));
        store.save(&old).unwrap();
        let key = fs::read(store.folder.join(KEY)).unwrap();
        let chain = fs::read(store.folder.join(CHAIN)).unwrap();
        store.save(&new).unwrap();
        // Cut off before the key was replaced, and before the chain was.
        let newer = fs::read(store.folder.join(KEY)).unwrap();
        store.replace(STAGED, &newer, 0o600).unwrap();
        store.replace(KEY, &key, 0o600).unwrap();
        assert_eq!(store.load().unwrap().key.secret_der(), new.key.secret_der());
        store.replace(CHAIN, &chain, 0o644).unwrap();
        assert_eq!(store.load().unwrap().key.secret_der(), old.key.secret_der());
        store.replace(KEY, &newer, 0o600).unwrap();
        assert!(matches!(store.load(), Err(StoreError::Content { .. })));
    }

    #[test]
    fn a_key_that_others_may_read_and_damage_are_refused() {
        let (_folder, store) = store();
        let pki = TestPki::new();
        store.save(&pki.node(NodeId(1), &[])).unwrap();
        store.save_vault(&pki.vault).unwrap();
        let kek = store.folder.join(KEK);
        fs::write(&kek, "1 abc").unwrap();
        assert!(matches!(
            store.load_vault(),
            Err(StoreError::Content { .. })
        ));
        fs::set_permissions(&kek, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            store.load_vault(),
            Err(StoreError::Mode { mode: 0o644, .. })
        ));
        fs::write(store.folder.join(CHAIN), "nothing").unwrap();
        assert!(matches!(store.load(), Err(StoreError::Content { .. })));
    }
}
