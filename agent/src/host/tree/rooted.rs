//! A tree of files that no path leads out of.
//!
//! Every folder is opened with `openat2(RESOLVE_IN_ROOT)`, so that symlinks, absolute ones too, and
//! `..` stay below the root; the last component is then used with `*at` calls that do not follow
//! links. In a sandbox and in the agent's own folder every link on the way is followed so; on a real
//! machine only those that nobody but root can have put there ([`Links`]). A real machine is the tree at `/`, a sandbox the tree at a folder, the agent's own data
//! a third: one implementation, one set of tests.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use email_engine_protocol::desired::HostPath;
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::failpoint::Failpoint;
use super::links;
use super::own::{OwnPlaces, Touch};

/// Why something could not be done to a file or folder.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Its answer.
        source: Errno,
    },
    /// Somebody's symbolic link stands above it.
    #[error(
        "cannot {action} {path}: a symbolic link above it is not root's alone and not followed, or \
         there are too many"
    )]
    Link {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
    },
    /// A folder that shall go still has entries.
    #[error("{0} is not empty")]
    NotEmpty(HostPath),
    /// Something else than a regular file.
    #[error("{0} is not a regular file")]
    NotRegular(HostPath),
    /// The agent's own, by a name that the allow-list could not know.
    #[error(
        "{path} is, holds or lies in the agent's own {} by another name, which no state may touch",
        own.display()
    )]
    Own {
        /// What it is called here.
        path: HostPath,
        /// What it is.
        own: PathBuf,
    },
    /// Larger than it may be.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// Which file.
        path: HostPath,
        /// The bound.
        limit: u64,
    },
    /// The staged copy was refused by its validator.
    #[error("new content of {path} was refused: {reason}")]
    Refused {
        /// Which file.
        path: HostPath,
        /// What the validator said.
        reason: String,
    },
}

pub(super) fn unread(path: &HostPath, error: &std::io::Error) -> FileError {
    io("read", path)(Errno::from_io_error(error).unwrap_or(Errno::IO))
}

pub(super) fn io(action: &'static str, path: &HostPath) -> impl FnOnce(Errno) -> FileError {
    let path = path.to_string();
    move |source| match source {
        Errno::LOOP => FileError::Link { action, path },
        source => FileError::Io {
            action,
            path,
            source,
        },
    }
}

/// Which symbolic links above a path are followed; always inside the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// All: nobody's word counts for more than anybody else's there.
    All,
    /// Those that only these users can have put there.
    Of([u32; 2]),
}

/// What stands at a path, the last component not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What kind of thing.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Names that lead to it.
    pub links: u64,
}

/// The kinds that matter to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File,
    /// Socket, pipe, device.
    Special,
    /// A symbolic link.
    Symlink,
}

impl EntryKind {
    /// For diffs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File => "a regular file",
            Self::Special => "a special file",
            Self::Symlink => "a symbolic link",
        }
    }
}

impl From<&Stat> for Entry {
    fn from(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => EntryKind::Directory,
            FileType::RegularFile => EntryKind::File,
            FileType::Symlink => EntryKind::Symlink,
            _ => EntryKind::Special,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            links: stat.st_nlink,
        }
    }
}

/// The tree.
#[derive(Debug)]
pub struct Rooted {
    pub(super) root: OwnedFd,
    pub(super) links: Links,
    /// What is refused whatever it is called.
    pub(super) own: OwnPlaces,
    pub(in crate::host) failpoint: Failpoint,
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Rooted {
    /// Opens the tree at a folder.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn open(root: &Path) -> Result<Self, FileError> {
        Self::with_links(root, Links::All)
    }

