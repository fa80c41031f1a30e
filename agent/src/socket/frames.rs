//! Messages on the socket: four bytes of length, then the message. A body follows the message that
//! announces it as it is, so that the largest one is not copied to be framed, nor cut by the cap of a
//! frame. Both directions are bounded: what the network half says by what it was told in one frame,
//! what the executor says by what a host's whole list of wanted things may need.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::limits;
use email_engine_protocol::wire::frame::{self, FrameError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::halves::ToExecutor;

/// Why nothing more is read or written.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// More than a body may have.
    #[error("a body of {0} bytes is announced, at most {max} are accepted", max = limits::BODY_BYTES)]
    Body(u64),
    /// What came is no message.
    #[error(transparent)]
    Form(#[from] FrameError),
    /// More than a message may have.
    #[error("a message of {got} bytes is over the bound of {bound}")]
    TooLong {
        /// Its length.
        got: usize,
        /// The bound.
        bound: usize,
    },
    /// The socket failed, or ended within a message.
    #[error("the connection ended: {0}")]
    Io(#[from] std::io::Error),
}

/// From the network half, as it lies on the socket.
#[derive(Debug, Serialize, Deserialize)]
enum Sent {
    Message(Box<ToExecutor>),
    /// [`ToExecutor::Body`]: so many bytes follow.
    Body {
        hash: ContentHash,
        length: u64,
    },
}

/// Longest message to the executor: one that came in a frame, and a little around it.
pub(super) const TO_EXECUTOR: usize = limits::FRAME_BYTES + 1024;
/// Longest message of the executor: a list of everything that a host's state needs.
pub(super) const FROM_EXECUTOR: usize = 64 * 1024 * 1024;

/// Writes one message.
pub(super) async fn write<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &T,
    bound: usize,
) -> Result<(), SocketError> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(FrameError::Decode)?;
    let got = bytes.len() - 4;
    let prefix = u32::try_from(got).ok().filter(|_| got <= bound);
    let prefix = prefix.ok_or(SocketError::TooLong { got, bound })?;
    bytes[..4].copy_from_slice(&prefix.to_be_bytes());
    to.write_all(&bytes).await?;
    Ok(())
}

/// Reads one message; nothing when the other side has ended between two.
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    bound: usize,
) -> Result<Option<T>, SocketError> {
    let mut prefix = [0; 4];
    // The first byte alone tells an end from a message that is cut off.
    if from.read(&mut prefix[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut prefix[1..]).await?;
    let got = u32::from_be_bytes(prefix) as usize;
    if got > bound {
        return Err(SocketError::TooLong { got, bound });
    }
    let payload = exactly(from, got).await?;
    Ok(Some(frame::decode(&payload)?))
}

/// Writes what is said to the executor.
pub(super) async fn write_to_executor(
    to: &mut (impl AsyncWrite + Unpin),
    message: ToExecutor,
) -> Result<(), SocketError> {
    match message {
        ToExecutor::Body { hash, bytes } => {
            let length = bytes.len() as u64;
            write(to, &Sent::Body { hash, length }, TO_EXECUTOR).await?;
            to.write_all(&bytes).await?;
            Ok(())
        }
        message => write(to, &Sent::Message(Box::new(message)), TO_EXECUTOR).await,
    }
}

/// Reads what is said to the executor.
pub(super) async fn read_to_executor(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<Option<ToExecutor>, SocketError> {
    match read(from, TO_EXECUTOR).await? {
        None => Ok(None),
        Some(Sent::Message(message)) => Ok(Some(*message)),
        Some(Sent::Body { length, .. }) if length > limits::BODY_BYTES => {
            Err(SocketError::Body(length))
        }
        Some(Sent::Body { hash, length }) => {
            let length = usize::try_from(length).map_err(|_| SocketError::Body(length))?;
            let bytes = exactly(from, length).await?;
            Ok(Some(ToExecutor::Body { hash, bytes }))
        }
    }
}

#[cfg(test)]
pub(super) fn announce(hash: ContentHash, length: u64) -> impl Serialize {
    Sent::Body { hash, length }
}

/// So many bytes. Memory is taken as they come, not as they are promised.
async fn exactly(
    from: &mut (impl AsyncRead + Unpin),
    length: usize,
) -> Result<Vec<u8>, SocketError> {
    let mut bytes = Vec::new();
    let mut limited = from.take(length as u64);
    limited.read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}
