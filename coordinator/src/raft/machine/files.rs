//! Snapshot files of a node: written apart, renamed when whole, the old ones deleted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::raft::types::{Snapshot, SnapshotMeta};

const SUFFIX: &str = "snapshot";
const UNFINISHED: &str = "partial";
/// What a snapshot that rotted is called from then on.
const ROTTEN: &str = "rotten";

/// Tells unfinished files apart, for as long as this program runs: one that is removed late is never
/// taken for another.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The name of an unfinished file: removed when it is dropped, unless the file was given another name
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    /// The name.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "unfinished snapshot stays");
            }
            _ => {}
        }
    }
}

/// A snapshot that is open for reading: it stays readable when it is deleted meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    file: Arc<File>,
    path: PathBuf,
    /// The last clone takes an unfinished file along.
    _unfinished: Option<Arc<Unfinished>>,
}

impl SnapshotFile {
    /// Opens one.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = Arc::new(File::open(&path)?);
        Ok(Self {
            file,
            path,
            _unfinished: None,
        })
    }

    /// Opens an unfinished one, which goes with its last clone unless it is adopted.
    pub(crate) fn open_unfinished(unfinished: Unfinished) -> io::Result<Self> {
        let opened = Self::open(unfinished.path().to_path_buf())?;
        Ok(Self {
            _unfinished: Some(Arc::new(unfinished)),
            ..opened
        })
    }

    /// Whether both are one opening of one file: another may have got its name since.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }

    /// Where it was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reads at a place.
    pub(crate) fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    /// Reads from the beginning.
    pub(crate) fn reader(&self) -> io::BufReader<FromStart> {
        let from = FromStart {
            file: Arc::clone(&self.file),
            at: 0,
        };
        io::BufReader::with_capacity(256 * 1024, from)
    }
}

/// Reads a shared file without moving anybody else's place in it.
#[derive(Debug)]
pub(crate) struct FromStart {
    file: Arc<File>,
    at: u64,
}

impl io::Read for FromStart {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(bytes, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The folder of snapshots.
#[derive(Debug)]
pub(crate) struct SnapshotFiles {
    folder: PathBuf,
    current: Mutex<Option<Snapshot>>,
    /// The current one rotted: it is not sent, and to be built anew.
    rotten: watch::Sender<bool>,
}

impl SnapshotFiles {
    /// Opens the folder, and removes what a crash left unfinished.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for path in paths(&folder, UNFINISHED)? {
            fs::remove_file(path)?;
        }
        Ok(Self {
            folder,
            current: Mutex::new(None),
            rotten: watch::Sender::new(false),
        })
    }

    /// Whole files, newest first.
    pub(crate) fn candidates(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = paths(&self.folder, SUFFIX)?;
        found.sort_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// A new unfinished file.
    pub(crate) fn begin(&self) -> io::Result<(File, Unfinished)> {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number}.{UNFINISHED}"));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        Ok((file, Unfinished(path)))
    }

    /// Gives a whole, flushed file its name and makes it the current snapshot, unless a newer one came
    /// meanwhile: the log may already begin behind that one.
    pub(crate) fn adopt(&self, meta: &SnapshotMeta, path: &Path) -> io::Result<Snapshot> {
        let mut current = self.lock();
        if let Some(newer) = &*current
            && newer.meta.last_log_id > meta.last_log_id
        {
            fs::remove_file(path)?;
            return Ok(newer.clone());
        }
        let (index, term) = meta
            .last_log_id
            .map_or((0, 0), |id| (id.index, id.leader_id.term));
        let name = self.folder.join(format!("{index:020}-{term:020}.{SUFFIX}"));
        if let Some(old) = current.as_ref().filter(|_| *self.rotten.borrow()) {
            self.put_aside(old.snapshot.path());
        }
        if path != name {
            fs::rename(path, &name)?;
            File::open(&self.folder)?.sync_all()?;
        }
        let snapshot = Snapshot {
            meta: meta.clone(),
            snapshot: SnapshotFile::open(name.clone())?,
        };
        *current = Some(snapshot.clone());
        self.rotten.send_replace(false);
        for old in self.candidates()? {
            if old != name {
                fs::remove_file(old)?;
            }
        }
        Ok(snapshot)
    }

    /// A second name for what rotted, for somebody to look at; only the newest is kept. The first name
    /// goes when the file is replaced: a crash in between leaves it as it was.
    fn put_aside(&self, path: &Path) {
        let aside = path.with_extension(ROTTEN);
        let earlier = paths(&self.folder, ROTTEN).unwrap_or_default();
        let gone = earlier.iter().try_for_each(fs::remove_file);
        match gone.and_then(|()| fs::hard_link(path, &aside)) {
            Ok(()) => tracing::warn!(path = %aside.display(), "the rotten snapshot is put aside"),
            Err(error) => tracing::warn!(%error, "the rotten snapshot cannot be put aside"),
        }
    }

    /// Notes that a snapshot rotted; true when it is the current one, and nobody had noticed.
    pub(super) fn condemn(&self, snapshot: &SnapshotFile) -> bool {
        let current = self.lock();
        let is_current = current
            .as_ref()
            .is_some_and(|current| current.snapshot.is(snapshot));
        is_current && !self.rotten.send_replace(true)
    }

    /// Whether the current snapshot rotted, as a channel.
    pub(crate) fn rotten(&self) -> watch::Receiver<bool> {
        self.rotten.subscribe()
    }

    /// The current snapshot.
    pub(crate) fn current(&self) -> Option<Snapshot> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Snapshot>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn paths(folder: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        if path.extension().is_some_and(|ending| ending == suffix) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::LogId;

    #[test]
    fn a_snapshot_that_took_long_does_not_replace_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let files = SnapshotFiles::open(dir.path().to_path_buf()).unwrap();
        let meta = |index| {
            let leader = openraft::impls::leader_id_adv::LeaderId {
                term: 1,
                node_id: 1,
            };
            SnapshotMeta {
                last_log_id: Some(LogId::new(leader, index)),
                ..SnapshotMeta::default()
            }
        };
        let (_, slow) = files.begin().unwrap();
        let (_, quick) = files.begin().unwrap();
        files.adopt(&meta(9), quick.path()).unwrap();
        let current = files.adopt(&meta(5), slow.path()).unwrap();
        assert_eq!(current.meta, meta(9));
        drop((quick, slow));
        assert_eq!(names(dir.path()), [current.snapshot.path()]);
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        let items = fs::read_dir(folder).unwrap();
        items.map(|item| item.unwrap().path()).collect()
    }

    #[test]
    fn an_unfinished_file_goes_with_the_last_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let files = SnapshotFiles::open(dir.path().to_path_buf()).unwrap();
        let (_, dropped) = files.begin().unwrap();
        let (_, received) = files.begin().unwrap();
        drop(dropped);
        let received = SnapshotFile::open_unfinished(received).unwrap();
        let clone = received.clone();
        drop(received);
        assert_eq!(names(dir.path()), [clone.path()]);
        drop(clone);
        assert!(names(dir.path()).is_empty());
        let (_, adopted) = files.begin().unwrap();
        let adopted = SnapshotFile::open_unfinished(adopted).unwrap();
        let current = files.adopt(&SnapshotMeta::default(), adopted.path());
        drop(adopted);
        assert_eq!(names(dir.path()), [current.unwrap().snapshot.path()]);
    }
}