    /// Opens the machine's own tree, in which root's links and those of our own user are followed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn machine() -> Result<Self, FileError> {
        let ours = rustix::process::geteuid().as_raw();
        Self::with_links(Path::new("/"), Links::Of([0, ours]))
    }

    pub(super) fn with_links(root: &Path, links: Links) -> Result<Self, FileError> {
        let root = fs::open(root, FOLDER, Mode::empty()).map_err(|source| FileError::Io {
            action: "open",
            path: root.display().to_string(),
            source,
        })?;
        Ok(Self {
            root,
            links,
            own: OwnPlaces::new(),
            failpoint: Failpoint::default(),
        })
    }

    /// What stands at a path; nothing when it or a folder above it is missing.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn look(&self, path: &HostPath) -> Result<Option<Entry>, FileError> {
        Ok(self.look_closely(path)?.map(|looked| looked.entry))
    }

    /// Reads a regular file of at most `limit` bytes; never follows a link, never waits on a pipe.
    ///
    /// # Errors
    /// When it is missing, something else, larger or unreadable.
    pub fn read(&self, path: &HostPath, limit: u64) -> Result<Vec<u8>, FileError> {
        let looked = self.look_closely(path)?;
        let looked = looked.ok_or_else(|| io("read", path)(Errno::NOENT))?;
        looked.read(path, limit)
    }

    /// At most so many bytes of a regular file from a place in it on.
    ///
    /// # Errors
    /// When it is something else or cannot be read.
    pub fn read_from(
        &self,
        path: &HostPath,
        offset: u64,
        limit: u64,
    ) -> Result<Vec<u8>, FileError> {
        let (mut file, _) = self.open_file(path)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| unread(path, &error))?;
        Ok(bytes)
    }

    /// A regular file with its size.
    fn open_file(&self, path: &HostPath) -> Result<(File, u64), FileError> {
        let looked = self.look_closely(path)?;
        looked
            .ok_or_else(|| io("read", path)(Errno::NOENT))?
            .open(path)
    }

    /// Names in a folder, in order, without `.` and `..`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(&self, path: &HostPath) -> Result<Vec<String>, FileError> {
        let dir = self.folder(Some(path)).map_err(io("list", path))?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir).map_err(io("list", path))? {
            let entry = entry.map_err(io("list", path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Makes every missing folder above `path`, 0755. They are nobody's: nothing removes them.
    ///
    /// # Errors
    /// When one cannot be made, or something that is no folder is in the way.
    pub fn make_parents(&self, path: &HostPath) -> Result<(), FileError> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        match self.folder(Some(&parent)) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => {}
            Err(source) => return Err(io("open", &parent)(source)),
        }
        self.make_parents(&parent)?;
        let dir = self
            .parent_of(&parent)
            .map_err(io("open folder of", &parent))?;
        self.check_own(&dir, &parent, Touch::Folder)?;
        match fs::mkdirat(&dir, parent.file_name(), Mode::from_raw_mode(0o755)) {
            // What is synced in it later would be lost with it.
            Ok(()) => fs::fsync(&dir).map_err(io("sync folder of", &parent))?,
            Err(Errno::EXIST) => {}
            Err(source) => return Err(io("make", &parent)(source)),
        }
        self.folder(Some(&parent)).map_err(io("open", &parent))?;
        Ok(())
    }

    /// Makes one folder, open to nobody else until its mode is set.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_folder(&self, path: &HostPath) -> Result<(), FileError> {
        self.make_parents(path)?;
        let dir = self.parent_of(path).map_err(io("open folder of", path))?;
        self.check_own(&dir, path, Touch::Folder)?;
        fs::mkdirat(&dir, path.file_name(), Mode::RWXU).map_err(io("make", path))?;
        fs::fsync(&dir).map_err(io("sync folder of", path))
    }

    /// Sets mode and, where given, owner and group of what stands at `path`: something of this kind,
    /// and a file with no other name, which may have been put here meanwhile to be given away.
    ///
    /// # Errors
    /// When it is something else, or the system refuses.
    pub fn set_access(
        &self,
        path: &HostPath,
        kind: EntryKind,
        mode: u32,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), FileError> {
        let dir = self.parent_of(path).map_err(io("open folder of", path))?;
        self.check_own(&dir, path, Touch::Access { mode, uid })?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            fs::openat(&dir, path.file_name(), flags, Mode::empty()).map_err(io("open", path))?;
        let entry = Entry::from(&fs::fstat(&fd).map_err(io("look at", path))?);
        if entry.kind != kind || (kind == EntryKind::File && entry.links != 1) {
            return Err(io("set the mode of", path)(Errno::PERM));
        }
        // fchmod refuses O_PATH descriptors; through /proc it reaches this very inode.
        let itself = format!("/proc/self/fd/{}", fd.as_raw_fd());
        if uid.is_some() || gid.is_some() {
            fs::chownat(
                fs::CWD,
                itself.as_str(),
                uid.map(fs::Uid::from_raw),
                gid.map(fs::Gid::from_raw),
                AtFlags::empty(),
            )
            .map_err(io("set the owner of", path))?;
        }
        fs::chmod(itself.as_str(), Mode::from_raw_mode(mode)).map_err(io("set the mode of", path))
    }

    /// The folder at `path`, or the root, opened below the root whatever links say.
    pub(crate) fn folder(&self, path: Option<&HostPath>) -> Result<OwnedFd, Errno> {
        let relative = path.map_or(".", |path| &path.as_str()[1..]);
        let mut tries = 0;
        let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = match self.links {
            Links::All => flags,
            Links::Of(_) => flags | ResolveFlags::NO_SYMLINKS,
        };
        loop {
            match fs::openat2(&self.root, relative, FOLDER, Mode::empty(), flags) {
                // The kernel asks to try again when somebody renames folders meanwhile.
                Err(Errno::AGAIN) if tries < 64 => tries += 1,
                Err(Errno::LOOP) => {
                    return match self.links {
                        Links::All => Err(Errno::LOOP),
                        Links::Of(users) => links::walk(&self.root, relative, &users),
                    };
                }
                other => return other,
            }
        }
    }

    pub(crate) fn parent_of(&self, path: &HostPath) -> Result<OwnedFd, Errno> {
        self.folder(path.parent().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> HostPath {
        HostPath::new(text).unwrap()
    }

    #[test]
    fn links_out_of_the_root_stay_inside_it() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("passwd"), "outside").unwrap();
        let inside = tempfile::tempdir().unwrap();
        symlink(outside.path(), inside.path().join("absolute")).unwrap();
        symlink("../../../../../etc", inside.path().join("relative")).unwrap();
        let tree = Rooted::open(inside.path()).unwrap();
        assert_eq!(tree.look(&path("/absolute/passwd")).unwrap(), None);
        assert_eq!(tree.look(&path("/relative/passwd")).unwrap(), None);
        std::fs::create_dir(inside.path().join("etc")).unwrap();
        std::fs::write(inside.path().join("etc/passwd"), "inside").unwrap();
        assert_eq!(
            tree.read(&path("/relative/passwd"), 100).unwrap(),
            b"inside"
        );
        assert!(tree.make_parents(&path("/absolute/x/y")).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_last_component_is_never_followed() {
        let inside = tempfile::tempdir().unwrap();
        std::fs::write(inside.path().join("target"), "x").unwrap();
        symlink("target", inside.path().join("link")).unwrap();
        let tree = Rooted::open(inside.path()).unwrap();
        let entry = tree.look(&path("/link")).unwrap().unwrap();
        assert_eq!(entry.kind, EntryKind::Symlink);
        assert!(matches!(
            tree.read(&path("/link"), 10),
            Err(FileError::NotRegular(_))
        ));
        let set = |at: &str, kind| tree.set_access(&path(at), kind, 0o777, None, None);
        assert!(set("/link", EntryKind::File).is_err());
        assert!(set("/target", EntryKind::Directory).is_err());
        assert!(set("/target", EntryKind::File).is_ok());
        std::fs::hard_link(inside.path().join("target"), inside.path().join("other")).unwrap();
        assert!(set("/target", EntryKind::File).is_err());
    }

    #[test]
    fn a_file_over_the_bound_and_a_pipe_are_refused() {
        let inside = tempfile::tempdir().unwrap();
        std::fs::write(inside.path().join("big"), "12345").unwrap();
        let tree = Rooted::open(inside.path()).unwrap();
        assert!(matches!(
            tree.read(&path("/big"), 4),
            Err(FileError::TooLarge { .. })
        ));
        let dir = tree.folder(None).unwrap();
        fs::mknodat(&dir, "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(matches!(
            tree.read(&path("/pipe"), 4),
            Err(FileError::NotRegular(_))
        ));
    }
}
