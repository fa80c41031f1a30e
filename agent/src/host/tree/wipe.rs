//! Removing files so that a secret's bytes are overwritten first.

use std::os::fd::OwnedFd;

use email_engine_protocol::desired::HostPath;
use email_engine_protocol::limits;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::own::Touch;
use super::replace::{temporary_name, write_all};
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
        self.check_own(&dir, path, Touch::Entry)?;
        self.failpoint.step().map_err(io("remove", path))?;
        match fs::unlinkat(&dir, path.file_name(), AtFlags::empty()) {
            Ok(()) => fs::fsync(&dir).map_err(io("sync folder of", path)),
            Err(Errno::NOENT) => Ok(()),
            Err(source) => Err(io("remove", path)(source)),
        }
    }

    /// Overwrites a file, then removes it; one that is gone already is fine. First it gets the
    /// temporary name that belongs to its path: whoever opens the path meanwhile finds the whole
    /// file or none, and after a crash the sweep finds the rest.
    ///
    /// # Errors
    /// When it stays, or is a folder.
    pub fn wipe(&self, path: &HostPath) -> Result<(), FileError> {
        let dir = match self.parent_of(path) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(source) => return Err(io("open folder of", path)(source)),
        };
        self.check_own(&dir, path, Touch::Entry)?;
        self.sweep_in(&dir, path)?;
        let name = path.file_name();
        let is_file = fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| Entry::from(&stat).kind == EntryKind::File);
        let aside = temporary_name(path);
        if is_file && fs::renameat(&dir, name, &dir, aside.as_str()).is_ok() {
            self.failpoint.step().map_err(io("wipe", path))?;
            fs::fsync(&dir).map_err(io("sync folder of", path))?;
            return self.wipe_in(&dir, &aside, path);
        }
        self.wipe_in(&dir, name, path)
    }

    /// Overwrites a file where it is, then removes it: for what nobody else reads.
    ///
    /// # Errors
    /// When it stays, or is a folder.
    pub fn wipe_in_place(&self, path: &HostPath) -> Result<(), FileError> {
        let dir = match self.parent_of(path) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(source) => return Err(io("open folder of", path)(source)),
        };
        self.check_own(&dir, path, Touch::Entry)?;
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
        self.check_own(&dir, path, Touch::Entry)?;
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
        self.failpoint.step().map_err(io("remove", path))?;
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
    // Nothing of ours is as long. A sparse file that somebody planted would fill the disk.
    if entry.size > limits::BODY_BYTES {
        return Err(Errno::FBIG);
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
    fn a_crash_at_any_step_of_a_wipe_leaves_the_whole_file_or_none() {
        let path = HostPath::new("/key").unwrap();
        let mut crashes = 0;
        for steps in 0..8 {
            let root = tempfile::tempdir().unwrap();
            std::fs::write(root.path().join("key"), "hunter2").unwrap();
            let tree = Rooted::open(root.path()).unwrap();
            tree.failpoint.die_after(steps);
            crashes += u32::from(tree.wipe(&path).is_err());
            if let Ok(left) = std::fs::read(root.path().join("key")) {
                assert_eq!(left, b"hunter2", "after {steps} steps");
            }
            let again = Rooted::open(root.path()).unwrap();
            again.wipe(&path).unwrap();
            let left = std::fs::read_dir(root.path()).unwrap().count();
            assert_eq!(left, 0, "after {steps} steps");
        }
        assert!(crashes >= 3, "only {crashes} crash points were reached");
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

    #[test]
    fn a_planted_sparse_file_goes_without_filling_the_disk() {
        use std::os::unix::fs::MetadataExt;
        let root = tempfile::tempdir().unwrap();
        let open = std::fs::File::create(root.path().join("key")).unwrap();
        open.set_len(limits::BODY_BYTES + 1).unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        tree.wipe(&HostPath::new("/key").unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        assert_eq!(open.metadata().unwrap().blocks(), 0);
    }
}
