//! A backup on its way to a client: made whole on this disk first, at the disk's pace, and only then
//! sent at the client's. A client that stalls holds neither a thread nor the content bodies, and not
//! the room on the disk for ever.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::api::BackupError;
use crate::raft::{Cluster, StoreError};
use crate::seal::Vault;

/// Bytes that are sent at a time, and how many such pieces may wait for a slow client.
const PIECE: usize = 256 * 1024;
const WAITING: usize = 8;
/// Bytes that are written between two looks at the free space.
const LOOK_AFTER: usize = 8 * 1024 * 1024;
/// How long a client may take nothing.
const STALL: Duration = Duration::from_secs(60);
/// How long an error of the making can still be answered as one: requests end soon after that.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// The file for as long as it has a name.
const UNFINISHED: &str = "backup.partial";

/// Where backups are made, one at a time.
#[derive(Clone, Debug)]
pub(super) struct Backups {
    folder: PathBuf,
    min_free: u64,
    one: Arc<Semaphore>,
}

/// Bytes of a backup, or its end: a stream that ends without it was cut.
type Piece = io::Result<Option<Bytes>>;

impl Backups {
    /// Makes them in this folder, as long as so many bytes stay free.
    pub(super) fn new(folder: PathBuf, min_free: u64) -> Self {
        Self {
            folder,
            min_free,
            one: Arc::new(Semaphore::new(1)),
        }
    }

    /// Makes a backup and gives its bytes.
    pub(super) async fn stream(
        &self,
        cluster: Cluster,
        vault: Arc<Vault>,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, BackupError> {
        let permit = self.begin()?;
        let (ready, is_ready) = oneshot::channel();
        let (to, pieces) = mpsc::channel(WAITING);
        let backups = self.clone();
        tokio::spawn(async move {
            match backups.make(&cluster, &vault).await {
                Ok(file) => {
                    let _ = ready.send(None);
                    send(file, to, STALL, permit).await;
                }
                // Whoever asked is told, in the answer or, when that has begun, by a cut.
                Err(error) => {
                    tracing::warn!(%error, "no backup was made");
                    let _ = ready.send(Some(error));
                }
            }
        });
        match timeout(ANSWER_WITHIN, is_ready).await {
            Ok(Ok(Some(error))) => Err(error),
            _ => Ok(received(pieces)),
        }
    }

    fn begin(&self) -> Result<OwnedSemaphorePermit, BackupError> {
        let permit = Arc::clone(&self.one).try_acquire_owned();
        permit.map_err(|_| BackupError::UnderWay)
    }

    async fn make(&self, cluster: &Cluster, vault: &Vault) -> Result<File, BackupError> {
        let recovery = cluster.view(|state| state.cluster.as_ref().map(|it| it.recovery));
        let recovery = recovery.ok_or(BackupError::NotReady)?;
        let spool = Spool {
            file: nameless(&self.folder).map_err(failed)?,
            folder: self.folder.clone(),
            min_free: self.min_free,
            unseen: LOOK_AFTER,
        };
        let to = BufWriter::with_capacity(PIECE, spool);
        let made = cluster.backup(to, &recovery, vault.key()).await;
        let (to, summary) = made.map_err(not_made)?;
        let whole = tokio::task::spawn_blocking(move || {
            let mut file = to
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?
                .file;
            file.rewind()?;
            Ok::<_, io::Error>(file)
        });
        let whole = whole.await.map_err(io::Error::other).flatten();
        let file = whole.map_err(failed)?;
        tracing::info!(index = summary.index, "backup made");
        Ok(file)
    }
}

fn failed(source: io::Error) -> BackupError {
    let doing = "making a backup";
    BackupError::Store(StoreError { doing, source })
}

fn not_made(error: crate::raft::BackupError) -> BackupError {
    match error {
        crate::raft::BackupError::Read(error) => BackupError::Read(error),
        crate::raft::BackupError::Empty => BackupError::NotReady,
        crate::raft::BackupError::Io(error) => failed(error),
        error @ crate::raft::BackupError::Key => failed(io::Error::other(error)),
    }
}

/// A file that is gone when it is closed, whatever happens.
fn nameless(folder: &Path) -> io::Result<File> {
    let path = folder.join(UNFINISHED);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Writes while there is room: a backup must not fill the disk that Raft needs.
struct Spool {
    file: File,
    folder: PathBuf,
    min_free: u64,
    /// Bytes since the last look.
    unseen: usize,
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unseen >= LOOK_AFTER {
            self.unseen = 0;
            let found = rustix::fs::statvfs(&self.folder)?;
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            if free < self.min_free.saturating_add(LOOK_AFTER as u64) {
                return Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    format!(
                        "a backup is made in {} first, and only {free} bytes are free there",
                        self.folder.display()
                    ),
                ));
            }
        }
        let written = self.file.write(bytes)?;
        self.unseen += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Sends a file in pieces, to the end or until the client takes nothing for too long.
async fn send(file: File, to: mpsc::Sender<Piece>, stall: Duration, _one: OwnedSemaphorePermit) {
    let file = Arc::new(file);
    let mut at = 0;
    loop {
        let from = Arc::clone(&file);
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let length = from.read_at(&mut piece, at)?;
            piece.truncate(length);
            Ok(piece)
        });
        let piece = read
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        let length = piece.as_ref().map_or(0, Vec::len);
        at += length as u64;
        let piece = piece.map(|bytes| (!bytes.is_empty()).then(|| bytes.into()));
        match timeout(stall, to.send(piece)).await {
            Ok(Ok(())) if length > 0 => {}
            Ok(_) => return,
            Err(_) => {
                tracing::warn!(?stall, "a client took nothing of its backup: given up");
                return;
            }
        }
    }
}

