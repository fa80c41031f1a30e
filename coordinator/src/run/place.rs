//! The data folder of a node: what lies where, and files that are replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::listeners::Published;
use crate::command::Proposal;
use crate::pki::store::{IdentityStore, StoreError};
use crate::raft::BALLAST;

/// What must be committed before anything else.
const FOUNDING: &str = "founding";
/// Where the node listens.
const ENDPOINTS: &str = "endpoints.json";

/// Less free space than this, in bytes, counts as a full disk.
const FULL: u64 = 16 * 1024 * 1024;

/// Why the data folder is not usable.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    File {
        /// What was touched.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is a node in it already.
    #[error(
        "{} belongs to a node already; a new node needs an empty folder (when its keys were never \
         shown, because `init` was cut off, remove the folder and begin again)",
        path.display()
    )]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// There is no node in it yet.
    #[error(
        "{} holds no node yet: `init` founds a cluster, `join` enters one, `restore` brings one back",
        path.display()
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// The identity is not usable.
    #[error(transparent)]
    Identity(#[from] StoreError),
}

/// The data folder of a node.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// A folder for a new node. What an attempt left that was cut off before it had an identity is
    /// written over.
    ///
    /// # Errors
    /// When there is a node in it, or the file system refuses.
    pub fn create(folder: &Path) -> Result<Self, PlaceError> {
        let place = Self {
            folder: folder.to_owned(),
        };
        if place.identity().exists() || place.raft().exists() {
            return Err(PlaceError::Taken {
                path: folder.to_owned(),
            });
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(at(folder))?;
        Ok(place)
    }

    /// The folder of a node.
    ///
    /// # Errors
    /// When there is none in it.
    pub fn open(folder: &Path) -> Result<Self, PlaceError> {
        let place = Self {
            folder: folder.to_owned(),
        };
        if place.identity().exists() {
            Ok(place)
        } else {
            Err(PlaceError::Empty {
                path: folder.to_owned(),
            })
        }
    }

    /// The node's keys and certificates.
    #[must_use]
    pub fn identity(&self) -> IdentityStore {
        IdentityStore::new(self.folder.join("identity"))
    }

    /// Raft's log, votes and snapshots.
    #[must_use]
    pub fn raft(&self) -> PathBuf {
        self.folder.join("raft")
    }

    /// A file that may be deleted to make room; the next start makes it again.
    #[must_use]
    pub fn ballast(&self) -> PathBuf {
        self.raft().join(BALLAST)
    }

    /// Whether there is no room left for Raft to write to.
    #[must_use]
    pub fn is_full(&self) -> bool {
        rustix::fs::statvfs(&self.folder)
            .is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) < FULL)
    }

    /// Leaves what must enter the log first.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn leave_founding(&self, proposals: &[Proposal]) -> Result<(), PlaceError> {
        let path = self.folder.join(FOUNDING);
        let bytes = postcard::to_stdvec(proposals)
            .map_err(|_| PlaceError::Damaged { path: path.clone() })?;
        replace(&path, &bytes)
    }

    /// What must enter the log first, until it has.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn founding(&self) -> Result<Option<Vec<Proposal>>, PlaceError> {
        let path = self.folder.join(FOUNDING);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PlaceError::File { path, source }),
        };
        postcard::from_bytes(&bytes)
            .map(Some)
            .map_err(|_| PlaceError::Damaged { path })
    }

    /// It is in the log now.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn forget_founding(&self) -> Result<(), PlaceError> {
        let path = self.folder.join(FOUNDING);
        fs::remove_file(&path).map_err(at(&path))
    }

    /// Where the node listened last.
    #[must_use]
    pub fn published(&self) -> Option<Published> {
        let text = fs::read(self.folder.join(ENDPOINTS)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Says where the node listens.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn publish(&self, published: &Published) -> Result<(), PlaceError> {
        let path = self.folder.join(ENDPOINTS);
        let text = serde_json::to_vec(published)
            .map_err(|_| PlaceError::Damaged { path: path.clone() })?;
        replace(&path, &text)
    }
}

/// Writes a private file so that a crash leaves the old one or the new one, whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(at(&fresh))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(at(&fresh))?;
    fs::rename(&fresh, path).map_err(at(path))?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(folder))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::File { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_folder_is_private_and_holds_no_node_yet() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("node");
        let place = Place::create(&folder).unwrap();
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(matches!(
            Place::open(&folder),
            Err(PlaceError::Empty { .. })
        ));
        fs::create_dir(place.raft()).unwrap();
        assert!(matches!(
            Place::create(&folder),
            Err(PlaceError::Taken { .. })
        ));
    }

    #[test]
    fn the_founding_lies_there_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::create(folder.path()).unwrap();
        assert!(place.founding().unwrap().is_none());
        place.leave_founding(&[]).unwrap();
        let mode = fs::metadata(folder.path().join(FOUNDING))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(place.founding().unwrap(), Some(Vec::new()));
        place.forget_founding().unwrap();
        assert!(place.founding().unwrap().is_none());
    }
}
