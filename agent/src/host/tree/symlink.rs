//! Symbolic links that are resources, and settings that are written where they stand.

use std::os::fd::AsFd;

use email_engine_protocol::desired::HostPath;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::own::Touch;
use super::replace::{temporary_name, write_all};
use super::rooted::{Entry, EntryKind, FileError, Rooted, io};

impl Rooted {
    /// Where a symbolic link leads; nothing when it is missing or no link.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn read_link(&self, path: &HostPath) -> Result<Option<String>, FileError> {
        let found = self
            .parent_of(path)
            .and_then(|dir| fs::readlinkat(&dir, path.file_name(), Vec::new()));
        match found {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL) => Ok(None),
            Err(source) => Err(io("read", path)(source)),
        }
    }

    /// Makes a symbolic link or leads it elsewhere, atomically and durably. What stands there and is
    /// none is moved aside when it may hold somebody's work.
    ///
    /// # Errors
    /// When a step fails; then the old state stands.
    pub fn make_link(&self, path: &HostPath, target: &str) -> Result<(), FileError> {
        self.make_parents(path)?;
        let dir = self.parent_of(path).map_err(io("open folder of", path))?;
        self.check_own(&dir, path, Touch::Entry)?;
        self.sweep_in(&dir, path)?;
        let found = self.look(path)?;
        if found.is_some_and(|found| found.kind != EntryKind::Symlink) {
            self.clear_way(path)?;
        }
        let temporary = temporary_name(path);
        self.failpoint.step().map_err(io("link", path))?;
        fs::symlinkat(target, &dir, temporary.as_str()).map_err(io("link", path))?;
        self.failpoint.step().map_err(io("replace", path))?;
        fs::renameat(&dir, temporary.as_str(), &dir, path.file_name())
            .map_err(io("replace", path))?;
        self.failpoint
            .sync(dir.as_fd())
            .map_err(io("sync folder of", path))
    }

    /// Writes into a file that is there already, as settings of the kernel want it: in one piece,
    /// without making, cutting or replacing anything.
    ///
    /// # Errors
    /// When it is missing, something else, or refuses the bytes.
    pub fn write_setting(&self, path: &HostPath, bytes: &[u8]) -> Result<(), FileError> {
        let dir = self.parent_of(path).map_err(io("open folder of", path))?;
        self.check_own(&dir, path, Touch::Entry)?;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd =
            fs::openat(&dir, path.file_name(), flags, Mode::empty()).map_err(io("open", path))?;
        let entry = Entry::from(&fs::fstat(&fd).map_err(io("look at", path))?);
        if entry.kind != EntryKind::File {
            return Err(FileError::NotRegular(path.clone()));
        }
        write_all(&fd, bytes).map_err(io("set", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> HostPath {
        HostPath::new(text).unwrap()
    }

    #[test]
    fn a_link_is_made_led_elsewhere_and_takes_nobodys_work_away() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Rooted::open(dir.path()).unwrap();
        let at = path("/etc/app/current");
        assert_eq!(tree.read_link(&at).unwrap(), None);
        for target in ["/etc/app/one", "/etc/app/two"] {
            tree.make_link(&at, target).unwrap();
            assert_eq!(tree.read_link(&at).unwrap().as_deref(), Some(target));
        }
        tree.remove_file(&at).unwrap();
        std::fs::write(dir.path().join("etc/app/current"), "work").unwrap();
        assert_eq!(tree.read_link(&at).unwrap(), None);
        tree.make_link(&at, "/etc/app/one").unwrap();
        let mut kept = std::fs::read_dir(dir.path().join("etc/app")).unwrap();
        assert!(
            kept.any(|entry| std::fs::read(entry.unwrap().path()).is_ok_and(|text| text == b"work"))
        );
    }

    #[test]
    fn a_setting_is_written_only_where_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Rooted::open(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        assert!(tree.write_setting(&path("/proc/none"), b"1").is_err());
        std::fs::write(dir.path().join("proc/some"), "0").unwrap();
        tree.write_setting(&path("/proc/some"), b"1").unwrap();
        assert_eq!(tree.read(&path("/proc/some"), 9).unwrap(), b"1");
        std::os::unix::fs::symlink("some", dir.path().join("proc/link")).unwrap();
        assert!(tree.write_setting(&path("/proc/link"), b"2").is_err());
    }
}