/// What the client reads: an error where the sender gave up, so that a cut never looks like the end.
fn received(pieces: mpsc::Receiver<Piece>) -> BoxStream<'static, io::Result<Bytes>> {
    let stream = futures::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Ok(Some(bytes))) => Some((Ok(bytes), Some(pieces))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some((Err(error), None)),
            None => {
                let cut = io::Error::new(io::ErrorKind::TimedOut, "the backup was cut off");
                Some((Err(cut), None))
            }
        }
    });
    stream.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn sending(pieces: usize, stall: Duration) -> (Arc<Semaphore>, mpsc::Receiver<Piece>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; pieces * PIECE + 1]).unwrap();
        let one = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&one).acquire_owned().await.unwrap();
        let (to, from) = mpsc::channel(WAITING);
        tokio::spawn(send(file, to, stall, permit));
        (one, from)
    }

    #[test]
    fn a_second_backup_and_a_lost_majority_are_no_faults_of_the_store() {
        let backups = Backups::new(PathBuf::from("nowhere"), 0);
        let first = backups.begin().unwrap();
        let second = backups.begin().unwrap_err();
        assert!(matches!(second, BackupError::UnderWay), "{second}");
        drop(first);
        drop(backups.begin().unwrap());
        let reason = "one of three nodes".to_owned();
        let lost = crate::raft::ReadError::NoQuorum { reason };
        let told = not_made(crate::raft::BackupError::Read(lost));
        assert!(matches!(told, BackupError::Read(_)), "{told}");
    }

    #[tokio::test]
    async fn a_client_that_reads_gets_every_byte() {
        let (_, pieces) = sending(WAITING * 2, PATIENCE).await;
        let read: Vec<_> = received(pieces).collect().await;
        let length: usize = read.iter().map(|piece| piece.as_ref().unwrap().len()).sum();
        assert_eq!(length, WAITING * 2 * PIECE + 1);
    }

    #[tokio::test]
    async fn a_client_that_stalls_is_given_up_and_never_takes_the_rest_for_the_end() {
        let (one, pieces) = sending(WAITING * 2, Duration::from_millis(50)).await;
        // Nobody reads, and the next backup may be made all the same.
        let next = timeout(PATIENCE, one.acquire()).await;
        drop(next.expect("the stalled one is given up").unwrap());
        let read: Vec<_> = received(pieces).collect().await;
        let (last, before) = read.split_last().unwrap();
        assert_eq!(before.len(), WAITING);
        assert_eq!(last.as_ref().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_backup_stops_before_it_fills_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool {
            file: nameless(folder.path()).unwrap(),
            folder: folder.path().to_owned(),
            min_free: u64::MAX,
            unseen: LOOK_AFTER,
        };
        let refused = spool.write(b"backup").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "the file has no name");
    }
}
