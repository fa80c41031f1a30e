//! Which symbolic links above a managed path are followed on a real machine.
//!
//! The agent is root, and in folders that are not its own others may put links: one that was
//! followed would let them choose which file root writes. So a link counts only when nobody but
//! root (or the agent's own user) can have put it there: both the link and the folder that holds it
//! belong to one of them, and the folder is writable to nobody else, or sticky. `/var/run`, which
//! leads to `/run` on every distribution, is such a link. Any other is an error that names it, and
//! the path is left alone.
//!
//! The way is walked one component at a time, each opened below the folder that was opened before
//! it, and owner and target of a link are read from the opened link itself: whoever swaps a folder
//! for a link meanwhile is seen, or was too late. `..` goes back the way that was come, never above
//! the root.

use std::os::fd::OwnedFd;

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// As many as the kernel follows (path_resolution(7)).
const MOST: u32 = 40;
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Opens the folder at a relative path. Links of nobody in `trusted` end it with `LOOP`.
pub(super) fn walk(root: &OwnedFd, relative: &str, trusted: &[u32]) -> Result<OwnedFd, Errno> {
    let mut above = Vec::new();
    let mut here = open(root, ".")?;
    let mut left: Vec<Vec<u8>> = Vec::new();
    push(&mut left, relative.as_bytes());
    let mut followed = 0;
    while let Some(name) = left.pop() {
        if name == b".." {
            here = above.pop().unwrap_or(here);
            continue;
        }
        let next = open(&here, name.as_slice())?;
        let stat = fs::fstat(&next)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => above.push(std::mem::replace(&mut here, next)),
            FileType::Symlink => {
                followed += 1;
                let kept = is_kept(&stat, &fs::fstat(&here)?, trusted);
                if followed > MOST || !kept {
                    return Err(Errno::LOOP);
                }
                let target = fs::readlinkat(&next, "", Vec::new())?;
                if target.as_bytes().starts_with(b"/") {
                    above.clear();
                    here = open(root, ".")?;
                }
                push(&mut left, target.as_bytes());
            }
            _ => return Err(Errno::NOTDIR),
        }
    }
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(&here, ".", folder, Mode::empty())
}

fn open(dir: &OwnedFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::empty())
}

fn push(left: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|byte| *byte == b'/');
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    left.extend(names.rev().map(<[u8]>::to_vec));
}

/// Whether nobody but a trusted user can have put the link into its folder.
fn is_kept(link: &Stat, folder: &Stat, trusted: &[u32]) -> bool {
    let closed = folder.st_mode & OTHERS_WRITE == 0 || folder.st_mode & STICKY != 0;
    trusted.contains(&link.st_uid) && trusted.contains(&folder.st_uid) && closed
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use email_engine_protocol::desired::HostPath;
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    use super::super::replace::NewFile;
    use super::super::rooted::{FileError, Links, Rooted};

    fn path(text: &str) -> HostPath {
        HostPath::new(text).unwrap()
    }

    /// A tree in which every link is of a user that it trusts, or of none.
    fn tree(dir: &Path, trusts_us: bool) -> Rooted {
        let us = dir.metadata().unwrap().uid();
        let uid = if trusts_us { us } else { us + 1 };
        Rooted::with_links(dir, Links::Of([uid, uid])).unwrap()
    }

    fn closed_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        dir
    }

    fn write(tree: &Rooted, at: &str) -> Result<(), FileError> {
        let path = path(at);
        let file = NewFile {
            path: &path,
            mode: 0o600,
            uid: None,
            gid: None,
        };
        tree.replace(&file, b"secret", None)
    }

    #[test]
    fn roots_own_links_are_followed_and_stay_inside() {
        let dir = closed_dir();
        std::fs::create_dir_all(dir.path().join("run/app")).unwrap();
        std::fs::create_dir(dir.path().join("var")).unwrap();
        symlink("/run", dir.path().join("var/run")).unwrap();
        symlink("../../../run/./app", dir.path().join("var/up")).unwrap();
        symlink("run", dir.path().join("var/twice")).unwrap();
        let tree = tree(dir.path(), true);
        for (at, real) in [
            ("/var/run/pid", "run/pid"),
            ("/var/up/key", "run/app/key"),
            ("/var/twice/app/other", "run/app/other"),
            ("/var/run/new/deep", "run/new/deep"),
        ] {
            write(&tree, at).unwrap();
            assert_eq!(std::fs::read(dir.path().join(real)).unwrap(), b"secret");
        }
    }

    #[test]
    fn somebody_elses_link_is_refused_and_named() {
        let dir = closed_dir();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        symlink("/etc", dir.path().join("link")).unwrap();
        symlink("link", dir.path().join("chain")).unwrap();
        let strict = tree(dir.path(), false);
        for at in ["/link/passwd", "/chain/passwd", "/link/new/deep"] {
            let error = write(&strict, at).unwrap_err().to_string();
            assert!(error.contains("symbolic link"), "{error}");
            assert!(strict.look(&path(at)).is_err(), "not taken for missing");
            assert!(strict.remove_file(&path(at)).is_err());
        }
        assert_eq!(
            std::fs::read_dir(dir.path().join("etc")).unwrap().count(),
            0
        );
        write(&strict, "/etc/passwd").unwrap();
    }

    #[test]
    fn a_link_in_a_folder_that_others_write_to_may_be_anybodys() {
        let dir = closed_dir();
        for (name, mode, good) in [
            ("shared", 0o775, false),
            ("open", 0o777, false),
            ("sticky", 0o1777, true),
        ] {
            let folder = dir.path().join(name);
            std::fs::create_dir_all(folder.join("real")).unwrap();
            symlink("real", folder.join("link")).unwrap();
            std::fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            let written = write(&tree(dir.path(), true), &format!("/{name}/link/x"));
            assert_eq!(written.is_ok(), good, "{name}");
        }
    }

    #[test]
    fn links_that_lead_to_themselves_end() {
        let dir = closed_dir();
        symlink("round", dir.path().join("round")).unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a/../b", dir.path().join("b")).unwrap();
        let tree = tree(dir.path(), true);
        for at in ["/round/x", "/a/x"] {
            assert!(matches!(
                write(&tree, at),
                Err(FileError::Link { .. } | FileError::Io { .. })
            ));
        }
    }

    #[test]
    fn whoever_swaps_a_folder_for_a_link_meanwhile_gets_nothing() {
        let dir = closed_dir();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("theirs/d")).unwrap();
        std::fs::create_dir(at("victim")).unwrap();
        symlink("/victim", at("theirs/link")).unwrap();
        let strict = tree(dir.path(), false);
        let over = AtomicBool::new(false);
        let (mut written, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (one, other) = (at("theirs/d"), at("theirs/link"));
                    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                }
            });
            // Until both have been seen often: how fast the threads are does not matter.
            while written < 50 || refused < 50 {
                for done in [
                    write(&strict, "/theirs/d/key"),
                    write(&strict, "/theirs/d/new/key"),
                ] {
                    if done.is_ok() {
                        written += 1;
                    } else {
                        refused += 1;
                    }
                }
                let _ = strict.remove_file(&path("/theirs/d/key"));
            }
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(at("victim")).unwrap().count(), 0);
    }
}
