//! The agent's own files and folders, by what they are and not by what they are called.
//!
//! The allow-list refuses their names before a state is accepted. The same folder may have more
//! names than anybody lists: a symbolic link that root put above a managed path, a bind mount,
//! another spelling. So whoever changes something here compares, at that moment and with the folder
//! in hand that is changed, device and inode: of this folder and of every folder above it up to the
//! tree's root, and of what stands at the name. A folder is entered by `..` of the opened one, so a
//! link that is swapped meanwhile changes nothing.
//!
//! Refused is what lies in or is one of the agent's own, and what leads there: a folder above them
//! may have its access set, and stays root's alone; a link on the way may not be replaced at all.
//!
//! What this cannot see is the same bytes under another device: a folder that lies below an overlay
//! and is reached beside it, or a network share of this machine's own disk. And it is about files:
//! commands and packages are bounded by the allow-list alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use email_engine_protocol::desired::HostPath;
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::rooted::{Entry, EntryKind, FileError, Rooted, io};

/// As many links as the kernel follows (path_resolution(7)).
const LINKS: u32 = 40;
/// No path has more components.
const DEPTH: u32 = 4096;
/// The agent's own folders have few entries where they have folders; the rest are contents by hash.
const LISTED: usize = 64;
const OTHERS_WRITE: u32 = 0o022;

/// Device and inode.
type Id = (u64, u64);

/// The agent's own, as the agent itself calls them.
pub type OwnPlaces = Vec<PathBuf>;

/// What shall be done to the name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Touch {
    /// It gets this access.
    Access { mode: u32, uid: Option<u32> },
    /// It is replaced, moved or removed.
    Entry,
    /// It is made, a folder.
    Folder,
    /// Nothing: something beside it.
    Sibling,
}

/// How they stand now.
#[derive(Debug, Default)]
struct Own<'a> {
    /// Files and folders that are the agent's.
    inside: BTreeMap<Id, &'a Path>,
    /// Folders and links that lead to them.
    ways: BTreeMap<Id, &'a Path>,
    /// Names that are not there yet and would be the agent's, by their folder.
    leaves: BTreeMap<(Id, OsString), &'a Path>,
    /// Names that are not there yet and would lead to them.
    gaps: BTreeMap<(Id, OsString), &'a Path>,
}

impl Rooted {
    /// Refuses to touch the agent's own from now on, whatever they are called in this tree.
    pub fn spare(&mut self, own: OwnPlaces) {
        self.own = own;
    }

    /// Whether something may be done to the last name of `path` in its opened folder.
    pub(super) fn check_own(
        &self,
        dir: &OwnedFd,
        path: &HostPath,
        touch: Touch,
    ) -> Result<(), FileError> {
        if self.own.is_empty() {
            return Ok(());
        }
        let own = Own::look(&self.own);
        let found = self
            .own_above(dir, &own)
            .and_then(|above| match above {
                Some(place) => Ok(Some(place)),
                None => own.at(dir, path.file_name(), touch),
            })
            .map_err(io("compare with the agent's own", path))?;
        found.map_or(Ok(()), |place| {
            Err(FileError::Own {
                path: path.clone(),
                own: place.to_owned(),
            })
        })
    }

    /// Which of the agent's own a folder lies in.
    fn own_above<'a>(&self, dir: &OwnedFd, own: &Own<'a>) -> Result<Option<&'a Path>, Errno> {
        let root = id(&fs::fstat(&self.root)?);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut here = fs::openat(dir, ".", flags, Mode::empty())?;
        for _ in 0..DEPTH {
            let at = id(&fs::fstat(&here)?);
            if let Some(place) = own.inside.get(&at) {
                return Ok(Some(place));
            }
            let above = fs::openat(&here, "..", flags, Mode::empty())?;
            if at == root || id(&fs::fstat(&above)?) == at {
                return Ok(None);
            }
            here = above;
        }
        Err(Errno::NAMETOOLONG)
    }
}

