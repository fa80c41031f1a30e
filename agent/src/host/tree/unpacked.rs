//! A folder that is filled beside its place and swapped in whole: whoever looks sees the old tree or the
//! new one.
//!
//! Everything in it is made by names below the opened folder, one by one and without following links, so
//! that nothing that was put there before leads out of it. What a crash leaves lies under a name that
//! follows from the path, and is removed before the next attempt.

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io::{self as stdio, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::HostPath;
use rustix::fs::{self, AtFlags, Dir, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::own::Touch;
use super::replace::free_aside;
use super::rooted::{Entry, EntryKind, FileError, Rooted, io};

/// Deepest tree that is removed.
const DEPTH: u32 = 256;
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Access of something that is made.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Permission bits.
    pub mode: u32,
    /// Owning user; ours when absent.
    pub uid: Option<u32>,
    /// Owning group; ours when absent.
    pub gid: Option<u32>,
}

/// A folder in the making.
#[derive(Debug)]
pub struct Unpacked<'a> {
    tree: &'a Rooted,
    path: &'a HostPath,
    parent: OwnedFd,
    folder: OwnedFd,
    wanted: Wanted,
    folders: Cell<u64>,
    is_swapped: bool,
}

fn staged_name(path: &HostPath) -> String {
    let hash = ContentHash::of(path.file_name().as_bytes()).to_string();
    format!(".email-engine.{}.unpack", &hash[..16])
}

fn give(fd: &OwnedFd, wanted: Wanted, mode: u32) -> Result<(), Errno> {
    if wanted.uid.is_some() || wanted.gid.is_some() {
        let (uid, gid) = (wanted.uid, wanted.gid);
        fs::fchown(fd, uid.map(fs::Uid::from_raw), gid.map(fs::Gid::from_raw))?;
    }
    fs::fchmod(fd, Mode::from_raw_mode(mode))
}

impl Rooted {
    /// Begins a folder beside the place where it shall stand. Its folders get this access.
    ///
    /// # Errors
    /// When it cannot be made there, or the place is the agent's own.
    pub fn unpack_beside<'a>(
        &'a self,
        path: &'a HostPath,
        wanted: Wanted,
    ) -> Result<Unpacked<'a>, FileError> {
        self.make_parents(path)?;
        let parent = self.parent_of(path).map_err(io("open folder of", path))?;
        self.check_own(&parent, path, Touch::Entry)?;
        let name = staged_name(path);
        remove_in(&parent, &name, DEPTH).map_err(io("remove a cut off copy of", path))?;
        self.failpoint.step().map_err(io("make", path))?;
        fs::mkdirat(&parent, name.as_str(), Mode::RWXU).map_err(io("make", path))?;
        let folder = fs::openat(&parent, name.as_str(), FOLDER, Mode::empty());
        Ok(Unpacked {
            tree: self,
            path,
            folder: folder.map_err(io("open", path))?,
            parent,
            wanted,
            folders: Cell::new(0),
            is_swapped: false,
        })
    }

    /// Removes what a crash may have left beside the path: a folder in the making, or the one whose place
    /// it took.
    ///
    /// # Errors
    /// When it is there and stays.
    pub fn sweep_unpacked(&self, path: &HostPath) -> Result<(), FileError> {
        let parent = match self.parent_of(path) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(source) => return Err(io("open folder of", path)(source)),
        };
        self.check_own(&parent, path, Touch::Sibling)?;
        remove_in(&parent, &staged_name(path), DEPTH).map_err(io("remove a cut off copy of", path))
    }

    /// Removes a folder with all that is in it; one that is gone already is fine. First it gets a name
    /// of ours: whoever opens the path meanwhile finds the whole folder or none.
    ///
    /// # Errors
    /// When it stays, or something else is mounted in it.
    pub fn remove_unpacked(&self, path: &HostPath) -> Result<(), FileError> {
        let parent = match self.parent_of(path) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(source) => return Err(io("open folder of", path)(source)),
        };
        self.check_own(&parent, path, Touch::Entry)?;
        let name = staged_name(path);
        remove_in(&parent, &name, DEPTH).map_err(io("remove", path))?;
        self.failpoint.step().map_err(io("remove", path))?;
        match fs::renameat(&parent, path.file_name(), &parent, name.as_str()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(source) => return Err(io("remove", path)(source)),
        }
        remove_in(&parent, &name, DEPTH).map_err(io("remove", path))?;
        fs::fsync(&parent).map_err(io("sync folder of", path))
    }
}

