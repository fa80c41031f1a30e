//! Files and folders, written so that a cut leaves the old or the new.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use email_engine_protocol::bytes::ContentHash;

use super::accounts::{self, User};
use crate::facts::{Found, FoundKind};

/// Larger ones are not ours.
const LARGEST: u64 = 1024 * 1024 * 1024;

/// Whose a file is, and who may do what with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Rights {
    /// Of this user.
    pub(super) fn of(owner: &str, mode: u32) -> io::Result<Self> {
        if owner == "root" {
            return Ok(Self {
                uid: 0,
                gid: 0,
                mode,
            });
        }
        let User { uid, gid, .. } = accounts::user(owner).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("user {owner} does not exist"),
            )
        })?;
        Ok(Self { uid, gid, mode })
    }
}

/// Where a file is staged: one name for each, so that no cut leaves more than one behind.
fn staged(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.email-engine-bootstrap"))
}

/// Puts these bytes there, whole and durably.
pub(super) fn replace(path: &Path, bytes: &[u8], rights: Rights) -> io::Result<()> {
    let fresh = staged(path);
    absent(fs::remove_file(&fresh))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    std::os::unix::fs::fchown(&file, Some(rights.uid), Some(rights.gid))?;
    file.set_permissions(Permissions::from_mode(rights.mode))?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_folder(path)
}

/// Gives what is there its owner and mode.
pub(super) fn mend(path: &Path, rights: Rights) -> io::Result<()> {
    chown(path, Some(rights.uid), Some(rights.gid))?;
    fs::set_permissions(path, Permissions::from_mode(rights.mode))
}

/// A folder with these rights.
pub(super) fn folder(path: &Path, rights: Rights) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(path)?.is_dir() {
                return Err(error);
            }
        }
        other => other?,
    }
    mend(path, rights)?;
    sync_folder(path)
}

/// Removes a file, and what a cut left of it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    absent(fs::remove_file(staged(path)))?;
    absent(fs::remove_file(path))?;
    sync_folder(path)
}

/// Removes a folder with what is in it.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    absent(fs::remove_dir_all(path))?;
    sync_folder(path)
}

/// Removes a folder, unless something is in it.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => absent(other),
    }
}

fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().map(File::open) {
        Some(Ok(folder)) => folder.sync_all(),
        Some(Err(error)) => absent(Err(error)),
        None => Ok(()),
    }
}

/// What is there, if anything.
pub(super) fn look(path: &Path, users: &[User]) -> Option<Found> {
    let meta = fs::symlink_metadata(path).ok()?;
    let kind = if meta.is_dir() {
        let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        FoundKind::Folder { is_empty }
    } else if meta.is_file() && meta.len() <= LARGEST {
        fs::read(path).map_or(FoundKind::Other, |bytes| {
            FoundKind::File(ContentHash::of(&bytes))
        })
    } else {
        FoundKind::Other
    };
    let owner = users.iter().find(|user| user.uid == meta.uid());
    Some(Found {
        kind,
        mode: meta.mode() & 0o7777,
        owner: owner.map_or_else(|| meta.uid().to_string(), |user| user.name.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(mode: u32) -> Rights {
        Rights {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            mode,
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_removed_with_what_a_cut_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        fs::write(staged(&path), "half of it").unwrap();
        replace(&path, b"whole", own(0o755)).unwrap();
        let found = look(&path, &[]).unwrap();
        assert_eq!(found.kind, FoundKind::File(ContentHash::of(b"whole")));
        assert_eq!(found.mode, 0o755);
        fs::write(staged(&path), "half of it").unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_is_made_once_and_goes_only_when_it_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        folder(&path, own(0o755)).unwrap();
        folder(&path, own(0o750)).unwrap();
        let empty = FoundKind::Folder { is_empty: true };
        assert_eq!(look(&path, &[]).unwrap().kind, empty);
        fs::write(path.join("file"), "").unwrap();
        remove_folder(&path).unwrap();
        assert!(path.exists());
        remove_tree(&path).unwrap();
        remove_folder(&path).unwrap();
        // A link to a folder is not the folder.
        std::os::unix::fs::symlink(dir.path(), &path).unwrap();
        assert!(folder(&path, own(0o755)).is_err());
    }
}