impl<'a> Own<'a> {
    fn look(places: &'a [PathBuf]) -> Self {
        let mut own = Self::default();
        for place in places {
            own.trace(place);
        }
        own
    }

    /// Walks to a place as the kernel does, and remembers every step.
    fn trace(&mut self, place: &'a Path) {
        let Ok(absolute) = std::path::absolute(place) else {
            return;
        };
        let mut here = PathBuf::from("/");
        let mut left = components(&absolute);
        let mut followed = 0;
        while let Some(name) = left.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let last = left.is_empty();
            let next = here.join(&name);
            let Ok(meta) = next.symlink_metadata() else {
                if let Ok(folder) = here.symlink_metadata() {
                    let names = if last {
                        &mut self.leaves
                    } else {
                        &mut self.gaps
                    };
                    names.insert((id_of(&folder), name), place);
                }
                return;
            };
            if meta.is_symlink() && followed < LINKS {
                followed += 1;
                self.ways.insert(id_of(&meta), place);
                let Ok(target) = next.read_link() else { return };
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                left.extend(components(&target));
            } else if last {
                self.inside.insert(id_of(&meta), place);
                if meta.is_dir() {
                    self.enter(&next, place);
                }
            } else {
                self.ways.insert(id_of(&meta), place);
                here = next;
            }
        }
    }

    /// The folders in one of the agent's own: any of them may be mounted elsewhere.
    fn enter(&mut self, folder: &Path, place: &'a Path) {
        let Ok(entries) = folder.read_dir() else {
            return;
        };
        for entry in entries.take(LISTED).flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && let Ok(meta) = entry.metadata()
                && self.inside.insert(id_of(&meta), place).is_none()
            {
                self.enter(&entry.path(), place);
            }
        }
    }

    /// Which of them is touched by name, or stands at the name.
    fn at(&self, dir: &OwnedFd, name: &str, touch: Touch) -> Result<Option<&'a Path>, Errno> {
        if matches!(touch, Touch::Sibling) {
            return Ok(None);
        }
        let key = (id(&fs::fstat(dir)?), OsString::from(name));
        if let Some(place) = self.leaves.get(&key) {
            return Ok(Some(place));
        }
        if let (Some(place), Touch::Entry) = (self.gaps.get(&key), touch) {
            return Ok(Some(place));
        }
        let stat = match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = id(&stat);
        if let Some(place) = self.inside.get(&found) {
            return Ok(Some(place));
        }
        if !touch.keeps_closed()
            && let Some(place) = self.ways.get(&found)
        {
            return Ok(Some(place));
        }
        let entry = Entry::from(&stat);
        Ok((entry.kind == EntryKind::File && entry.links > 1)
            .then(|| self.file_with(found))
            .flatten())
    }

    /// Whose file has this inode under another name.
    fn file_with(&self, wanted: Id) -> Option<&'a Path> {
        let places: BTreeSet<&'a Path> = self.inside.values().copied().collect();
        places.into_iter().find(|place| holds(place, wanted))
    }
}

impl Touch {
    /// Whether a folder above the agent's own stays root's alone.
    fn keeps_closed(self) -> bool {
        let ours = rustix::process::geteuid().as_raw();
        match self {
            Self::Access { mode, uid } => {
                mode & OTHERS_WRITE == 0 && uid.is_none_or(|uid| uid == 0 || uid == ours)
            }
            Self::Entry | Self::Folder | Self::Sibling => false,
        }
    }
}

fn holds(folder: &Path, wanted: Id) -> bool {
    let Ok(entries) = folder.read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| {
        let Ok(meta) = entry.metadata() else {
            return false;
        };
        id_of(&meta) == wanted || (meta.is_dir() && holds(&entry.path(), wanted))
    })
}

/// The names of a path, the last one first, so that they can be taken from the end.
fn components(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::CurDir | Component::Prefix(_) | Component::RootDir => None,
    };
    path.components().rev().filter_map(name).collect()
}

