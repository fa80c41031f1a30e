//! Frames between nodes: 4 bytes of length, big endian, then postcard.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest frame: a batch of log entries, of which each may carry many bodies.
pub(crate) const FRAME_BYTES: usize = 64 * 1024 * 1024;
/// Bytes that are taken from a stream at a time: what is announced is not allocated before it came.
const READ_BYTES: usize = 256 * 1024;

/// Why a frame cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// Over the cap.
    #[error("frame of {0} bytes is over the cap of {FRAME_BYTES}")]
    TooLarge(usize),
    /// Not what was expected.
    #[error("frame does not decode: {0}")]
    Decode(postcard::Error),
    /// The stream ended within a frame.
    #[error("stream ended within a frame")]
    Cut,
    /// The stream failed.
    #[error("{0}")]
    Read(#[from] quinn::ReadError),
    /// The stream failed.
    #[error("{0}")]
    Write(#[from] quinn::WriteError),
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        Self::other(error)
    }
}

/// Encodes a frame.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Bytes, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(FrameError::Decode)?;
    let length = frame.len() - 4;
    if length > FRAME_BYTES {
        return Err(FrameError::TooLarge(length));
    }
    let prefix = u32::try_from(length).map_err(|_| FrameError::TooLarge(length))?;
    frame[..4].copy_from_slice(&prefix.to_be_bytes());
    Ok(frame.into())
}

/// Writes a frame.
pub(crate) async fn write<T: Serialize>(
    to: &mut quinn::SendStream,
    message: &T,
) -> Result<(), FrameError> {
    to.write_chunk(encode(message)?).await?;
    Ok(())
}

/// Reads frames. Giving up a read loses nothing: what came is kept for the next.
#[derive(Debug)]
pub(crate) struct FrameReader {
    from: quinn::RecvStream,
    buffer: BytesMut,
}

impl FrameReader {
    /// Reads from this stream.
    pub(crate) fn new(from: quinn::RecvStream) -> Self {
        let buffer = BytesMut::new();
        Self { from, buffer }
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(head) = self.fill(4).await? else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(head) as usize;
        if length > FRAME_BYTES {
            return Err(FrameError::TooLarge(length));
        }
        self.fill(4 + length).await?.ok_or(FrameError::Cut)?;
        self.buffer.advance(4);
        let payload = self.buffer.split_to(length);
        postcard::from_bytes(&payload)
            .map(Some)
            .map_err(FrameError::Decode)
    }

    /// The next `count` bytes as they are.
    pub(crate) async fn bytes(&mut self, count: usize) -> Result<Bytes, FrameError> {
        self.fill(count).await?.ok_or(FrameError::Cut)?;
        Ok(self.buffer.split_to(count).freeze())
    }

    /// Waits until so many bytes are there; the first four of them, or `None` at a clean end.
    async fn fill(&mut self, count: usize) -> Result<Option<[u8; 4]>, FrameError> {
        while self.buffer.len() < count {
            match self.from.read_chunk(READ_BYTES, true).await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(FrameError::Cut),
            }
        }
        Ok(Some(
            self.buffer.first_chunk::<4>().copied().unwrap_or_default(),
        ))
    }
}
