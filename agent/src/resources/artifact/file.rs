//! A file that is an artifact.

use std::io::{self, Read, Write};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{ArtifactRef, HostPath};
use email_engine_protocol::limits::ARTIFACT_PIECE_BYTES;
use ring::digest;

use super::reader::Reader;
use crate::host::{FileError, NewFile, Rooted, Source, Validator};
use crate::resources::{ApplyError, Contents};

const CHUNK: usize = 64 * 1024;

/// Whether a file of the right size has the bytes of an artifact: piece by piece, by the hashes that
/// came signed.
pub(in crate::resources) fn is_same(
    files: &Rooted,
    path: &HostPath,
    artifact: &ArtifactRef,
) -> Result<bool, FileError> {
    for (number, hash) in (0..).zip(&artifact.pieces) {
        let piece = files.read_from(path, number * ARTIFACT_PIECE_BYTES, ARTIFACT_PIECE_BYTES)?;
        if ContentHash::of(&piece) != *hash {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes an artifact into its place.
pub(in crate::resources) fn write(
    files: &Rooted,
    contents: &dyn Contents,
    file: &NewFile<'_>,
    artifact: &ArtifactRef,
    validator: Option<Validator<'_>>,
) -> Result<(), ApplyError> {
    let mut reader = Reader::new(contents, artifact);
    let (lost, mut is_other) = (reader.lost(), false);
    let mut copy = |out: &mut dyn Write| {
        let mut whole = digest::Context::new(&digest::SHA256);
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = reader.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            whole.update(&chunk[..read]);
            out.write_all(&chunk[..read])?;
        }
        is_other = whole.finish().as_ref() != artifact.sha256.as_bytes();
        if is_other {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    };
    let written = files.replace_with(file, Source::Stream(&mut copy), validator);
    if let Some(error) = lost.take() {
        return Err(error.into());
    }
    if is_other {
        let text = format!(
            "the pieces of artifact {} together are another",
            artifact.sha256
        );
        return Err(ApplyError::Refused(text));
    }
    Ok(written?)
}

#[cfg(test)]
mod tests {
    use super::super::reader::tests::Pieces;
    use super::*;

    fn wanted(path: &HostPath) -> NewFile<'_> {
        NewFile {
            path,
            mode: 0o640,
            uid: None,
            gid: None,
        }
    }

    #[test]
    fn an_artifact_is_written_piece_by_piece_and_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = Rooted::open(dir.path()).unwrap();
        let path = HostPath::new("/opt/package").unwrap();
        let bytes: Vec<u8> = (0..(1_u32 << 20) + 5).map(|at| (at / 7) as u8).collect();
        let (pieces, artifact) = Pieces::of(&bytes);
        write(&files, &pieces, &wanted(&path), &artifact, None).unwrap();
        assert!(files.read(&path, 4 << 20).unwrap() == bytes);
        assert!(is_same(&files, &path, &artifact).unwrap());
        let mut changed = bytes;
        changed[1 << 20] ^= 1;
        std::fs::write(dir.path().join("opt/package"), changed).unwrap();
        assert!(!is_same(&files, &path, &artifact).unwrap());
    }

    #[test]
    fn pieces_that_together_are_another_file_never_stand_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let files = Rooted::open(dir.path()).unwrap();
        let path = HostPath::new("/opt/package").unwrap();
        let (pieces, mut artifact) = Pieces::of(b"content");
        artifact.sha256 = ContentHash::of(b"another");
        let refused = write(&files, &pieces, &wanted(&path), &artifact, None).unwrap_err();
        assert!(refused.to_string().contains("together"), "{refused}");
        artifact.pieces[0] = ContentHash::of(b"gone");
        let refused = write(&files, &pieces, &wanted(&path), &artifact, None).unwrap_err();
        assert!(matches!(refused, ApplyError::Content(_)), "{refused}");
        assert!(files.look(&path).unwrap().is_none());
        let left = std::fs::read_dir(dir.path().join("opt")).unwrap();
        assert_eq!(left.count(), 0);
    }
}
