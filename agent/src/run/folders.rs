//! The agent's folders: one process each, for as long as a lock is held; and whose they are when the
//! halves are two users'.
//!
//! | folder | whose |
//! | --- | --- |
//! | the data folder | the executor's; the network half may pass through |
//! | `executor/` in it | the executor's alone: keys, ledger, inventory |
//! | `identity/` in it | the network half's alone: key and certificate |

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown};
use std::path::Path;

use super::RunError;
use crate::config::Config;
use crate::socket::place::NetworkUser;

/// Who passes through the data folder: its owner, and the network half by its group.
const PASSED_THROUGH: u32 = 0o710;

/// One process per folder, for as long as the file is held.
pub(super) fn lock(folder: &Path) -> Result<File, RunError> {
    let open = || {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            // Who can open it can hold it.
            .mode(0o600)
            .open(folder.join("lock"))
    };
    let file = open().map_err(failed(folder))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::AlreadyRunning(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(folder)(source)),
    }
}

/// Makes the folders what they are when the halves are two users'; also those of an agent that was one
/// process before. Does nothing where nothing can be given away.
pub(super) fn part(config: &Config, user: NetworkUser) -> Result<(), RunError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let data = &config.data_dir;
    lchown(data, Some(0), Some(user.gid))
        .and_then(|()| fs::set_permissions(data, Permissions::from_mode(PASSED_THROUGH)))
        .map_err(failed(data))?;
    let identity = config.identity_dir();
    give(&identity, user).map_err(failed(&identity))
}

/// A folder of files, and what it holds, becomes the network half's.
fn give(folder: &Path, user: NetworkUser) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    for entry in fs::read_dir(folder)? {
        lchown(entry?.path(), Some(user.uid), Some(user.gid))?;
    }
    lchown(folder, Some(user.uid), Some(user.gid))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> RunError + '_ {
    |source| RunError::DataDir {
        path: path.to_owned(),
        source,
    }
}
