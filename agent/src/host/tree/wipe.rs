//! Removing files so that a secret's bytes are overwritten first.

use std::os::fd::OwnedFd;

use email_engine_protocol::desired::HostPath;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::replace::write_all;
use super::rooted::{Entry, EntryKind, FileError, Rooted, io};

impl Rooted {
    /// Removes a file or link; one that is gone already is fine.
    ///
    /// # Errors
    /// When it stays, or is a folder.
    pub fn remove_file(&self, path: &HostPath) -> Result<(), FileError> {
        let dir = match self.parent_of(path) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(source) => return Err(io("open folder of", path)(source)),
        };
        match fs::unlinkat(&dir, path.file_name(), AtFlags::empty()) {
            Ok(()) => fs::fsync(&dir).map_err(io("sync folder of", path)),
            Err(Errno::NOENT) => Ok(()),
            Err(source) => Err(io("remove", path)(source)),
        }
    }

    /// Overwrites a file, then removes it; one that is gone already is fine.
    ///
    /// # Errors
    /// When it stays, or is a folder.
    pub fn wipe(&self, path: &HostPath) -> Result<(), FileError> {
        let dir = match self.parent_of(path) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(source) => return Err(io("open folder of", path)(source)),
        };
        self.wipe_in(&dir, path.file_name(), path)
    }

    /// Removes an empty folder; one that is gone already is fine.
    ///
    /// # Errors
    /// [`FileError::NotEmpty`] when it has entries: they are somebody's.
    pub fn remove_folder(&self, path: &HostPath) -> Result<(), FileError> {
        let dir = match self.parent_of(path) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(source) => return Err(io("open folder of", path)(source)),
        };
        match fs::unlinkat(&dir, path.file_name(), AtFlags::REMOVEDIR) {
            Ok(()) => fs::fsync(&dir).map_err(io("sync folder of", path)),
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(FileError::NotEmpty(path.clone())),
            Err(source) => Err(io("remove", path)(source)),
        }
    }

    pub(super) fn wipe_in(
        &self,
        dir: &OwnedFd,
        name: &str,
        path: &HostPath,
    ) -> Result<(), FileError> {
        let entry = match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Entry::from(&stat),
            Err(Errno::NOENT) => return Ok(()),
            Err(source) => return Err(io("look at", path)(source)),
        };
        self.failpoint.step().map_err(io("wipe", path))?;
        match (entry.kind, entry.links) {
            // One that cannot be overwritten shall not outlive that: it is removed all the same.
            (EntryKind::File, 1) => {
                if let Err(error) = overwrite(dir, name) {
                    tracing::warn!(%path, %error, "could not overwrite before removing");
                }
            }
            (EntryKind::File, links) => {
                // Another name may be a planted link to a file that is not ours to destroy.
                tracing::warn!(%path, links, "has other names: removed here, not overwritten");
            }
            _ => {}
        }
        fs::unlinkat(dir, name, AtFlags::empty()).map_err(io("remove", path))?;
        fs::fsync(dir).map_err(io("sync folder of", path))
    }
}

fn overwrite(dir: &OwnedFd, name: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = fs::openat(dir, name, flags, Mode::empty())?;
    let entry = Entry::from(&fs::fstat(&fd)?);
    if entry.kind != EntryKind::File || entry.links != 1 {
        return Ok(());
    }
    let zeros = [0; 4096];
    let mut left = entry.size;
    while left > 0 {
        let part = usize::try_from(left.min(4096)).unwrap_or(4096);
        write_all(&fd, &zeros[..part])?;
        left -= part as u64;
    }
    fs::fsync(&fd)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use super::*;

    #[test]
    fn a_wiped_file_holds_zeros_for_whoever_still_has_it_open() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("key"), "hunter2").unwrap();
        let mut open = std::fs::File::open(root.path().join("key")).unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        tree.wipe(&HostPath::new("/key").unwrap()).unwrap();
        assert!(!root.path().join("key").exists());
        let mut left = Vec::new();
        open.seek(SeekFrom::Start(0)).unwrap();
        open.read_to_end(&mut left).unwrap();
        assert_eq!(left, [0; 7]);
    }

    #[test]
    fn a_planted_hard_link_does_not_destroy_its_other_name() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("shadow"), "theirs").unwrap();
        std::fs::hard_link(root.path().join("shadow"), root.path().join("key")).unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        tree.wipe(&HostPath::new("/key").unwrap()).unwrap();
        assert_eq!(
            std::fs::read(root.path().join("shadow")).unwrap(),
            b"theirs"
        );
        assert!(!root.path().join("key").exists());
    }

    #[test]
    fn only_an_empty_folder_goes() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/x"), "").unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        let path = HostPath::new("/a").unwrap();
        assert!(matches!(
            tree.remove_folder(&path),
            Err(FileError::NotEmpty(_))
        ));
        std::fs::remove_file(root.path().join("a/x")).unwrap();
        tree.remove_folder(&path).unwrap();
        tree.remove_folder(&path).unwrap();
    }
}
