//! One run at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::journal::LOCK;
use crate::layout::OWN;

/// Held for as long as a run may change something.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a run may not change anything.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else may.
    #[error("another bootstrap is running on this machine")]
    Busy,
    /// The file cannot be held.
    #[error("{} cannot be locked", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// When it is held, or there can be none.
    pub fn take() -> Result<Self, LockError> {
        let path = Path::new(OWN).join(LOCK);
        let failed = |source| LockError::File {
            path: path.clone(),
            source,
        };
        let mut folder = DirBuilder::new();
        folder
            .recursive(true)
            .mode(0o700)
            .create(OWN)
            .map_err(failed)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Busy),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