impl Unpacked<'_> {
    /// Makes a folder and those above it, as far as they are not there.
    ///
    /// # Errors
    /// When one cannot be made, or something else stands there.
    pub fn folder(&self, names: &[String]) -> stdio::Result<()> {
        self.enter(names).map(drop).map_err(Into::into)
    }

    /// How many folders were made in it so far, also those that no entry names.
    #[must_use]
    pub fn folders(&self) -> u64 {
        self.folders.get()
    }

    fn enter(&self, names: &[String]) -> Result<OwnedFd, Errno> {
        let mut here = fs::openat(&self.folder, ".", FOLDER, Mode::empty())?;
        for name in names {
            let made = fs::mkdirat(&here, name.as_str(), Mode::RWXU);
            if !matches!(made, Ok(()) | Err(Errno::EXIST)) {
                made?;
            }
            let inner = fs::openat(&here, name.as_str(), FOLDER, Mode::empty())?;
            if made.is_ok() {
                self.folders.set(self.folders.get() + 1);
                give(&inner, self.wanted, self.wanted.mode)?;
            }
            here = inner;
        }
        Ok(here)
    }

    /// Makes a file that is not there yet. Says how many bytes it has.
    ///
    /// # Errors
    /// When it is there already, or cannot be read or written.
    pub fn file(&self, names: &[String], mode: u32, from: &mut dyn Read) -> stdio::Result<u64> {
        self.file_of(names, mode, self.wanted.gid, from)
    }

    /// The same of a group of its own.
    ///
    /// # Errors
    /// When it is there already, or cannot be read or written.
    pub fn file_of(
        &self,
        names: &[String],
        mode: u32,
        gid: Option<u32>,
        from: &mut dyn Read,
    ) -> stdio::Result<u64> {
        let (name, above) = last_of(names)?;
        let dir = self.enter(above)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY;
        let flags = flags | OFlags::CLOEXEC;
        let fd = fs::openat(&dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut out = std::fs::File::from(fd);
        let length = stdio::copy(from, &mut out)?;
        out.flush()?;
        give(&out.into(), Wanted { gid, ..self.wanted }, mode)?;
        Ok(length)
    }

    /// Makes a symbolic link that is not there yet.
    ///
    /// # Errors
    /// When something is there already.
    pub fn link(&self, names: &[String], target: &str) -> stdio::Result<()> {
        let (name, above) = last_of(names)?;
        let dir = self.enter(above)?;
        fs::symlinkat(target, &dir, name)?;
        if self.wanted.uid.is_some() || self.wanted.gid.is_some() {
            let (uid, gid) = (self.wanted.uid, self.wanted.gid);
            let (uid, gid) = (uid.map(fs::Uid::from_raw), gid.map(fs::Gid::from_raw));
            fs::chownat(&dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// Whether something is there at this place, once this folder is in its own.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn holds(&self, place: &HostPath) -> Result<bool, FileError> {
        if !place.is_within(self.path) {
            return Ok(false);
        }
        let inside = &place.as_str()[self.path.as_str().len()..];
        Ok(self.tree.look(&self.staged(inside)?)?.is_some())
    }

    /// What is in it, without what is in its folders.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> Result<Vec<String>, FileError> {
        self.tree.list(&self.staged("")?)
    }

    fn staged(&self, inside: &str) -> Result<HostPath, FileError> {
        let folder = self.path.parent();
        let folder = folder.as_ref().map_or("", HostPath::as_str);
        let name = staged_name(self.path);
        HostPath::new(format!("{folder}/{name}{inside}"))
            .map_err(|_| io("name a copy of", self.path)(Errno::NAMETOOLONG))
    }

    /// Puts it into its place, durably. What stood there goes when `replaces` says that it was of our
    /// making, and is moved aside otherwise: in the same step, so that nothing that comes between takes it
    /// for a copy of ours.
    ///
    /// # Errors
    /// When a step fails; then the old state stands.
    pub fn swap_in(mut self, replaces: bool) -> Result<(), FileError> {
        let path = self.path;
        let mut name = staged_name(path);
        self.finish()?;
        let stands = self.tree.look(path)?;
        let is_folder = stands.is_some_and(|entry| entry.kind == EntryKind::Directory);
        if stands.is_some() && !is_folder {
            self.tree.clear_way(path)?;
        }
        let flags = if is_folder {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        let is_somebodys = is_folder && !replaces;
        if is_somebodys {
            // What the exchange leaves there is never taken for a copy of ours, whatever comes between.
            name = free_aside(&self.parent, &name, path)?;
        }
        let done = self.rename(&name, flags);
        if done.is_err() && !self.is_swapped && is_somebodys {
            // Back to where the next attempt clears it away.
            let _ = fs::renameat(&self.parent, name.as_str(), &self.parent, staged_name(path));
        }
        done?;
        if !is_folder {
            return Ok(());
        }
        if replaces {
            return remove_in(&self.parent, &name, DEPTH).map_err(io("remove what was at", path));
        }
        // Empty, it is nobody's work.
        if fs::unlinkat(&self.parent, name.as_str(), AtFlags::REMOVEDIR).is_err() {
            tracing::warn!(%path, aside = name, "something else stood here and was moved aside");
        }
        Ok(())
    }

    /// Puts it into its place, durably, where nothing or an empty folder stands.
    ///
    /// # Errors
    /// When a step fails, or anything else stands there; then that stays where it is.
    pub fn swap_in_new(mut self) -> Result<(), FileError> {
        self.finish()?;
        self.tree.remove_folder(self.path)?;
        self.rename(&staged_name(self.path), RenameFlags::NOREPLACE)
    }

    fn finish(&self) -> Result<(), FileError> {
        let path = self.path;
        give(&self.folder, self.wanted, self.wanted.mode).map_err(io("set the mode of", path))?;
        // One for all of its files: thousands of their own would take minutes.
        fs::syncfs(&self.folder).map_err(io("sync", path))?;
        self.tree.failpoint.step().map_err(io("replace", path))
    }

    fn rename(&mut self, name: &str, flags: RenameFlags) -> Result<(), FileError> {
        let (path, parent) = (self.path, &self.parent);
        fs::renameat_with(parent, name, parent, path.file_name(), flags)
            .map_err(io("replace", path))?;
        self.is_swapped = true;
        let done = self.tree.failpoint.sync(parent.as_fd());
        done.map_err(io("sync folder of", path))
    }
}

impl Drop for Unpacked<'_> {
    fn drop(&mut self) {
        if !self.is_swapped
            && let Err(error) = remove_in(&self.parent, &staged_name(self.path), DEPTH)
        {
            tracing::warn!(path = %self.path, %error, "what was unpacked so far stays for now");
        }
    }
}

fn last_of(names: &[String]) -> stdio::Result<(&str, &[String])> {
    let (name, above) = names.split_last().ok_or(Errno::INVAL)?;
    Ok((name, above))
}

/// Removes what is there under a name, with all that is in it, on one file system.
fn remove_in(dir: &OwnedFd, name: &str, depth: u32) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    remove_named(dir, &name, depth)
}

