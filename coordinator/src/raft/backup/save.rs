//! Making a backup, online.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError};

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use email_engine_protocol::crypto::{Entropy, RecoveryPublic};
use email_engine_protocol::id::ClusterId;

use super::framing::{FramingError, SealedWriter};
use crate::raft::handle::{Cluster, ReadError};
use crate::raft::machine::write_image;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// Whose it is.
    pub cluster: ClusterId,
    /// Last log entry in it.
    pub index: u64,
    /// Fleet revision.
    pub revision: u64,
    /// Number of content bodies.
    pub bodies: usize,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The newest state could not be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no cluster yet.
    #[error("there is nothing to back up: the cluster is not founded yet")]
    Empty,
    /// The backup cannot be written, or the store cannot be read.
    #[error("backup cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The recovery key cannot be sealed to.
    #[error("the cluster's recovery key is not usable")]
    Key,
}

impl Cluster {
    /// Writes a backup of the state as of now, while the cluster goes on. The writer comes back for
    /// the caller to make durable.
    ///
    /// # Errors
    /// When no majority confirms what the newest state is, or it cannot be written.
    pub async fn backup<W: Write + Send + 'static>(
        &self,
        to: W,
        recovery: &RecoveryPublic,
        kek: &[u8; 32],
    ) -> Result<(W, BackupSummary), BackupError> {
        self.linearize().await?;
        let (core, recovery) = (Arc::clone(self.core()), *recovery);
        let kek = Zeroizing::new(*kek);
        let written = tokio::task::spawn_blocking(move || {
            let (bodies, series) = {
                let store = core.store.read().unwrap_or_else(PoisonError::into_inner);
                let store = store.as_ref().ok_or(ReadError::Stopping)?;
                (store.bodies(), store.series())
            };
            // Bodies that go out of use meanwhile stay until this is written.
            let _hold = core.replica.hold_bodies();
            // Not in the middle of an entry whose bodies are still being written: they would pass for
            // lost ones.
            let (image, rows) = loop {
                let image = Handle::current().block_on(core.replica.settled());
                if let Some(rows) = series.rows_after(image.index())? {
                    break (image, rows);
                }
                // What they are ahead by is being applied.
                std::thread::sleep(std::time::Duration::from_millis(20));
            };
            let cluster = image.fleet.cluster.as_ref().ok_or(BackupError::Empty)?.id;
            let random = ring::rand::SystemRandom::new();
            let mut entropy = Entropy(&random);
            let mut sealed = SealedWriter::new(to, cluster, &recovery.sealing, &mut entropy)?;
            sealed.write_all(&kek[..])?;
            let to = write_image(sealed, &image, |hash| bodies.need(hash), rows)
                .map_err(io::Error::from)?
                .finish()?;
            let summary = BackupSummary {
                cluster,
                index: image.last_applied.map_or(0, |id| id.index),
                revision: image.fleet.revision,
                bodies: image.fleet.bodies.len(),
            };
            Ok((to, summary))
        });
        written.await.map_err(io::Error::other)?
    }
}

impl From<FramingError> for BackupError {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::Io(error) => Self::Io(error),
            _ => Self::Key,
        }
    }
}
