//! A small disk that can be filled: a file system of its own, in a mount namespace of its own, so
//! that nothing is left mounted however a test ends.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// What takes the room.
const FILLER: &str = "filler";
const PAGE: usize = 4096;

/// A disk of a few megabytes.
#[derive(Debug)]
pub struct TightDisk {
    /// Holds the namespace for as long as its standard input is open.
    keeper: Child,
    folder: PathBuf,
    /// Where it is mounted. Removed last: removing a mount point unmounts it everywhere.
    _at: TempDir,
}

impl TightDisk {
    /// A disk of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let at = TempDir::new().unwrap();
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        let script = r#"mount -t tmpfs -o "size=$1,mode=0700" none "$2" && echo ready && exec cat"#;
        let mut keeper = unshare
            .args(["sh", "-c", script, "sh", &bytes.to_string()])
            .arg(at.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`unshare` of util-linux does not start: {error}"));
        let mut said = String::new();
        let out = keeper.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut said).unwrap();
        assert_eq!(
            said, "ready\n",
            "no small disk could be mounted: run as root, or where user namespaces are allowed"
        );
        // Seen from here through the keeper's root; there is no such mount in this namespace.
        let inside = at.path().strip_prefix("/").unwrap();
        let folder = Path::new("/proc")
            .join(keeper.id().to_string())
            .join("root")
            .join(inside);
        Self {
            keeper,
            folder,
            _at: at,
        }
    }

    /// Where it is reached.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes that are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.folder).unwrap();
        found.f_bavail * found.f_frsize
    }

    /// Takes all room but so many bytes.
    pub fn leave(&self, bytes: u64) {
        let mut filler = self.filler();
        while self.free() > bytes {
            if filler.write_all(&[0x5a; PAGE]).is_err() {
                return;
            }
        }
    }

    /// Takes all room, until the disk itself says that there is none.
    pub fn fill(&self) {
        let mut filler = self.filler();
        let error = loop {
            if let Err(error) = filler.write_all(&[0x5a; PAGE]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }

    /// Gives the room back.
    pub fn clear(&self) {
        std::fs::remove_file(self.folder.join(FILLER)).unwrap();
    }

    fn filler(&self) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(FILLER))
            .unwrap()
    }
}

impl Drop for TightDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
