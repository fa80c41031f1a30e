//! A file that is looked at and then read: what it is and what is in it, by one opening of its folder.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use email_engine_protocol::desired::HostPath;
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::rooted::{Entry, EntryKind, FileError, Rooted, io, unread};

/// What is asked for at least: more than any setting of the kernel has.
const AT_ONCE: u64 = 4096;

/// What stands at a path, and the folder that it was found in.
#[derive(Debug)]
pub struct Looked {
    /// What it is.
    pub entry: Entry,
    folder: OwnedFd,
}

impl Rooted {
    /// What stands at a path, to be read perhaps; nothing when it or a folder above it is missing.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn look_closely(&self, path: &HostPath) -> Result<Option<Looked>, FileError> {
        let found = self.parent_of(path).and_then(|folder| {
            let stat = fs::statat(&folder, path.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            let entry = Entry::from(&stat);
            Ok(Looked { entry, folder })
        });
        match found {
            Ok(looked) => Ok(Some(looked)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(source) => Err(io("look at", path)(source)),
        }
    }
}

impl Looked {
    /// Reads it, where it is a regular file of at most `limit` bytes; `path` is what it was looked at by. Never
    /// follows a link, never waits on a pipe.
    ///
    /// # Errors
    /// When it is missing by now, something else, larger or unreadable.
    pub fn read(&self, path: &HostPath, limit: u64) -> Result<Vec<u8>, FileError> {
        let (file, size) = self.open(path)?;
        bounded(file, path, size, limit)
    }

    /// Opens it, with its size. What is no regular file is not opened: that alone may do something.
    pub(super) fn open(&self, path: &HostPath) -> Result<(File, u64), FileError> {
        if self.entry.kind != EntryKind::File {
            return Err(FileError::NotRegular(path.clone()));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::openat(&self.folder, path.file_name(), flags, Mode::empty());
        let file = file.map_err(io("read", path))?;
        // Something else may have come into its place.
        let entry = Entry::from(&fs::fstat(&file).map_err(io("read", path))?);
        if entry.kind != EntryKind::File {
            return Err(FileError::NotRegular(path.clone()));
        }
        Ok((File::from(file), entry.size))
    }
}

/// All of a file that has this size, or had: who writes to it meanwhile is read as far as `limit`.
fn bounded(mut file: File, path: &HostPath, size: u64, limit: u64) -> Result<Vec<u8>, FileError> {
    // The kernel's own files have no size, and give all that they have at once or never (proc(5)).
    let room = |bytes: u64| {
        let bytes = bytes.max(AT_ONCE).min(limit).saturating_add(1);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    };
    let mut bytes = vec![0; room(size)];
    let mut filled = 0;
    loop {
        let read = match file.read(&mut bytes[filled..]) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| unread(path, &error))?,
        };
        filled += read;
        // The end is known without asking for it once more when there was room for more than there is.
        let is_whole = filled as u64 == size && filled < bytes.len();
        if read == 0 || is_whole {
            bytes.truncate(filled);
            return Ok(bytes);
        }
        if filled as u64 > limit {
            return Err(FileError::TooLarge {
                path: path.clone(),
                limit,
            });
        }
        if filled == bytes.len() {
            bytes.resize(room(filled as u64 * 2), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> HostPath {
        HostPath::new(text).unwrap()
    }

    #[test]
    fn a_file_is_read_whole_whatever_its_size_was_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("f");
        for length in [0, 1, 4096, 100_000] {
            let content = vec![b'x'; length];
            std::fs::write(&at, &content).unwrap();
            // It grew or shrank after it was measured.
            for size in [0, 1, length as u64 / 2, length as u64, length as u64 * 3] {
                let file = File::open(&at).unwrap();
                let bytes = bounded(file, &path("/f"), size, 100_000).unwrap();
                // What had its size and was added to meanwhile is read next time.
                assert!(content.starts_with(&bytes), "{length} {size}");
                assert!(bytes.len() == length || bytes.len() as u64 == size);
            }
        }
        for size in [0, 99_999, 100_000] {
            let file = File::open(&at).unwrap();
            let error = bounded(file, &path("/f"), size, 99_999).unwrap_err();
            assert!(matches!(error, FileError::TooLarge { limit: 99_999, .. }));
        }
    }

    #[test]
    fn a_setting_of_the_kernel_is_read_whole() {
        let tree = Rooted::open(std::path::Path::new("/")).unwrap();
        for name in ["/proc/sys/kernel/ostype", "/proc/sys/kernel/osrelease"] {
            let bytes = tree.read(&path(name), 4096).unwrap();
            assert_eq!(bytes, std::fs::read(name).unwrap());
            assert!(bytes.len() > 2, "{bytes:?}");
        }
    }

    #[test]
    fn what_came_into_its_place_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "one").unwrap();
        std::fs::write(dir.path().join("secret"), "two").unwrap();
        let tree = Rooted::open(dir.path()).unwrap();
        let looked = tree.look_closely(&path("/f")).unwrap().unwrap();
        assert_eq!(looked.read(&path("/f"), 10).unwrap(), b"one");
        std::fs::remove_file(dir.path().join("f")).unwrap();
        std::os::unix::fs::symlink("secret", dir.path().join("f")).unwrap();
        assert!(looked.read(&path("/f"), 10).is_err());
        let looked = tree.look_closely(&path("/f")).unwrap().unwrap();
        assert_eq!(looked.entry.kind, EntryKind::Symlink);
        let error = looked.read(&path("/f"), 10).unwrap_err();
        assert!(matches!(error, FileError::NotRegular(_)));
        assert!(tree.look_closely(&path("/none/f")).unwrap().is_none());
    }
}
