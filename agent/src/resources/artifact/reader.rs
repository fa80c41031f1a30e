//! An artifact as one stream of bytes, piece by piece out of the ledger.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use email_engine_protocol::desired::ArtifactRef;
use email_engine_protocol::limits::ARTIFACT_PIECE_BYTES;

use crate::resources::{ContentError, Contents};

/// Reads an artifact. Each piece is checked by its hash when it is read.
pub(in crate::resources) struct Reader<'a> {
    contents: &'a dyn Contents,
    artifact: &'a ArtifactRef,
    at: u64,
    held: Option<(u64, Vec<u8>)>,
    lost: Lost,
}

/// The piece that could not be had, for whoever asks once the reader itself is somewhere below a
/// decoder.
#[derive(Clone, Default)]
pub(in crate::resources) struct Lost(Rc<RefCell<Option<ContentError>>>);

impl Lost {
    pub(in crate::resources) fn take(&self) -> Option<ContentError> {
        self.0.borrow_mut().take()
    }
}

impl<'a> Reader<'a> {
    pub(in crate::resources) fn new(contents: &'a dyn Contents, artifact: &'a ArtifactRef) -> Self {
        Self {
            contents,
            artifact,
            at: 0,
            held: None,
            lost: Lost::default(),
        }
    }

    pub(in crate::resources) fn lost(&self) -> Lost {
        self.lost.clone()
    }

    fn hold(&mut self, number: u64) -> io::Result<()> {
        if self.held.as_ref().is_some_and(|(held, _)| *held == number) {
            return Ok(());
        }
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let hash = self
            .artifact
            .pieces
            .get(index)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let begins = number * ARTIFACT_PIECE_BYTES;
        let length = (self.artifact.length - begins).min(ARTIFACT_PIECE_BYTES);
        let bytes = self.contents.body(hash).map_err(|error| {
            let text = error.to_string();
            *self.lost.0.borrow_mut() = Some(error);
            io::Error::other(text)
        })?;
        if bytes.len() as u64 != length {
            let text = format!("piece {number} has {} bytes, not {length}", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.held = Some((number, bytes));
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.artifact.length || out.is_empty() {
            return Ok(0);
        }
        let number = self.at / ARTIFACT_PIECE_BYTES;
        self.hold(number)?;
        let from = usize::try_from(self.at % ARTIFACT_PIECE_BYTES).unwrap_or(0);
        let piece = self.held.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let rest = piece.get(from..).unwrap_or_default();
        let taken = rest.len().min(out.len());
        out[..taken].copy_from_slice(&rest[..taken]);
        self.at += taken as u64;
        Ok(taken)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.artifact.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use email_engine_protocol::bytes::ContentHash;
    use email_engine_protocol::secret::{SecretBytes, SecretRef};
    use zeroize::Zeroizing;

    use super::*;

    /// Pieces in memory, and no secrets.
    #[derive(Default)]
    pub(in crate::resources) struct Pieces(BTreeMap<ContentHash, Vec<u8>>);

    impl Pieces {
        /// An artifact whose pieces these are.
        pub(in crate::resources) fn of(bytes: &[u8]) -> (Self, ArtifactRef) {
            let length = usize::try_from(ARTIFACT_PIECE_BYTES).unwrap();
            let pieces = bytes.chunks(length);
            let all: Vec<_> = pieces
                .map(|one| (ContentHash::of(one), one.to_vec()))
                .collect();
            let artifact = ArtifactRef {
                sha256: ContentHash::of(bytes),
                length: bytes.len() as u64,
                pieces: all.iter().map(|(hash, _)| *hash).collect(),
                secret: false,
            };
            (Self(all.into_iter().collect()), artifact)
        }
    }

    impl Contents for Pieces {
        fn body(&self, hash: &ContentHash) -> Result<Vec<u8>, ContentError> {
            self.0.get(hash).cloned().ok_or_else(|| ContentError::Body {
                hash: *hash,
                reason: "it is not there".to_owned(),
            })
        }

        fn secret(&self, _: &SecretRef) -> Result<SecretBytes, ContentError> {
            unreachable!("no secrets here")
        }

        fn is_secret(&self, _: &SecretRef, _: &[u8]) -> Result<bool, ContentError> {
            unreachable!("no secrets here")
        }

        fn seal(&self, bytes: &[u8]) -> Result<Vec<u8>, ContentError> {
            Ok(bytes.to_vec())
        }

        fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ContentError> {
            Ok(Zeroizing::new(sealed.to_vec()))
        }
    }

    #[test]
    fn pieces_read_as_one_stream_from_anywhere() {
        let bytes: Vec<u8> = (0..(2_u32 << 20) + 7).map(|at| (at / 251) as u8).collect();
        let (pieces, artifact) = Pieces::of(&bytes);
        let mut reader = Reader::new(&pieces, &artifact);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        for at in [0, 1, (1 << 20) - 1, 1 << 20, bytes.len() - 1, bytes.len()] {
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).unwrap();
            assert!(rest == bytes[at..], "from {at}");
        }
        assert!(reader.seek(SeekFrom::End(-8 << 20)).is_err());
    }

    #[test]
    fn a_piece_that_is_not_at_hand_is_named() {
        let (pieces, mut artifact) = Pieces::of(b"content");
        artifact.pieces[0] = ContentHash::of(b"another");
        let mut reader = Reader::new(&pieces, &artifact);
        let lost = reader.lost();
        assert!(reader.read(&mut [0; 4]).is_err());
        assert!(matches!(lost.take(), Some(ContentError::Body { .. })));
    }
}
