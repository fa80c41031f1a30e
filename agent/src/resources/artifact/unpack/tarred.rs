//! Entries of a tar archive, read as they stand: long names and extended headers are bounded here and
//! not taken into memory as they come.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::names::shown;
use super::{BYTES, ENTRIES, Sink, UnpackError};

/// Largest header of names.
const EXTENDED: u64 = 64 * 1024;
/// What entries take beside their bytes.
const BLOCK: u64 = 4 * 512;

fn unreadable(error: impl std::fmt::Display) -> UnpackError {
    UnpackError::Archive(error.to_string())
}

/// What extended headers said of the entry that follows.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

pub(super) fn unpack(from: impl Read, sink: &mut Sink<'_>) -> Result<(), UnpackError> {
    // Whatever is skipped comes out of the decoder all the same.
    let most = sink.limit.min(BYTES) + ENTRIES * BLOCK;
    let mut archive = Archive::new(from.take(most));
    let entries = archive.entries().map_err(unreadable)?.raw(true);
    let (mut said, mut is_any) = (Said::default(), false);
    for entry in entries {
        let mut entry = entry.map_err(unreadable)?;
        is_any = true;
        match entry.header().entry_type() {
            EntryType::GNULongName => said.name = Some(long(&mut entry)?),
            EntryType::GNULongLink => said.target = Some(long(&mut entry)?),
            EntryType::XHeader => extended(&mut entry, &mut said)?,
            // Of the whole archive, such as a comment.
            EntryType::XGlobalHeader => {}
            _ => one(&mut entry, std::mem::take(&mut said), sink)?,
        }
    }
    if !is_any {
        return Err(UnpackError::Archive("it is empty".to_owned()));
    }
    // The packing has a checksum behind its end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(unreadable)?;
    Ok(())
}

fn one<R: Read>(
    entry: &mut Entry<'_, R>,
    said: Said,
    sink: &mut Sink<'_>,
) -> Result<(), UnpackError> {
    let header = entry.header();
    let name = said
        .name
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let refused = |what| {
        Err(UnpackError::Kind {
            name: shown(&name),
            what,
        })
    };
    match header.entry_type() {
        EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => sink.folder(&name),
        EntryType::Regular | EntryType::Continuous => {
            let size = header.entry_size().map_err(unreadable)?;
            let runs = header.mode().map_err(unreadable)? & 0o111 != 0;
            // One that ends early is no error of the reader's.
            let taken = sink.file(&name, runs, entry)?;
            if taken.is_some_and(|taken| taken < size) {
                let what = format!("{} is cut off", shown(&name));
                return Err(UnpackError::Archive(what));
            }
            Ok(())
        }
        EntryType::Directory => sink.folder(&name),
        EntryType::Symlink => {
            let own = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
            let target = said.target.or_else(own).unwrap_or_default();
            sink.link(&name, &target)
        }
        EntryType::Link => refused("a hard link"),
        EntryType::Char | EntryType::Block => refused("a device"),
        EntryType::Fifo => refused("a pipe"),
        EntryType::GNUSparse => refused("a sparse file"),
        _ => refused("of an unknown kind"),
    }
}

/// A name that stands in an entry of its own.
fn long<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, UnpackError> {
    let mut name = whole(entry)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn whole<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, UnpackError> {
    let mut bytes = Vec::new();
    let read = entry.take(EXTENDED + 1).read_to_end(&mut bytes);
    if read.map_err(unreadable)? as u64 > EXTENDED {
        return Err(UnpackError::TooMuch(format!(
            "{EXTENDED} bytes of one header"
        )));
    }
    Ok(bytes)
}

fn extended<R: Read>(entry: &mut Entry<'_, R>, said: &mut Said) -> Result<(), UnpackError> {
    let bytes = whole(entry)?;
    for one in PaxExtensions::new(&bytes) {
        let one = one.map_err(unreadable)?;
        match one.key_bytes() {
            b"path" => said.name = Some(one.value_bytes().to_vec()),
            b"linkpath" => said.target = Some(one.value_bytes().to_vec()),
            // What follows would be read differently by others.
            b"size" => {
                return Err(UnpackError::TooMuch("8 GiB in one file".to_owned()));
            }
            key if key.starts_with(b"GNU.sparse") => {
                let name = shown(said.name.as_deref().unwrap_or_default());
                let what = "a sparse file";
                return Err(UnpackError::Kind { name, what });
            }
            _ => {}
        }
    }
    Ok(())
}
