//! What a run says: to the terminal or a pipe, into its own log, and into one log per host.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use email_engine_protocol::id::HostId;
use email_engine_protocol::time::Timestamp;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rustix::fs::{FlockOperation, flock};

use crate::output::{Output, harmless, to_stderr};
use crate::private_file::{self, PrivateFileError};

const RUN: &str = "run.log";
/// A log that is longer begins anew, and the one before is kept.
const LOG_BYTES: u64 = 4 * 1024 * 1024;
const TICK: Duration = Duration::from_millis(120);

/// Why the log folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// Another run has it.
    #[error("another deploy runs with the log folder {}: end it, or name another by --log-dir", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be written to.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A private file in it cannot be had.
    #[error(transparent)]
    Private(#[from] PrivateFileError),
}

/// The folder of a run, held as long as this lives, and the terminal.
#[derive(Debug)]
pub(super) struct Voice {
    output: Output,
    folder: PathBuf,
    run: File,
    all: Option<MultiProgress>,
    bars: RefCell<BTreeMap<HostId, ProgressBar>>,
    /// The last that was shown of each host: the same again is no news.
    said: RefCell<BTreeMap<HostId, String>>,
    _lock: File,
}

impl Voice {
    /// Makes or takes the folder.
    pub(super) fn open(folder: &Path, output: Output) -> Result<Self, FolderError> {
        private_file::folder(folder)?;
        let lock = opened(&folder.join("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let path = folder.to_owned();
                return Err(FolderError::Locked { path });
            }
            Err(error) => {
                return Err(FolderError::Io {
                    path: folder.to_owned(),
                    source: error.into(),
                });
            }
        }
        ignored(&folder.join(".gitignore"))?;
        for part in ["hosts", "tokens"] {
            private_file::folder(&folder.join(part))?;
        }
        Ok(Self {
            output,
            run: log(&folder.join(RUN))?,
            folder: folder.to_owned(),
            all: (io::stderr().is_terminal() && !output.quiet).then(MultiProgress::new),
            bars: RefCell::default(),
            said: RefCell::default(),
            _lock: lock,
        })
    }

    /// A file of the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The log of the whole run.
    pub(super) fn run_log(&self) -> PathBuf {
        self.file(RUN)
    }

    /// The log of one host.
    pub(super) fn host_log(&self, host: &HostId) -> PathBuf {
        self.folder.join("hosts").join(format!("{host}.log"))
    }

    /// Where the join token of a host waits for whoever takes it there.
    pub(super) fn token(&self, host: &HostId) -> PathBuf {
        self.folder.join("tokens").join(format!("{host}.token"))
    }

    /// Writes into the log alone.
    pub(super) fn record(&self, text: &str) {
        write(&self.run, text);
    }

    /// Says something and logs it.
    pub(super) fn say(&self, text: &str) {
        self.tell(text, self.output.quiet);
    }

    /// Says what nothing goes on without, also when quiet, and logs it.
    pub(super) fn insist(&self, text: &str) {
        self.tell(text, false);
    }

    fn tell(&self, text: &str, quiet: bool) {
        self.record(text);
        let note = || {
            if !quiet {
                to_stderr(text);
            }
        };
        match &self.all {
            Some(all) => all.suspend(note),
            None => note(),
        }
    }

    /// Something was heard of a host, or from it.
    pub(super) fn host(&self, host: &HostId, line: &str) {
        if self
            .said
            .borrow()
            .get(host)
            .is_some_and(|said| said == line)
        {
            return;
        }
        self.said.borrow_mut().insert(host.clone(), line.to_owned());
        // What a host's log is for is no reason to end: the run's own log says as much.
        match log(&self.host_log(host)) {
            Ok(file) => write(&file, line),
            Err(error) => self.record(&format!("{host}: no log: {error}")),
        }
        self.record(&format!("host {host}: {line}"));
        match &self.all {
            Some(all) => self
                .bar(all, host)
                .set_message(harmless(line, false).into_owned()),
            None => self.output.note(&format!("host {host}: {line}")),
        }
    }

    /// The lines of the hosts stay as they are.
    pub(super) fn settle(&self) {
        for bar in std::mem::take(&mut *self.bars.borrow_mut()).into_values() {
            bar.abandon();
        }
    }

    fn bar(&self, all: &MultiProgress, host: &HostId) -> ProgressBar {
        let mut bars = self.bars.borrow_mut();
        let bar = bars.entry(host.clone()).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:16} {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(host.to_string());
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.clone()
    }
}

/// Keeps tokens out of a checkout that the folder happens to stand in. What somebody else wrote there stays.
fn ignored(path: &Path) -> Result<(), FolderError> {
    let mut file = match private_file::create_new(path) {
        Ok(file) => file,
        Err(PrivateFileError::Io { source, .. })
            if source.kind() == io::ErrorKind::AlreadyExists =>
        {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    file.write_all(b"*\n").map_err(|source| FolderError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Opens a log to go on in it.
fn log(path: &Path) -> Result<File, FolderError> {
    let long = fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES);
    if long {
        let mut before = path.as_os_str().to_owned();
        before.push(".1");
        fs::rename(path, before).map_err(|source| FolderError::Io {
            path: path.to_owned(),
            source,
        })?;
    }
    opened(path)
}

fn opened(path: &Path) -> Result<File, FolderError> {
    let mut options = File::options();
    let options = options.create(true).append(true).mode(0o600);
    options.open(path).map_err(|source| FolderError::Io {
        path: path.to_owned(),
        source,
    })
}

fn write(mut file: &File, text: &str) {
    let now = now();
    for line in text.lines() {
        // A disk that is full does not stop what goes on in the cluster.
        let _ = writeln!(file, "{now} {}", harmless(line, false));
    }
}

/// The clock of this machine; before 1970 it is 1970.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::output::PLAIN;

    #[test]
    fn a_folder_is_one_runs_and_its_logs_go_on_privately() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let voice = Voice::open(&dir, PLAIN).unwrap();
        let refused = Voice::open(&dir, PLAIN).unwrap_err().to_string();
        assert!(refused.contains("another deploy runs"), "{refused}");
        let host = HostId::new("pmta1").unwrap();
        voice.host(&host, "is \u{1b}[31mred");
        voice.host(&host, "is \u{1b}[31mred");
        let path = voice.host_log(&host);
        let lines = fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), 1, "the same again is no news");
        assert!(lines.ends_with(" is \\u001b[31mred\n"), "{lines:?}");
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        drop(voice);
        fs::write(&path, vec![b'x'; 5 * 1024 * 1024]).unwrap();
        let voice = Voice::open(&dir, PLAIN).unwrap();
        voice.host(&host, "is back");
        assert!(fs::metadata(&path).unwrap().len() < 100);
        assert!(dir.join("hosts/pmta1.log.1").exists());
    }

    #[test]
    fn what_stands_in_a_folder_that_was_there_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".gitignore");
        drop(Voice::open(folder.path(), PLAIN).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "*\n");
        fs::write(&path, "target\n").unwrap();
        drop(Voice::open(folder.path(), PLAIN).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "target\n");
    }
}