/// Names need not be text.
fn remove_named(dir: &OwnedFd, name: &CStr, depth: u32) -> Result<(), Errno> {
    let stat = match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    };
    if Entry::from(&stat).kind != EntryKind::Directory {
        return fs::unlinkat(dir, name, AtFlags::empty());
    }
    if stat.st_dev != fs::fstat(dir)?.st_dev || depth == 0 {
        return Err(Errno::XDEV);
    }
    let folder = fs::openat(dir, name, FOLDER, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    for inner in names {
        remove_named(&folder, &inner, depth - 1)?;
    }
    drop(folder);
    fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> HostPath {
        HostPath::new(text).unwrap()
    }

    fn names(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    const WANTED: Wanted = Wanted {
        mode: 0o755,
        uid: None,
        gid: None,
    };

    #[test]
    fn a_crash_at_any_step_leaves_the_old_tree_or_the_new_one() {
        let at = path("/srv/app");
        let mut crashes = 0;
        for steps in 0..8 {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(root.path().join("srv/app")).unwrap();
            std::fs::write(root.path().join("srv/app/old"), "old").unwrap();
            let tree = Rooted::open(root.path()).unwrap();
            tree.failpoint.die_after(steps);
            let done = tree.unpack_beside(&at, WANTED).and_then(|new| {
                new.file(&names("in/new"), 0o644, &mut &b"new"[..]).unwrap();
                new.swap_in(true)
            });
            crashes += u32::from(done.is_err());
            let again = Rooted::open(root.path()).unwrap();
            let (old, new) = (path("/srv/app/old"), path("/srv/app/in/new"));
            let stands = |one| again.look(one).unwrap().is_some();
            assert!(stands(&old) != stands(&new), "after {steps} steps");
            again
                .unpack_beside(&at, WANTED)
                .unwrap()
                .swap_in(true)
                .unwrap();
            assert_eq!(again.list(&path("/srv")).unwrap(), ["app"]);
        }
        assert!(crashes >= 3, "only {crashes} crash points were reached");
    }

    #[test]
    fn a_crash_at_any_step_loses_nothing_of_somebodys_folder() {
        let at = path("/srv/app");
        for steps in 0..8 {
            let root = tempfile::tempdir().unwrap();
            let srv = root.path().join("srv");
            std::fs::create_dir_all(srv.join("app")).unwrap();
            std::fs::write(srv.join("app/work"), "work").unwrap();
            let tree = Rooted::open(root.path()).unwrap();
            tree.failpoint.die_after(steps);
            let begun = tree.unpack_beside(&at, WANTED);
            drop(begun.and_then(|new| new.swap_in(false)));
            // What comes next clears away whatever it takes for a copy of ours.
            let again = Rooted::open(root.path()).unwrap();
            let new = again.unpack_beside(&at, WANTED).unwrap();
            new.swap_in(false).unwrap();
            let mut all = std::fs::read_dir(&srv).unwrap();
            let is_there = all.any(|one| one.unwrap().path().join("work").exists());
            assert!(is_there, "after {steps} steps");
        }
    }

    #[test]
    fn what_has_entries_or_is_no_folder_is_not_moved_for_a_new_tree() {
        let at = path("/srv/app");
        let root = tempfile::tempdir().unwrap();
        let app = root.path().join("srv/app");
        let tree = Rooted::open(root.path()).unwrap();
        let swap = || tree.unpack_beside(&at, WANTED).unwrap().swap_in_new();
        std::fs::create_dir_all(&app).unwrap();
        swap().unwrap();
        std::fs::write(app.join("work"), "work").unwrap();
        assert!(matches!(swap(), Err(FileError::NotEmpty(_))));
        assert!(app.join("work").exists());
        std::fs::remove_dir_all(&app).unwrap();
        std::os::unix::fs::symlink("/elsewhere", &app).unwrap();
        assert!(swap().is_err());
        assert_eq!(tree.read_link(&at).unwrap().unwrap(), "/elsewhere");
        assert_eq!(tree.list(&path("/srv")).unwrap(), ["app"]);
    }

    #[test]
    fn a_tree_with_names_that_are_no_text_is_removed() {
        use std::os::unix::ffi::OsStrExt as _;
        let root = tempfile::tempdir().unwrap();
        let odd = root
            .path()
            .join("app")
            .join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        std::fs::create_dir_all(odd.join("in")).unwrap();
        std::fs::write(odd.join("in/file"), "x").unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        tree.remove_unpacked(&path("/app")).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_name_leads_through_a_link_and_nothing_is_made_twice() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        let at = path("/app");
        let new = tree.unpack_beside(&at, WANTED).unwrap();
        new.link(&names("way"), outside.path().to_str().unwrap())
            .unwrap();
        assert!(new.file(&names("way/out"), 0o644, &mut &b"x"[..]).is_err());
        assert!(new.folder(&names("way/in")).is_err());
        new.file(&names("a/b"), 0o644, &mut &b"x"[..]).unwrap();
        assert!(new.file(&names("a/b"), 0o644, &mut &b"y"[..]).is_err());
        assert!(new.file(&names("a/b/c"), 0o644, &mut &b"y"[..]).is_err());
        new.swap_in(false).unwrap();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        tree.remove_unpacked(&at).unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_somebodys_is_moved_aside() {
        let root = tempfile::tempdir().unwrap();
        let tree = Rooted::open(root.path()).unwrap();
        let at = path("/app");
        std::fs::create_dir(root.path().join("app")).unwrap();
        std::fs::write(root.path().join("app/work"), "work").unwrap();
        tree.unpack_beside(&at, WANTED)
            .unwrap()
            .swap_in(false)
            .unwrap();
        assert!(tree.list(&at).unwrap().is_empty());
        let aside = std::fs::read_dir(root.path()).unwrap();
        let mut aside = aside.map(|entry| entry.unwrap().path());
        assert!(aside.any(|one| std::fs::read(one.join("work")).is_ok()));
    }
}
