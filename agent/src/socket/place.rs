//! Where the socket stands, and who may open it: its owner and one other user.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};
use tokio::net::UnixListener;

/// The user of the network half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkUser {
    /// Its number.
    pub uid: u32,
    /// Number of its group.
    pub gid: u32,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It cannot be made.
    #[error("socket {} cannot be made", path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else stands there.
    #[error("{} is in the way of the socket and is none: remove it, or set `socket`", .0.display())]
    InTheWay(PathBuf),
}

/// Opens the socket, in the place of one that an earlier life left. Its folder is made when it is not
/// there; both can be entered and opened by the network half's user and nobody else.
///
/// # Errors
/// When it cannot be made.
pub fn listen(path: &Path, user: NetworkUser) -> Result<UnixListener, PlaceError> {
    let failed = |source| PlaceError::Make {
        path: path.to_owned(),
        source,
    };
    if fs::symlink_metadata(path).is_ok_and(|seen| !seen.file_type().is_socket()) {
        return Err(PlaceError::InTheWay(path.to_owned()));
    }
    folder_of(path, user).map_err(failed)?;
    // Nobody opens it before it is whose it shall be: it is made beside its place, for nobody else.
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let before = umask(Mode::RWXG | Mode::RWXO);
    let bound = UnixListener::bind(&beside);
    umask(before);
    let listener = bound.map_err(failed)?;
    give(&beside, user)
        .and_then(|()| fs::set_permissions(&beside, Permissions::from_mode(0o660)))
        .and_then(|()| fs::rename(&beside, path))
        .map_err(failed)?;
    Ok(listener)
}

/// The socket's folder: made when it is not there, and each time what it shall be.
fn folder_of(path: &Path, user: NetworkUser) -> io::Result<()> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    if !folder.exists() {
        DirBuilder::new().recursive(true).create(folder)?;
    }
    let seen = fs::symlink_metadata(folder)?;
    if !seen.is_dir() || seen.uid() != geteuid().as_raw() {
        let reason = "its folder is another user's, or a link: name another by `socket`";
        return Err(io::Error::other(reason));
    }
    give(folder, user)?;
    fs::set_permissions(folder, Permissions::from_mode(0o750))
}

/// Takes the socket away: whoever calls now shall not wait for an answer. What is no socket stays.
pub fn close(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|seen| seen.file_type().is_socket()) {
        let _ = fs::remove_file(path);
    }
}

/// Leaves a text beside the socket for the network half.
///
/// # Errors
/// When it cannot be written.
pub fn leave(path: &Path, text: &str, user: NetworkUser) -> io::Result<()> {
    folder_of(path, user)?;
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o640);
    options.open(path)?.write_all(text.as_bytes())?;
    give(path, user)
}

/// Only root can give things away; whoever is not is the network half's user itself.
fn give(path: &Path, user: NetworkUser) -> io::Result<()> {
    if geteuid().is_root() {
        chown(path, None, Some(user.gid))
    } else {
        Ok(())
    }
}

/// Whether a process may be the network half: its user's, or one of whoever runs the executor, which
/// could do anything to it anyway. All are numbers of users.
#[must_use]
pub fn is_network_half(peer: u32, user: NetworkUser, own: u32) -> bool {
    peer == user.uid || peer == own
}

/// Whether a process may be the executor: root's, or one of our own user, where nothing is root's.
#[must_use]
pub const fn is_executor(peer: u32, own: u32) -> bool {
    peer == 0 || peer == own
}
