//! Where the socket stands, and who may open it: its owner and one other user.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};

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
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(folder)
            .and_then(|()| give(folder, user))
            .map_err(failed)?;
    }
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

/// Leaves a text beside the socket for the network half.
///
/// # Errors
/// When it cannot be written.
pub fn leave(path: &Path, text: &str, user: NetworkUser) -> io::Result<()> {
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
/// could do anything to it anyway.
#[must_use]
pub fn is_network_half(peer: &UCred, user: NetworkUser) -> bool {
    peer.uid() == user.uid || peer.uid() == geteuid().as_raw()
}

/// Whether a process may be the executor: root's, or one of our own user, where nothing is root's.
#[must_use]
pub fn is_executor(stream: &UnixStream) -> bool {
    let allowed = |peer: UCred| peer.uid() == 0 || peer.uid() == geteuid().as_raw();
    stream.peer_cred().is_ok_and(allowed)
}
