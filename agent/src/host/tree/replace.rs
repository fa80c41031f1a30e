//! Replacing a file whole: whoever looks sees the old one or the new one.
//!
//! The new content is written to a file without a name (`O_TMPFILE`), so that a crash while it is
//! written leaves nothing. Only then, with its final mode and owner, it gets the temporary name that
//! belongs to this path, and is renamed over it. A crash between these two steps leaves the
//! temporary name, which [`Rooted::sweep`] finds again because it follows from the path.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::HostPath;
use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::own::Touch;
use super::rooted::{Entry, EntryKind, FileError, Rooted, io};

/// A file as it shall be.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// Where.
    pub path: &'a HostPath,
    /// Permission bits.
    pub mode: u32,
    /// Owning user; the one that the file has, or ours, when absent.
    pub uid: Option<u32>,
    /// Owning group; the one that the file has, or ours, when absent.
    pub gid: Option<u32>,
}

/// Where the bytes of a file come from.
pub enum Source<'a> {
    /// They are at hand.
    Bytes(&'a [u8]),
    /// They are written piece by piece.
    Stream(&'a mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>),
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Stream(_) => "Stream",
        })
    }
}

/// Judges a staged copy by its path below the root.
pub type Validator<'a> = &'a mut dyn FnMut(&HostPath) -> Result<(), String>;

pub(super) fn temporary_name(path: &HostPath) -> String {
    // A hash, because the name with an affix might be longer than a name may be.
    let hash = ContentHash::of(path.file_name().as_bytes()).to_string();
    format!(".email-engine.{}.tmp", &hash[..16])
}

fn staged_path(path: &HostPath) -> Result<HostPath, Errno> {
    let folder = path.parent();
    let folder = folder.as_ref().map_or("", HostPath::as_str);
    HostPath::new(format!("{folder}/{}", temporary_name(path))).map_err(|_| Errno::NAMETOOLONG)
}

impl Rooted {
    /// Replaces or creates a file atomically and durably. What is no regular file at that path is
    /// replaced itself, never written through; a folder with entries is moved aside.
    ///
    /// # Errors
    /// When a step fails; then the old state stands.
    pub fn replace(
        &self,
        file: &NewFile<'_>,
        bytes: &[u8],
        validator: Option<Validator<'_>>,
    ) -> Result<(), FileError> {
        self.replace_with(file, Source::Bytes(bytes), validator)
    }

    /// The same with bytes from wherever they are.
    ///
    /// # Errors
    /// When a step fails, or the source does; then the old state stands.
    pub fn replace_with(
        &self,
        file: &NewFile<'_>,
        source: Source<'_>,
        validator: Option<Validator<'_>>,
    ) -> Result<(), FileError> {
        let path = file.path;
        let dir = self.lay_beside(file, source)?;
        if let Some(validator) = validator {
            let staged = staged_path(path).map_err(io("name a copy of", path))?;
            if let Err(reason) = validator(&staged) {
                self.wipe_in(&dir, &temporary_name(path), path)?;
                return Err(FileError::Refused {
                    path: path.clone(),
                    reason,
                });
            }
        }
        self.swap(&dir, path).map_err(io("replace", path))
    }

    /// Writes a file whole beside the place where it shall stand, durably; [`swap_in`] puts it
    /// there, and [`sweep`] takes it away.
    ///
    /// [`swap_in`]: Self::swap_in
    /// [`sweep`]: Self::sweep
    ///
    /// # Errors
    /// When a step fails; then the old state stands.
    pub fn stage_beside(&self, file: &NewFile<'_>, bytes: &[u8]) -> Result<(), FileError> {
        self.lay_beside(file, Source::Bytes(bytes)).map(drop)
    }

    /// Puts what was staged into its place, durably.
    ///
    /// # Errors
    /// When it is not there or cannot be put there; then the old state stands.
    pub fn swap_in(&self, path: &HostPath) -> Result<(), FileError> {
        let dir = self.parent_of(path).map_err(io("open folder of", path))?;
        self.swap(&dir, path).map_err(io("replace", path))
    }

