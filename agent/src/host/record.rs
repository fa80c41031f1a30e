//! The agent's own files: one value each, with a checksum, replaced atomically, 0600.

use std::sync::Arc;

use email_engine_protocol::desired::HostPath;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::tree::replace::NewFile;
use super::tree::rooted::{EntryKind, FileError, Rooted};

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There, but not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which file, below the data folder.
        path: String,
        /// What does not fit.
        reason: String,
    },
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

const MAGIC: &[u8; 4] = b"EEA1";
const LIMIT: u64 = 256 * 1024 * 1024;

/// The folder of the agent's own files.
#[derive(Clone, Debug)]
pub struct Cabinet(Arc<Rooted>);

/// The path of a record below the data folder.
///
/// # Panics
/// When the name is not a relative path; names are fixed or made of hex.
fn place(name: &str) -> HostPath {
    HostPath::new(format!("/{name}")).expect("record names are plain relative paths")
}

impl Cabinet {
    /// Opens the data folder, made 0700 when absent.
    ///
    /// # Errors
    /// When it cannot be made, closed to others or opened.
    pub fn open(dir: &std::path::Path) -> Result<Self, std::io::Error> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
        Rooted::open(dir)
            .map(|tree| Self(Arc::new(tree)))
            .map_err(std::io::Error::other)
    }

    /// The tree that it is, for a file that is no value.
    pub(crate) fn tree(&self) -> &Rooted {
        &self.0
    }

    /// Where a file of the folder stands on the machine, for a program that reads it.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(crate) fn location(&self, path: &HostPath) -> std::io::Result<std::path::PathBuf> {
        let root = self.0.location()?;
        Ok(root.join(path.as_str().trim_start_matches('/')))
    }

    /// Writes a value durably.
    ///
    /// # Errors
    /// When the disk refuses; then the old value stands.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RecordError> {
        let payload =
            Zeroizing::new(postcard::to_stdvec(value).map_err(|error| damaged(name, error))?);
        let mut bytes = Zeroizing::new(Vec::with_capacity(payload.len() + 8));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&crc32c::crc32c(&payload).to_be_bytes());
        bytes.extend_from_slice(&payload);
        self.write_plain(name, &bytes)
    }

    /// Reads a value; nothing when it was never written.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RecordError> {
        let Some(bytes) = self.read_plain(name, LIMIT)? else {
            return Ok(None);
        };
        let bytes = Zeroizing::new(bytes);
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged(name, "it does not begin as a record does"))?;
        let (sum, payload) = rest
            .split_at_checked(4)
            .ok_or_else(|| damaged(name, "it is cut off"))?;
        if sum != crc32c::crc32c(payload).to_be_bytes() {
            return Err(damaged(name, "its checksum does not fit"));
        }
        postcard::from_bytes(payload)
            .map(Some)
            .map_err(|error| damaged(name, error))
    }

    /// Writes bytes that carry their own check, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_plain(&self, name: &str, bytes: &[u8]) -> Result<(), RecordError> {
        let path = place(name);
        let file = NewFile {
            path: &path,
            mode: 0o600,
            uid: None,
            gid: None,
        };
        Ok(self.0.replace(&file, bytes, None)?)
    }

    /// Reads bytes; nothing when they were never written.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read_plain(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, RecordError> {
        let path = place(name);
        match self.0.look(&path)? {
            None => Ok(None),
            Some(_) => Ok(Some(self.0.read(&path, limit)?)),
        }
    }

    /// Overwrites and removes a record; one that is not there is fine.
    ///
    /// # Errors
    /// When it stays.
    pub fn wipe(&self, name: &str) -> Result<(), RecordError> {
        Ok(self.0.wipe_in_place(&place(name))?)
    }

    /// Removes a record that holds nothing secret; one that is not there is fine.
    ///
    /// # Errors
    /// When it stays.
    pub fn remove(&self, name: &str) -> Result<(), RecordError> {
        Ok(self.0.remove_file(&place(name))?)
    }

    /// Names of the records in a folder; none when there is no such folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, RecordError> {
        let path = place(folder);
        match self.0.look(&path)? {
            Some(entry) if entry.kind == EntryKind::Directory => Ok(self.0.list(&path)?),
            _ => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
impl Cabinet {
    /// After so many steps nothing can be written any more, as on a full disk.
    pub(crate) fn die_after(&self, steps: u32) {
        self.0.failpoint.die_after(steps);
    }

    /// Whether that came true.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.failpoint.is_dead()
    }

    /// Another tree dies when this one does.
    pub(super) fn lend_death_to(&self, tree: &mut Rooted) {
        tree.failpoint.die_with(&self.0.failpoint);
    }

    /// What was synced since this was asked last, in its order.
    pub(crate) fn take_synced(&self) -> Vec<std::path::PathBuf> {
        self.0.failpoint.take_synced()
    }
}

fn damaged(name: &str, reason: impl std::fmt::Display) -> RecordError {
    RecordError::Damaged {
        path: name.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_flipped_or_missing_byte_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let cabinet = Cabinet::open(dir.path()).unwrap();
        assert_eq!(cabinet.read::<String>("note").unwrap(), None);
        cabinet.write("note", &"value").unwrap();
        assert_eq!(
            cabinet.read::<String>("note").unwrap().as_deref(),
            Some("value")
        );
        let good = std::fs::read(dir.path().join("note")).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(dir.path().join("note"), bad).unwrap();
            assert!(cabinet.read::<String>("note").is_err(), "byte {at}");
            std::fs::write(dir.path().join("note"), &good[..at]).unwrap();
            assert!(cabinet.read::<String>("note").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn records_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let cabinet = Cabinet::open(&dir.path().join("agent")).unwrap();
        cabinet.write("keys", &[1, 2, 3]).unwrap();
        let mode = |path: &str| {
            let meta = std::fs::metadata(dir.path().join(path)).unwrap();
            meta.permissions().mode() & 0o777
        };
        assert_eq!(mode("agent"), 0o700);
        assert_eq!(mode("agent/keys"), 0o600);
    }
}
