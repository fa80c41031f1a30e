//! The network half's side: calls the executor, and carries messages both ways until either is gone.

use std::io;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::frames::{self, SocketError};
use super::place::is_executor;
use super::{Begin, VERSION};
use crate::halves::{FromExecutor, ToExecutor};

/// Messages that may wait for the socket, each way.
const QUEUE: usize = 16;

/// Why there is no executor to speak with.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens there.
    #[error("the executor does not answer at {}", path.display())]
    Absent {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("whoever listens at {} is not root", .0.display())]
    Stranger(PathBuf),
    /// What it said is no beginning.
    #[error("the executor at {} was not understood", path.display())]
    Form {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: SocketError,
    },
    /// It hung up at once.
    #[error("the executor at {} hung up without a word: is this its network half's user?", .0.display())]
    HungUp(PathBuf),
    /// It is of another version.
    #[error("the executor speaks version {got}, this is version {VERSION}: restart both halves")]
    Version {
        /// Its version.
        got: u32,
    },
}

/// An executor that was reached.
#[derive(Debug)]
pub struct Called {
    /// Its first word.
    pub begin: Begin,
    /// The way to it; closed when it is gone.
    pub to: mpsc::Sender<ToExecutor>,
    /// What it says; ends when it is gone.
    pub from: mpsc::Receiver<FromExecutor>,
}

/// Calls the executor.
///
/// # Errors
/// When it does not answer, or somebody else does.
pub async fn call(path: &Path) -> Result<Called, CallError> {
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|source| CallError::Absent {
        path: path.to_owned(),
        source,
    })?;
    if !is_executor(&stream) {
        return Err(CallError::Stranger(path.to_owned()));
    }
    let (mut reader, writer) = stream.into_split();
    let begin: Option<Begin> = frames::read(&mut reader, frames::FROM_EXECUTOR)
        .await
        .map_err(|source| {
            let path = path.to_owned();
            CallError::Form { path, source }
        })?;
    let begin = begin.ok_or_else(|| CallError::HungUp(path.to_owned()))?;
    if begin.version != VERSION {
        return Err(CallError::Version { got: begin.version });
    }
    let (to, outgoing) = mpsc::channel(QUEUE);
    let (incoming, from) = mpsc::channel(QUEUE);
    tokio::spawn(send_all(writer, outgoing));
    tokio::spawn(receive_all(reader, incoming));
    Ok(Called { begin, to, from })
}

async fn send_all(mut writer: OwnedWriteHalf, mut outgoing: mpsc::Receiver<ToExecutor>) {
    while let Some(message) = outgoing.recv().await {
        if let Err(error) = frames::write_to_executor(&mut writer, message).await {
            tracing::warn!(%error, "the executor is not reached any more");
            return;
        }
    }
}

async fn receive_all(mut reader: OwnedReadHalf, incoming: mpsc::Sender<FromExecutor>) {
    loop {
        match frames::read(&mut reader, frames::FROM_EXECUTOR).await {
            Ok(Some(message)) => {
                if incoming.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the executor is not heard any more");
                return;
            }
        }
    }
}
