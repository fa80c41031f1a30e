//! The watcher: a thread that reads inotify.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use email_engine_protocol::desired::HostPath;
use email_engine_protocol::id::ResourceId;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::watched::{Names, Touched, Watched};
use crate::host::Rooted;

const CHANGES: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
const FOLDER_GONE: ReadFlags = ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF);

/// Watches the folders of managed paths.
#[derive(Debug)]
pub struct Watcher {
    inotify: Arc<OwnedFd>,
    watched: Arc<Mutex<Watched>>,
    /// A watch that never tells anything: taking it away wakes the thread for its end.
    bell: i32,
    thread: Option<JoinHandle<()>>,
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    // What it guards is right after every statement.
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watcher {
    /// Starts the thread; `wake` is called once per batch of touches.
    ///
    /// # Errors
    /// When the system gives no inotify instance: the audit has to do alone then.
    pub fn start(wake: impl Fn() + Send + 'static) -> Result<Self, Errno> {
        let inotify = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let bell = inotify::add_watch(&*inotify, "/proc/self", WatchFlags::DELETE_SELF)?;
        let watched = Arc::new(Mutex::new(Watched::default()));
        let thread = thread::Builder::new().name("drift".to_owned()).spawn({
            let inotify = Arc::clone(&inotify);
            let watched = Arc::clone(&watched);
            move || read(&inotify, &watched, &wake)
        });
        Ok(Self {
            inotify,
            watched,
            bell,
            thread: Some(thread.map_err(|_| Errno::AGAIN)?),
        })
    }

    /// Watches the folders of exactly these paths from now on. A folder that is missing is not
    /// watched: the audit sees to it. Gives the number of such folders.
    pub fn arm<'a>(
        &self,
        files: &Rooted,
        managed: impl Iterator<Item = (&'a HostPath, &'a ResourceId)>,
    ) -> usize {
        let mut folders: BTreeMap<Option<HostPath>, Names> = BTreeMap::new();
        for (path, id) in managed {
            let names = folders.entry(path.parent()).or_default();
            let ids = names.entry(path.file_name().to_owned()).or_default();
            ids.insert(id.clone());
        }
        let mut missing = 0;
        // Held throughout: an event of a new watch waits until its names are known.
        let mut watched = lock(&self.watched);
        let mut next: BTreeMap<i32, Names> = BTreeMap::new();
        for (folder, names) in folders {
            match self.watch(files, folder.as_ref()) {
                Ok(watch) => {
                    let known = next.entry(watch).or_default();
                    for (name, ids) in names {
                        known.entry(name).or_default().extend(ids);
                    }
                }
                Err(_) => missing += 1,
            }
        }
        for watch in watched
            .folders
            .keys()
            .filter(|watch| !next.contains_key(watch))
        {
            // Gone already when its folder is.
            let _ = inotify::remove_watch(&*self.inotify, *watch);
        }
        watched.folders = next;
        missing
    }

    /// What was touched since the last time.
    #[must_use]
    pub fn take(&self) -> Touched {
        lock(&self.watched).take()
    }

    fn watch(&self, files: &Rooted, folder: Option<&HostPath>) -> Result<i32, Errno> {
        let folder = files.folder(folder)?;
        // By descriptor, so that the watched folder is the one that was found below the root.
        let itself = format!("/proc/self/fd/{}", folder.as_raw_fd());
        inotify::add_watch(&*self.inotify, itself.as_str(), CHANGES)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        lock(&self.watched).closing = true;
        let rung = inotify::remove_watch(&*self.inotify, self.bell);
        if let (Ok(()), Some(thread)) = (rung, self.thread.take()) {
            // Its only possible panic was said already.
            let _ = thread.join();
        }
    }
}

fn read(inotify: &OwnedFd, watched: &Mutex<Watched>, wake: &dyn Fn()) {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::INTR) => continue,
            Err(error) => {
                tracing::error!(%error, "drift is seen by audits only from now on");
                return;
            }
        };
        let mut watched = lock(watched);
        if watched.closing {
            return;
        }
        let due = if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            watched.lose()
        } else if event.events().intersects(FOLDER_GONE) {
            watched.touch(event.wd(), None)
        } else {
            let name = event.file_name().and_then(|name| name.to_str().ok());
            name.is_some() && watched.touch(event.wd(), name)
        };
        drop(watched);
        if due {
            wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_change_wakes_and_reading_does_not() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/a"), "1").unwrap();
        std::fs::write(root.path().join("etc/z"), "1").unwrap();
        let files = Rooted::open(root.path()).unwrap();
        let (sender, woken) = mpsc::channel();
        let watcher = Watcher::start(move || sender.send(()).unwrap()).unwrap();
        let managed: Vec<(HostPath, ResourceId)> = ["/etc/a", "/etc/z", "/nowhere/b"]
            .into_iter()
            .map(|path| (HostPath::new(path).unwrap(), ResourceId::new(path).unwrap()))
            .collect();
        let missing = watcher.arm(&files, managed.iter().map(|(path, id)| (path, id)));
        assert_eq!(missing, 1);
        std::fs::read(root.path().join("etc/a")).unwrap();
        std::fs::write(root.path().join("etc/unmanaged"), "1").unwrap();
        std::fs::remove_file(root.path().join("etc/z")).unwrap();
        woken.recv_timeout(PATIENCE).unwrap();
        // Events come in order: had reading or the foreign file counted, they would be in it.
        let touched = watcher.take();
        assert_eq!(touched.ids, [ResourceId::new("/etc/z").unwrap()].into());
        std::fs::rename(root.path().join("etc"), root.path().join("gone")).unwrap();
        woken.recv_timeout(PATIENCE).unwrap();
        assert!(
            watcher
                .take()
                .ids
                .contains(&ResourceId::new("/etc/a").unwrap())
        );
    }
}
