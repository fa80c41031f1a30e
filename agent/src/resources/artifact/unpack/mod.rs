//! Unpacking archives that nobody trusts: who sends one to the cluster may have been deceived.
//!
//! Names are judged before anything is made ([`names`]), and what is made is made below one opened
//! folder without following links. Modes are ours; owners are ours; devices, pipes, hard links, sparse
//! files and encrypted entries are refused. How much comes out is bounded in number, in size, and by
//! what went in.

mod names;
#[cfg(test)]
pub(super) mod samples;
mod tarred;
#[cfg(test)]
mod tests;
mod zipped;

use std::io::{self, BufReader, Read};

use email_engine_protocol::desired::{ArchiveForm, ArchiveSpec};
use flate2::bufread::MultiGzDecoder;

use super::reader::Reader;
use crate::host::Unpacked;

/// Most entries of an archive.
const ENTRIES: u64 = 200_000;
/// Most bytes that come out of one.
const BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Most bytes that come out for each that goes in, where more than [`SMALL`] come out at all.
const RATIO: u64 = 200;
const SMALL: u64 = 64 * 1024 * 1024;

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    /// It is no archive of this kind, or damaged.
    #[error("it cannot be read: {0}")]
    Archive(String),
    /// Something of a kind that is not taken.
    #[error("{name} is {what}, which is not taken")]
    Kind {
        /// Its name.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// Something could not be made.
    #[error("{name} cannot be made: {source}")]
    Make {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name that leads elsewhere, or is none.
    #[error("{name:?} is no name that is taken: {reason}")]
    Name {
        /// The name, cut.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than may come out.
    #[error("it holds more than {0}")]
    TooMuch(String),
}

/// Unpacks an archive into a folder that is being made.
pub(super) fn unpack(
    reader: Reader<'_>,
    spec: &ArchiveSpec,
    into: &Unpacked<'_>,
) -> Result<(), UnpackError> {
    let mut sink = Sink::new(spec, into);
    match spec.form {
        ArchiveForm::TarGz => {
            tarred::unpack(MultiGzDecoder::new(BufReader::new(reader)), &mut sink)
        }
        ArchiveForm::TarZst => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(BufReader::new(reader));
            let decoder = decoder.map_err(|error| UnpackError::Archive(error.to_string()))?;
            tarred::unpack(decoder, &mut sink)
        }
        ArchiveForm::Zip => zipped::unpack(reader, &mut sink),
    }
}

/// Where entries go, and how many may still come.
struct Sink<'a> {
    spec: &'a ArchiveSpec,
    into: &'a Unpacked<'a>,
    entries: u64,
    bytes: u64,
    limit: u64,
}

impl<'a> Sink<'a> {
    fn new(spec: &'a ArchiveSpec, into: &'a Unpacked<'a>) -> Self {
        let most = spec.artifact.length.saturating_mul(RATIO);
        let limit = most.clamp(SMALL, BYTES);
        Self {
            spec,
            into,
            entries: 0,
            bytes: limit,
            limit,
        }
    }

    /// Counts one entry and says where it goes; nowhere, when it is above what is wanted.
    fn place(&mut self, name: &[u8]) -> Result<Option<Vec<String>>, UnpackError> {
        self.entries += 1;
        // Folders that no entry names are made as well: a name can bring as many as it has parts.
        if self.entries > ENTRIES || self.into.folders() > ENTRIES {
            return Err(UnpackError::TooMuch(format!(
                "{ENTRIES} entries or folders"
            )));
        }
        let refused = |reason| UnpackError::Name {
            name: names::shown(name),
            reason,
        };
        names::inside(name, self.spec.strip).map_err(refused)
    }

    fn folder(&mut self, name: &[u8]) -> Result<(), UnpackError> {
        let Some(place) = self.place(name)? else {
            return Ok(());
        };
        let made = self.into.folder(&place);
        made.map_err(|source| not_made(name, source))
    }

    /// Says how many bytes were taken; nothing when it is left out.
    fn file(
        &mut self,
        name: &[u8],
        runs: bool,
        from: &mut dyn Read,
    ) -> Result<Option<u64>, UnpackError> {
        let Some(place) = self.place(name)? else {
            return Ok(None);
        };
        let mode = if runs {
            self.spec.mode
        } else {
            self.spec.mode & 0o666
        };
        // One byte more than may come tells whether more would.
        let mut bounded = from.take(self.bytes + 1);
        let made = self.into.file(&place, mode, &mut bounded);
        let length = made.map_err(|source| not_made(name, source))?;
        match self.bytes.checked_sub(length) {
            Some(left) => self.bytes = left,
            None => return Err(UnpackError::TooMuch(format!("{} bytes", self.limit))),
        }
        Ok(Some(length))
    }

    fn link(&mut self, name: &[u8], target: &[u8]) -> Result<(), UnpackError> {
        let Some(place) = self.place(name)? else {
            return Ok(());
        };
        let depth = place.len() - 1;
        let target = names::leads_inside(target, depth).map_err(|reason| UnpackError::Name {
            name: names::shown(target),
            reason,
        })?;
        let made = self.into.link(&place, target);
        made.map_err(|source| not_made(name, source))
    }
}

fn not_made(name: &[u8], source: io::Error) -> UnpackError {
    UnpackError::Make {
        name: names::shown(name),
        source,
    }
}