    fn lay_beside(&self, file: &NewFile<'_>, source: Source<'_>) -> Result<OwnedFd, FileError> {
        let path = file.path;
        self.make_parents(path)?;
        let dir = self.parent_of(path).map_err(io("open folder of", path))?;
        self.check_own(&dir, path, Touch::Entry)?;
        self.sweep_in(&dir, path)?;
        let name = path.file_name();
        let old = match fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(Entry::from(&stat)),
            Err(Errno::NOENT) => None,
            Err(source) => return Err(io("look at", path)(source)),
        };
        if old.is_some_and(|old| old.kind == EntryKind::Directory) {
            self.clear_way(path)?;
        }
        self.stage(&dir, &temporary_name(path), file, old, source)
            .map_err(io("write", path))?;
        Ok(dir)
    }

    fn stage(
        &self,
        dir: &OwnedFd,
        temporary: &str,
        file: &NewFile<'_>,
        old: Option<Entry>,
        source: Source<'_>,
    ) -> Result<(), Errno> {
        self.failpoint.step()?;
        let unnamed = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match fs::openat(dir, ".", unnamed, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => {
                self.fill(&fd, file, old, source)?;
                self.failpoint.step()?;
                let itself = format!("/proc/self/fd/{}", fd.as_raw_fd());
                fs::linkat(
                    fs::CWD,
                    itself.as_str(),
                    dir,
                    temporary,
                    AtFlags::SYMLINK_FOLLOW,
                )
            }
            // A file system without nameless files: 0600 under the name that the sweep knows.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let named = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY;
                let flags = named | OFlags::CLOEXEC;
                let fd = fs::openat(dir, temporary, flags, Mode::RUSR | Mode::WUSR)?;
                self.fill(&fd, file, old, source)
            }
            Err(source) => Err(source),
        }
    }

    fn fill(
        &self,
        fd: &OwnedFd,
        file: &NewFile<'_>,
        old: Option<Entry>,
        source: Source<'_>,
    ) -> Result<(), Errno> {
        self.failpoint.step()?;
        match source {
            Source::Bytes(bytes) => {
                let (half, rest) = bytes.split_at(bytes.len() / 2);
                write_all(fd, half)?;
                self.failpoint.step()?;
                write_all(fd, rest)?;
            }
            Source::Stream(write) => {
                let clone = fd.try_clone().map_err(|_| Errno::MFILE)?;
                let mut out = std::fs::File::from(clone);
                write(&mut out)
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
                self.failpoint.step()?;
            }
        }
        let kept = old.filter(|old| old.kind == EntryKind::File);
        let own = Entry::from(&fs::fstat(fd)?);
        let uid = file
            .uid
            .or_else(|| kept.map(|old| old.uid))
            .filter(|uid| *uid != own.uid);
        let gid = file
            .gid
            .or_else(|| kept.map(|old| old.gid))
            .filter(|gid| *gid != own.gid);
        if uid.is_some() || gid.is_some() {
            let change = fs::fchown(fd, uid.map(fs::Uid::from_raw), gid.map(fs::Gid::from_raw));
            // Without root a foreign owner cannot be kept; one that was asked for must be.
            if file.uid.is_some() || file.gid.is_some() || change != Err(Errno::PERM) {
                change?;
            }
        }
        // After the owner: a change of owner clears the set-id bits.
        fs::fchmod(fd, Mode::from_raw_mode(file.mode))?;
        self.failpoint.sync(fd)
    }

    fn swap(&self, dir: &OwnedFd, path: &HostPath) -> Result<(), Errno> {
        self.failpoint.step()?;
        fs::renameat(dir, temporary_name(path), dir, path.file_name())?;
        self.failpoint.sync(dir)
    }

    /// Takes away what stands where something of another kind shall stand. What may hold somebody's
    /// work, a folder with entries or a file with bytes, is moved aside and not destroyed.
    ///
    /// # Errors
    /// When it stays.
    pub fn clear_way(&self, path: &HostPath) -> Result<(), FileError> {
        let Some(entry) = self.look(path)? else {
            return Ok(());
        };
        let dir = self.parent_of(path).map_err(io("open folder of", path))?;
        self.check_own(&dir, path, Touch::Entry)?;
        let name = path.file_name();
        let gone = match entry.kind {
            EntryKind::Directory => fs::unlinkat(&dir, name, AtFlags::REMOVEDIR),
            EntryKind::File if entry.size > 0 => Err(Errno::NOTEMPTY),
            EntryKind::File | EntryKind::Special | EntryKind::Symlink => {
                fs::unlinkat(&dir, name, AtFlags::empty())
            }
        };
        match gone {
            Err(Errno::NOTEMPTY | Errno::EXIST) => set_aside(&dir, name, path),
            other => other.map_err(io("remove", path)),
        }
    }

    /// Removes what a crash may have left of a write to `path`.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn sweep(&self, path: &HostPath) -> Result<(), FileError> {
        match self.parent_of(path) {
            Ok(dir) => {
                self.check_own(&dir, path, Touch::Sibling)?;
                self.sweep_in(&dir, path)
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(source) => Err(io("open folder of", path)(source)),
        }
    }

    pub(super) fn sweep_in(&self, dir: &OwnedFd, path: &HostPath) -> Result<(), FileError> {
        let temporary = temporary_name(path);
        let is_folder = fs::statat(dir, temporary.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| Entry::from(&stat).kind == EntryKind::Directory);
        if is_folder {
            // None of ours; left there, it would keep this path from ever being written.
            return set_aside(dir, &temporary, path);
        }
        self.wipe_in(dir, &temporary, path)
    }
}