#[expect(
    clippy::unnecessary_cast,
    reason = "other architectures have other types"
)]
const fn id(stat: &Stat) -> Id {
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn id_of(meta: &Metadata) -> Id {
    (meta.dev(), meta.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::replace::NewFile;
    use super::*;

    struct Host {
        dir: tempfile::TempDir,
        tree: Rooted,
    }

    fn path(text: &str) -> HostPath {
        HostPath::new(text).unwrap()
    }

    impl Host {
        /// A machine whose agent has a data folder, a file that is there and one that is not.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            std::fs::create_dir_all(at("lib/agent/executor/ledger")).unwrap();
            std::fs::create_dir_all(at("etc/engine")).unwrap();
            std::fs::write(at("lib/agent/executor/keys"), "secret").unwrap();
            std::fs::write(at("etc/engine/agent.toml"), "setting").unwrap();
            let tree = Self::tree(dir.path(), dir.path());
            Self { dir, tree }
        }

        /// A tree at `root` that spares the agent below `dir`.
        fn tree(root: &Path, dir: &Path) -> Rooted {
            let mut tree = Rooted::open(root).unwrap();
            let own = [
                "lib/agent",
                "etc/engine/agent.toml",
                "etc/engine/allow.toml",
            ];
            tree.spare(own.map(|name| dir.join(name)).into());
            tree
        }

        fn link(&self, target: &str, name: &str) {
            symlink(target, self.dir.path().join(name)).unwrap();
        }

        /// Everything below the folder, with its mode and content.
        fn everything(&self) -> BTreeMap<PathBuf, (u32, Option<Vec<u8>>)> {
            let mut found = BTreeMap::new();
            let mut left = vec![self.dir.path().to_owned()];
            while let Some(here) = left.pop() {
                let meta = here.symlink_metadata().unwrap();
                if meta.is_dir() {
                    left.extend(here.read_dir().unwrap().map(|entry| entry.unwrap().path()));
                }
                let content = meta.is_file().then(|| std::fs::read(&here).unwrap());
                found.insert(here, (meta.mode(), content));
            }
            found
        }
    }

    fn write(tree: &Rooted, at: &str) -> Result<(), FileError> {
        let path = path(at);
        let file = NewFile {
            path: &path,
            mode: 0o666,
            uid: None,
            gid: None,
        };
        tree.replace(&file, b"planted", None)
    }

    /// All that can be done to a path, each of which must be refused as the agent's own.
    fn refuses_all(tree: &Rooted, at: &str) {
        let of = path(at);
        let access = |kind| tree.set_access(&of, kind, 0o777, None, None);
        for (done, what) in [
            (write(tree, at), "replace"),
            (tree.make_folder(&of), "make"),
            (access(EntryKind::File), "open the file"),
            (access(EntryKind::Directory), "open the folder"),
            (tree.clear_way(&of), "move aside"),
            (tree.remove_file(&of), "remove"),
            (tree.wipe(&of), "wipe"),
            (tree.remove_folder(&of), "remove the folder"),
        ] {
            // What is not there needs no refusal.
            let missing = what == "move aside" && tree.look(&of).unwrap().is_none();
            assert!(
                missing || matches!(done, Err(FileError::Own { .. })),
                "{what} {at}: {done:?}"
            );
        }
    }

    #[test]
    fn the_agents_own_is_refused_through_any_link_and_nothing_is_changed() {
        let host = Host::new();
        host.link("lib", "direct");
        host.link("/lib/agent", "absolute");
        host.link("etc/../direct/./agent", "twisted");
        host.link("twisted", "chained");
        host.link("lib/agent/executor", "deep");
        host.link("etc/engine", "conf");
        let before = host.everything();
        for at in [
            "/direct/agent",
            "/direct/agent/executor/keys",
            "/absolute/executor",
            "/absolute/new",
            "/twisted/executor/ledger/page",
            "/chained/executor/keys",
            "/deep/keys",
            "/deep/ledger/page",
            "/conf/agent.toml",
            "/conf/allow.toml",
        ] {
            refuses_all(&host.tree, at);
        }
        for below in ["/twisted/new/deeper/file", "/conf/allow.toml/x"] {
            let made = write(&host.tree, below);
            assert!(matches!(made, Err(FileError::Own { .. })), "{made:?}");
        }
        let staged = host.tree.sweep(&path("/deep/keys"));
        assert!(matches!(staged, Err(FileError::Own { .. })), "{staged:?}");
        assert_eq!(host.everything(), before);
        write(&host.tree, "/conf/other.toml").unwrap();
        write(&host.tree, "/direct/beside").unwrap();
    }

    #[test]
    fn the_same_folder_by_another_root_as_under_a_bind_mount_is_refused() {
        let host = Host::new();
        for (root, at) in [
            ("lib", "/agent/executor/keys"),
            ("lib/agent", "/executor/keys"),
            ("lib/agent/executor", "/keys"),
            ("lib/agent/executor/ledger", "/page"),
            ("etc/engine", "/agent.toml"),
            ("etc/engine", "/allow.toml"),
        ] {
            let tree = Host::tree(&host.dir.path().join(root), host.dir.path());
            refuses_all(&tree, at);
        }
    }

    #[test]
    fn a_hard_link_to_a_file_of_the_agent_is_refused() {
        let host = Host::new();
        let at = |name: &str| host.dir.path().join(name);
        std::fs::hard_link(at("etc/engine/agent.toml"), at("settings")).unwrap();
        std::fs::hard_link(at("lib/agent/executor/keys"), at("etc/keys")).unwrap();
        std::fs::write(at("theirs"), "").unwrap();
        std::fs::hard_link(at("theirs"), at("also-theirs")).unwrap();
        for linked in ["/settings", "/etc/keys"] {
            assert!(matches!(
                write(&host.tree, linked),
                Err(FileError::Own { .. })
            ));
            let wiped = host.tree.wipe(&path(linked));
            assert!(matches!(wiped, Err(FileError::Own { .. })), "{wiped:?}");
        }
        write(&host.tree, "/also-theirs").unwrap();
    }

    #[test]
    fn what_leads_to_the_agents_own_stays_and_stays_roots_alone() {
        let host = Host::new();
        let dir = host.dir.path();
        host.link("lib", "var");
        host.link("/", "all");
        let mut tree = Rooted::open(dir).unwrap();
        tree.spare(vec![
            dir.join("var/agent"),
            dir.join("var/later/agent.toml"),
        ]);
        for way in ["/var", "/lib", "/all/lib"] {
            assert!(
                matches!(write(&tree, way), Err(FileError::Own { .. })),
                "{way}"
            );
            let cleared = tree.clear_way(&path(way));
            assert!(matches!(cleared, Err(FileError::Own { .. })), "{cleared:?}");
        }
        let access = |mode, uid| {
            let kind = EntryKind::Directory;
            tree.set_access(&path("/all/lib"), kind, mode, uid, None)
        };
        let ours = rustix::process::geteuid().as_raw();
        for (mode, uid) in [(0o777, None), (0o775, None), (0o755, Some(ours + 1))] {
            let opened = access(mode, uid);
            assert!(matches!(opened, Err(FileError::Own { .. })), "{opened:?}");
        }
        access(0o755, None).unwrap();
        // The folder of a file that is not there yet may be made, and nothing but a folder.
        let planted = write(&tree, "/lib/later");
        assert!(matches!(planted, Err(FileError::Own { .. })), "{planted:?}");
        tree.make_folder(&path("/lib/later")).unwrap();
        let planted = write(&tree, "/lib/later/agent.toml");
        assert!(matches!(planted, Err(FileError::Own { .. })), "{planted:?}");
        write(&tree, "/lib/later/other").unwrap();
    }
}
