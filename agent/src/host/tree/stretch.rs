//! Pieces of a file that others write to.

use std::fs::File;
use std::os::unix::fs::FileExt;

use email_engine_protocol::desired::HostPath;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::rooted::{Entry, EntryKind, FileError, Rooted, io};

/// An open file, as it was when it was opened.
#[derive(Debug)]
pub struct Opened {
    file: File,
    path: HostPath,
    /// Tells it from others of its name.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Rooted {
    /// Where its root is on the machine.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn location(&self) -> std::io::Result<std::path::PathBuf> {
        use std::os::fd::AsRawFd;
        std::fs::read_link(format!("/proc/self/fd/{}", self.root.as_raw_fd()))
    }

    /// Opens a regular file for reading; nothing when there is none. A link is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_regular(&self, path: &HostPath) -> Result<Option<Opened>, FileError> {
        let opened = self.parent_of(path).and_then(|folder| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            fs::openat(&folder, path.file_name(), flags, Mode::empty())
        });
        let file = match opened {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(io("read", path)(error)),
        };
        let stat = fs::fstat(&file).map_err(io("read", path))?;
        if Entry::from(&stat).kind != EntryKind::File {
            return Err(FileError::NotRegular(path.clone()));
        }
        Ok(Some(Opened {
            file: File::from(file),
            path: path.clone(),
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
        }))
    }
}

impl Opened {
    /// The bytes from `offset` on: `length` of them, or fewer when it ends before.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_at(&self, offset: u64, length: u64) -> Result<Vec<u8>, FileError> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let mut filled = 0;
        while filled < bytes.len() {
            match self
                .file
                .read_at(&mut bytes[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    return Err(io("read", &self.path)(errno));
                }
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_read_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log"), "0123456789").unwrap();
        std::os::unix::fs::symlink("log", dir.path().join("link")).unwrap();
        let files = Rooted::open(dir.path()).unwrap();
        let open = |path: &str| files.open_regular(&HostPath::new(path).unwrap());
        let log = open("/log").unwrap().unwrap();
        assert_eq!(log.size, 10);
        assert_eq!(log.read_at(3, 4).unwrap(), b"3456");
        assert_eq!(log.read_at(8, 4).unwrap(), b"89");
        assert!(open("/none").unwrap().is_none());
        assert!(open("/no/folder").unwrap().is_none());
        assert!(open("/link").is_err());
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        assert!(matches!(open("/folder"), Err(FileError::NotRegular(_))));
    }
}
