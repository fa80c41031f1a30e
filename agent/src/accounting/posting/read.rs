//! One batch: what of a tenant's bounces and complaints was written since, in the form that the webhook reads.

use std::collections::BTreeSet;
use std::net::IpAddr;

use csv::ByteRecord;
use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{HostPath, RecordKind};
use email_engine_protocol::observed::AccountingFileId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::follow;
use super::super::line::columns::Columns;
use super::super::line::record::{self, Line};
use super::super::line::split::{self, Cut};
use super::super::names::{Names, Whose};
use crate::halves::POST_BYTES;
use crate::host::{FileError, Opened, Rooted};

/// Most records of one post.
pub(super) const RECORDS: usize = 200;
/// Bytes that are read for one batch, of all files together.
const STEP_BYTES: u64 = 256 * 1024;
/// Room for the signs around the records.
const AROUND: usize = 2;
/// What the application looks a message up by.
const MESSAGE: &str = "header_Message-Id";
/// What is posted of a record; whatever else stands in it stays on the host.
const FIELDS: [&str; 9] = [
    "type",
    "timeLogged",
    "orig",
    "rcpt",
    "dsnStatus",
    "dsnDiag",
    "bounceCat",
    "feedbackType",
    MESSAGE,
];

/// Up to where a file was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) file: AccountingFileId,
    pub(super) at: u64,
    /// The header line that records after it are read by.
    header: Vec<u8>,
}

/// Whose records, and of which files.
pub(super) struct Wanted<'a> {
    pub(super) path: &'a HostPath,
    pub(super) names: &'a Names,
    pub(super) addresses: &'a BTreeSet<IpAddr>,
}

/// Records, and up to where files are taken when these are.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<String>,
    size: usize,
    pub(super) places: Vec<Place>,
    /// There is more that is not looked at.
    pub(super) more: bool,
}

impl Batch {
    /// Reads on from these places, the oldest file first. Files that are gone are forgotten.
    pub(super) fn read(
        files: &Rooted,
        wanted: &Wanted<'_>,
        places: &[Place],
    ) -> Result<Self, FileError> {
        let mut batch = Self::default();
        let Some(parts) = follow::parts(files, wanted.path, |_| false)? else {
            batch.places = places.to_vec();
            return Ok(batch);
        };
        let mut left = STEP_BYTES;
        for path in &parts.paths {
            let file = match files.open_regular(path) {
                Ok(Some(file)) => file,
                // What is no file holds no records.
                Ok(None) | Err(FileError::NotRegular(_)) => continue,
                Err(error) => return Err(error),
            };
            let Some(head) = follow::head(&file)? else {
                continue;
            };
            let id = AccountingFileId {
                name: path.file_name().to_owned(),
                head: ContentHash::of(&head),
            };
            let known = places.iter().find(|place| place.file == id);
            // One that was cut is another one: what stands there now was never taken.
            let known = known.filter(|place| place.at <= file.size).cloned();
            let mut place = known.unwrap_or(Place {
                file: id,
                at: 0,
                header: Vec::new(),
            });
            batch.follow(&file, wanted, &mut place, &mut left)?;
            batch.places.push(place);
        }
        Ok(batch)
    }

    /// A JSON array, when there is anything.
    pub(super) fn body(&self) -> Option<Vec<u8>> {
        let joined = || format!("[{}]", self.records.join(",")).into_bytes();
        (!self.records.is_empty()).then(joined)
    }

    /// Takes records of one file until it ends, or there is no room for the next one.
    fn follow(
        &mut self,
        file: &Opened,
        wanted: &Wanted<'_>,
        place: &mut Place,
        left: &mut u64,
    ) -> Result<(), FileError> {
        if place.at == file.size {
            return Ok(());
        }
        if *left < split::RECORD_BYTES as u64 {
            self.more = true;
            return Ok(());
        }
        let bytes = file.read_at(place.at, (file.size - place.at).min(*left))?;
        *left = left.saturating_sub(bytes.len() as u64);
        let mut header = Header::of(&place.header);
        let mut rest = &bytes[..];
        loop {
            let length = match split::first(rest) {
                Cut::Record(length) => {
                    let line = &rest[..length];
                    if let Some(next) = Header::read(line) {
                        place.header = line.to_vec();
                        header = Some(next);
                    } else if let Some(said) =
                        header.as_ref().and_then(|one| one.said(line, wanted))
                        && !self.take(said)
                    {
                        self.more = true;
                        return Ok(());
                    }
                    length
                }
                Cut::TooLong(length) => length,
                Cut::Unfinished => break,
            };
            place.at += length as u64;
            rest = &rest[length..];
        }
        // What is left is a line that is not whole yet, unless more of the file follows.
        let seen = place.at + rest.len() as u64;
        self.more |= seen < file.size;
        Ok(())
    }

    /// Whether there was room.
    fn take(&mut self, said: String) -> bool {
        let size = self.size + said.len() + 1;
        if self.records.len() == RECORDS || size + AROUND > POST_BYTES {
            return false;
        }
        self.size = size;
        self.records.push(said);
        true
    }
}

/// A header line, and where in a record what is posted stands.
struct Header {
    columns: Columns,
    places: Vec<(&'static str, usize)>,
}

impl Header {
    fn of(line: &[u8]) -> Option<Self> {
        if line.is_empty() {
            None
        } else {
            Self::read(line)
        }
    }

    fn read(line: &[u8]) -> Option<Self> {
        let fields = record::fields(line)?;
        let columns = Columns::of(&fields)?;
        let place = |name: &&'static str| {
            let mut names = fields.iter();
            let at = names.position(|field| field.eq_ignore_ascii_case(name.as_bytes()))?;
            Some((*name, at))
        };
        let places = FIELDS.iter().filter_map(place).collect();
        Some(Self { columns, places })
    }

    /// A record as JSON, when the tenant's application can do something about it: a bounce or a complaint that
    /// is of its identities, and of a message that it knows by its id.
    fn said(&self, line: &[u8], wanted: &Wanted<'_>) -> Option<String> {
        let Ok(Line::Record(read)) = record::read(line, Some(&self.columns)) else {
            return None;
        };
        let is_wanted = matches!(
            read.kind,
            RecordKind::Bounced | RecordKind::Complaint | RecordKind::Returned
        );
        match wanted.names.whose(&read) {
            Whose::Identity(address) if is_wanted && wanted.addresses.contains(&address) => {}
            _ => return None,
        }
        let fields: ByteRecord = record::fields(line)?;
        let mut said = Map::new();
        for (name, at) in &self.places {
            let text = String::from_utf8_lossy(fields.get(*at).unwrap_or_default());
            let text = text.trim();
            if !text.is_empty() {
                said.insert((*name).to_owned(), Value::String(cut(text)));
            }
        }
        said.contains_key(MESSAGE)
            .then(|| Value::Object(said).to_string())
    }
}

/// A receiver's reply may be as long as it likes: one record must leave room for itself in a post.
fn cut(text: &str) -> String {
    const BYTES: usize = 1024;
    text[..text.floor_char_boundary(BYTES)].to_owned()
}
