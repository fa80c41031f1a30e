//! Frames on a QUIC stream. Reading survives being interrupted by a `select!`.

use std::time::Duration;

use quinn::{ReadError, RecvStream, SendStream, WriteError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zeroize::Zeroizing;

use email_engine_protocol::wire::frame::{self, FrameError};

/// A peer that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(10);

/// Why no further message can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameReadError {
    /// The other side finished the stream, between two frames or within one.
    #[error("stream ended")]
    Ended,
    /// What came is no message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that is too large here.
    #[error("frame of {got} bytes is over the limit of {cap} on this stream")]
    OverCap {
        /// Announced size.
        got: usize,
        /// The bound.
        cap: usize,
    },
    /// The connection failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SayError {
    /// Ours is too large.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The other side reads nothing.
    #[error("the other side took nothing for {} s", STALLED.as_secs())]
    Stalled,
}

/// Reads one frame after the other, and nothing behind the one that is asked for.
#[derive(Debug)]
pub(super) struct FrameReader {
    partial: Zeroizing<Vec<u8>>,
    cap: usize,
}

impl FrameReader {
    /// Takes frames of at most `cap` bytes.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            partial: Zeroizing::default(),
            cap,
        }
    }

    /// Takes frames of at most `cap` bytes from now on.
    pub(super) const fn set_cap(&mut self, cap: usize) {
        self.cap = cap;
    }

    /// The next message. Dropping the future loses nothing: what came stays here.
    pub(super) async fn next<T: DeserializeOwned>(
        &mut self,
        stream: &mut RecvStream,
    ) -> Result<T, FrameReadError> {
        loop {
            let wanted = match self.partial.first_chunk::<4>() {
                // Checked before anything of the payload is read.
                Some(prefix) => {
                    let got = frame::length(*prefix)?;
                    if got > self.cap {
                        return Err(FrameReadError::OverCap { got, cap: self.cap });
                    }
                    4 + got
                }
                None => 4,
            };
            if self.partial.len() >= 4 && self.partial.len() == wanted {
                let message = frame::decode(&self.partial[4..]);
                self.partial = Zeroizing::default();
                return Ok(message?);
            }
            let missing = wanted - self.partial.len();
            match stream.read_chunk(missing, true).await? {
                Some(chunk) => self.partial.extend_from_slice(&chunk.bytes),
                None => return Err(FrameReadError::Ended),
            }
        }
    }
}

/// Writes one message.
pub(super) async fn say<T: Serialize + Sync>(
    stream: &mut SendStream,
    message: &T,
) -> Result<(), SayError> {
    let bytes = frame::encode(message)?;
    timeout(STALLED, stream.write_all(&bytes))
        .await
        .map_err(|_| SayError::Stalled)?
        .map_err(SayError::Write)
}
