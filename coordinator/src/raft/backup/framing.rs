//! The sealed stream: chunks that only the recovery key opens, in order, the last one marked. No
//! files here: any reader, any writer.
//!
//! ```text
//! magic 8 | version u32 | cluster 16 | encapsulated key 32 | chunks
//! chunk: last u8 | length u32 | ciphertext                (numbers big endian)
//! ```

use std::io::{self, Read, Write};

use email_engine_protocol::bytes::SealingPublicKey;
use email_engine_protocol::crypto::{
    Entropy, HpkeStream, OpenError, SealingKey, open_stream, seal_stream,
};
use email_engine_protocol::id::ClusterId;

const MAGIC: [u8; 8] = *b"EE-BACK\n";
const VERSION: u32 = 1;
const CHUNK_BYTES: usize = 64 * 1024;
/// Longest ciphertext: a chunk and its tag.
const SEALED_BYTES: usize = CHUNK_BYTES + 16;
const HEAD_BYTES: usize = 8 + 4 + 16;

/// Why a backup does not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum FramingError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ends in the middle.
    #[error("the backup is not whole: it ends in the middle")]
    Cut,
    /// Something else.
    #[error("not a backup of Email-Engine")]
    Magic,
    /// Of a version that this program does not know.
    #[error("backup is of version {0}, this program reads up to {VERSION}")]
    Version(u32),
    /// Sealed to another recovery key, or changed.
    #[error("backup does not open: another recovery key, or it was changed")]
    Refused,
}

impl From<OpenError> for FramingError {
    fn from(_: OpenError) -> Self {
        Self::Refused
    }
}

fn head(cluster: ClusterId) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_be_bytes());
    head[12..].copy_from_slice(&cluster.0);
    head
}

/// The head is part of the context: a backup under another cluster's name does not open.
fn info(head: &[u8; HEAD_BYTES]) -> Vec<u8> {
    [b"email-engine/backup/v1\0", &head[..]].concat()
}

/// Seals what is written to it.
pub(super) struct SealedWriter<W> {
    to: W,
    stream: HpkeStream,
    waiting: Vec<u8>,
}

impl<W: Write> SealedWriter<W> {
    pub(super) fn new(
        mut to: W,
        cluster: ClusterId,
        key: &SealingPublicKey,
        entropy: &mut Entropy<'_>,
    ) -> Result<Self, FramingError> {
        let head = head(cluster);
        let (encapsulated, stream) = seal_stream(key, &info(&head), entropy)?;
        to.write_all(&head)?;
        to.write_all(&encapsulated)?;
        let waiting = Vec::with_capacity(CHUNK_BYTES);
        Ok(Self {
            to,
            stream,
            waiting,
        })
    }

    fn chunk(&mut self, last: bool) -> io::Result<()> {
        let flag = [u8::from(last)];
        let sealed = self
            .stream
            .next(&self.waiting, &flag)
            .map_err(io::Error::other)?;
        self.waiting.clear();
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        self.to.write_all(&flag)?;
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(&sealed)
    }

    /// Marks the end; without it nothing opens.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.chunk(true)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting.len() == CHUNK_BYTES {
            self.chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a sealed stream.
pub(super) struct SealedReader<R> {
    from: R,
    stream: HpkeStream,
    cluster: ClusterId,
    opened: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> SealedReader<R> {
    pub(super) fn new(mut from: R, key: &SealingKey) -> Result<Self, FramingError> {
        let mut bytes = [0; HEAD_BYTES];
        from.read_exact(&mut bytes[..8])
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => FramingError::Magic,
                _ => FramingError::Io(error),
            })?;
        from.read_exact(&mut bytes[8..]).map_err(cut)?;
        let (magic, rest) = bytes.split_at(8);
        let (version, cluster) = rest.split_at(4);
        if magic != MAGIC {
            return Err(FramingError::Magic);
        }
        let version = u32::from_be_bytes(version.try_into().expect("4 bytes"));
        if version != VERSION {
            return Err(FramingError::Version(version));
        }
        let cluster = ClusterId(cluster.try_into().expect("the remaining 16 bytes"));
        let mut encapsulated = [0; 32];
        from.read_exact(&mut encapsulated).map_err(cut)?;
        let stream = open_stream(key, &encapsulated, &info(&bytes))?;
        Ok(Self {
            from,
            stream,
            cluster,
            opened: Vec::new(),
            at: 0,
            ended: false,
        })
    }

    /// Whose backup it says to be; proven by the first chunk that opens.
    pub(super) const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    fn chunk(&mut self) -> io::Result<()> {
        let mut head = [0; 5];
        self.from.read_exact(&mut head).map_err(cut)?;
        let [flag, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        let refused = || io::Error::new(io::ErrorKind::InvalidData, FramingError::Refused);
        if length > SEALED_BYTES {
            return Err(refused());
        }
        let mut sealed = vec![0; length];
        self.from.read_exact(&mut sealed).map_err(cut)?;
        self.opened = self.stream.next(&sealed, &[flag]).map_err(|_| refused())?;
        self.at = 0;
        self.ended = flag == 1;
        Ok(())
    }
}

/// An early end, in words.
fn cut(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), FramingError::Cut),
        _ => error,
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.at == self.opened.len() {
            if self.ended {
                return Ok(0);
            }
            self.chunk()?;
        }
        let count = bytes.len().min(self.opened.len() - self.at);
        bytes[..count].copy_from_slice(&self.opened[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId([7; 16]);

    fn key(seed: u8) -> SealingKey {
        SealingKey::from_seed(&[seed; 32])
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let random = ring::rand::SystemRandom::new();
        let to = key(1).public_key();
        let mut writer =
            SealedWriter::new(Vec::new(), CLUSTER, &to, &mut Entropy(&random)).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn open(bytes: &[u8], key: &SealingKey) -> Result<Vec<u8>, FramingError> {
        let mut plain = Vec::new();
        SealedReader::new(bytes, key)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn what_was_sealed_opens_whatever_its_length() {
        for length in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let plain = vec![9; length];
            assert_eq!(open(&sealed(&plain), &key(1)).unwrap(), plain);
        }
    }

    #[test]
    fn another_key_a_change_and_a_cut_are_refused() {
        let plain = vec![9; CHUNK_BYTES + 10];
        let good = sealed(&plain);
        assert!(open(&good, &key(2)).is_err());
        for at in (0..good.len()).step_by(997).chain([12, 30, good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(open(&bad, &key(1)).is_err(), "byte {at}");
        }
        let first = HEAD_BYTES + 32 + 5 + SEALED_BYTES;
        assert!(open(&good[..first], &key(1)).is_err(), "cut between chunks");
        let mut early = good[..first].to_vec();
        early[HEAD_BYTES + 32] = 1;
        assert!(open(&early, &key(1)).is_err(), "a forged end");
    }
}