pub(super) fn set_aside(dir: &OwnedFd, name: &str, path: &HostPath) -> Result<(), FileError> {
    let aside = free_aside(dir, name, path)?;
    tracing::warn!(%path, aside, "something else stood here and was moved aside");
    fs::fsync(dir).map_err(io("sync folder of", path))
}

/// Gives something the first name of what is moved aside that is free, and says which.
pub(super) fn free_aside(dir: &OwnedFd, name: &str, path: &HostPath) -> Result<String, FileError> {
    let hash = ContentHash::of(path.file_name().as_bytes()).to_string();
    for number in 1..1000_u32 {
        let aside = format!(".email-engine.{}.aside-{number}", &hash[..16]);
        match fs::renameat_with(dir, name, dir, aside.as_str(), RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(aside),
            Err(Errno::EXIST) => {}
            Err(source) => return Err(io("move aside", path)(source)),
        }
    }
    Err(FileError::NotEmpty(path.clone()))
}

pub(super) fn write_all(fd: impl AsFd, bytes: &[u8]) -> Result<(), Errno> {
    let clone = fd.as_fd().try_clone_to_owned();
    let mut file = std::fs::File::from(clone.map_err(|_| Errno::MFILE)?);
    file.write_all(bytes)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn new_file(path: &HostPath) -> NewFile<'_> {
        NewFile {
            path,
            mode: 0o640,
            uid: None,
            gid: None,
        }
    }

    #[test]
    fn a_crash_at_any_step_leaves_old_or_new_and_after_the_sweep_no_secret_elsewhere() {
        let secret = b"-----BEGIN PRIVATE KEY-----";
        let path = HostPath::new("/etc/key").unwrap();
        let mut crashes = 0;
        for steps in 0..32 {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("etc")).unwrap();
            std::fs::write(root.path().join("etc/key"), "old").unwrap();
            let tree = Rooted::open(root.path()).unwrap();
            tree.failpoint.die_after(steps);
            let done = tree.replace(&new_file(&path), secret, None).is_ok();
            crashes += u32::from(!done);
            drop(tree);
            let again = Rooted::open(root.path()).unwrap();
            again.sweep(&path).unwrap();
            let now = again.read(&path, 100).unwrap();
            assert!(now == b"old" || now == secret, "after {steps} steps");
            assert!(!done || now == secret);
            let names = again.list(&HostPath::new("/etc").unwrap()).unwrap();
            assert_eq!(names, ["key"], "after {steps} steps");
        }
        assert!(crashes >= 7, "only {crashes} crash points were reached");
    }

    #[test]
    fn the_mode_is_exact_and_a_link_is_replaced_not_followed() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("victim"), "victim").unwrap();
        symlink("victim", root.path().join("key")).unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        let path = HostPath::new("/key").unwrap();
        tree.replace(&new_file(&path), b"new", None).unwrap();
        let entry = tree.look(&path).unwrap().unwrap();
        assert_eq!((entry.kind, entry.mode), (EntryKind::File, 0o640));
        assert_eq!(
            std::fs::read(root.path().join("victim")).unwrap(),
            b"victim"
        );
    }

    #[test]
    fn a_folder_with_entries_is_moved_aside_and_an_empty_one_goes() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/theirs"), "x").unwrap();
        std::fs::create_dir_all(root.path().join("b")).unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        for name in ["/a", "/b"] {
            let path = HostPath::new(name).unwrap();
            tree.replace(&new_file(&path), b"new", None).unwrap();
            assert_eq!(tree.read(&path, 10).unwrap(), b"new");
        }
        let aside: Vec<_> = std::fs::read_dir(root.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("theirs").exists())
            .collect();
        assert_eq!(aside.len(), 1);
    }

    #[test]
    fn a_folder_in_the_place_of_the_temporary_name_is_moved_aside() {
        let root = tempfile::tempdir().unwrap();
        let path = HostPath::new("/key").unwrap();
        let planted = root.path().join(temporary_name(&path));
        std::fs::create_dir(&planted).unwrap();
        std::fs::write(planted.join("theirs"), "x").unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        tree.replace(&new_file(&path), b"new", None).unwrap();
        assert_eq!(tree.read(&path, 10).unwrap(), b"new");
        let names = std::fs::read_dir(root.path()).unwrap();
        let kept = names.filter(|name| name.as_ref().unwrap().path().join("theirs").exists());
        assert_eq!(kept.count(), 1);
        assert!(!planted.exists());
    }

    #[test]
    fn a_refused_copy_leaves_the_old_file_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("config"), "old").unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        let path = HostPath::new("/config").unwrap();
        let mut seen = Vec::new();
        let mut refuse = |staged: &HostPath| {
            seen = tree.read(staged, 100).unwrap();
            Err("syntax error in line 1".to_owned())
        };
        let error = tree
            .replace(&new_file(&path), b"bad", Some(&mut refuse))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "new content of /config was refused: syntax error in line 1"
        );
        assert_eq!(seen, b"bad");
        assert_eq!(tree.read(&path, 10).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_content_is_durable_before_its_name_and_the_name_before_the_end() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().canonicalize().unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        let path = HostPath::new("/key").unwrap();
        for _ in 0..2 {
            tree.replace(&new_file(&path), b"new", None).unwrap();
            let synced = tree.failpoint.take_synced();
            assert_eq!(synced.len(), 2, "{synced:?}");
            assert!(synced[0].parent() == Some(&place) && synced[0] != place.join("key"));
            assert_eq!(synced[1], place);
        }
    }

    /// Root keeps any owner; whoever is not root has no foreign file to replace, and keeps its own.
    #[test]
    fn an_existing_owner_is_kept() {
        use std::os::unix::fs::{MetadataExt, chown};
        let is_root = rustix::process::geteuid().is_root();
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("owned");
        std::fs::write(&file, "old").unwrap();
        if is_root {
            chown(&file, Some(12345), Some(54321)).unwrap();
        } else {
            println!("not root: a foreign owner is not tried");
        }
        let owner = |meta: &std::fs::Metadata| (meta.uid(), meta.gid());
        let before = std::fs::metadata(&file).unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        let path = HostPath::new("/owned").unwrap();
        tree.replace(&new_file(&path), b"new", None).unwrap();
        let after = std::fs::metadata(&file).unwrap();
        assert_ne!(after.ino(), before.ino(), "it was replaced, not rewritten");
        assert_eq!(owner(&after), owner(&before));
        assert_eq!(after.permissions().mode() & 0o7777, 0o640);
        if is_root {
            assert_eq!(owner(&after), (12345, 54321));
            // The half that is asked for changes, the other stays; also for who has no name.
            let asked = NewFile {
                uid: Some(23456),
                mode: 0o4750,
                ..new_file(&path)
            };
            tree.replace(&asked, b"newer", None).unwrap();
            let after = std::fs::metadata(&file).unwrap();
            assert_eq!(owner(&after), (23456, 54321));
            assert_eq!(after.permissions().mode() & 0o7777, 0o4750);
        }
    }
}
