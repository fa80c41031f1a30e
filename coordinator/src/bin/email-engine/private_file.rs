//! Files that nobody but their owner may read.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a private file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivateFileError {
    /// Others could read it.
    #[error(
        "{} has mode {mode:04o}: others can read the secrets in it, and may have; \
         allow its owner only: chmod 600 {}",
        path.display(),
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Larger than such a file can be.
    #[error("{} is larger than {LIMIT} bytes: this is not the file that was meant", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

const LIMIT: u64 = 1024 * 1024;

/// Reads a file after checking that nobody else can.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    let io = |action| {
        move |source| PrivateFileError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let file = File::open(path).map_err(io("open"))?;
    // Asked of the open file: its name may lead elsewhere a moment later.
    let metadata = file.metadata().map_err(io("read"))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(PrivateFileError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(io("read"))?;
    if text.len() as u64 > LIMIT {
        return Err(PrivateFileError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// Replaces a file as a whole; it is never readable for others, not even for a moment.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    let io = |source| PrivateFileError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Made with mode 0600 by the crate, under a name that nobody can foresee.
    let mut staged = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    staged.write_all(bytes).map_err(io)?;
    staged.as_file().sync_all().map_err(io)?;
    staged.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

/// Opens a new file for its owner only; an existing one is not overwritten.
pub(crate) fn create_new(path: &Path) -> Result<File, PrivateFileError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| PrivateFileError::Io {
            action: "create",
            path: path.to_owned(),
            source,
        })
}

/// A new file that waits for a secret. It is there before the secret is made, so that no secret is
/// made that has no place; without one it goes again.
#[derive(Debug)]
pub(crate) struct Reserved {
    path: PathBuf,
    file: File,
    filled: bool,
}

impl Reserved {
    /// Makes the file for its owner only; an existing one is not overwritten.
    pub(crate) fn at(path: &Path) -> Result<Self, PrivateFileError> {
        Ok(Self {
            path: path.to_owned(),
            file: create_new(path)?,
            filled: false,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the secret, as a line.
    pub(crate) fn fill(&mut self, secret: &str) -> Result<(), PrivateFileError> {
        let line = Zeroizing::new(format!("{secret}\n"));
        let written = self.file.write_all(line.as_bytes());
        let synced = written.and_then(|()| self.file.sync_all());
        synced.map_err(|source| PrivateFileError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })?;
        self.filled = true;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.filled {
            // What stays is empty, and the command has failed already.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a folder, and those above it, for its owner only; an existing one is left as it is.
pub(crate) fn folder(path: &Path) -> Result<(), PrivateFileError> {
    let io = |source| PrivateFileError::Io {
        action: "create",
        path: path.to_owned(),
        source,
    };
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(io)?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_private_and_replaces_what_was_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write(&path, b"new").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(read(&path).unwrap().as_str(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_its_group_can_read_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "text").unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_place_for_a_secret_is_nobody_elses_file_and_goes_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        drop(Reserved::at(&path).unwrap());
        assert!(!path.exists(), "it got no secret");
        Reserved::at(&path).unwrap().fill("secret").unwrap();
        assert_eq!(read(&path).unwrap().as_str(), "secret\n");
        let error = Reserved::at(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot create {}", path.display())
        );
        assert_eq!(read(&path).unwrap().as_str(), "secret\n");
    }

    #[test]
    fn a_new_private_file_does_not_overwrite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        drop(create_new(&path).unwrap());
        assert!(create_new(&path).is_err());
    }
}
