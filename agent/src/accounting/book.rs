//! What is known of one accounting file: how far it is told, and the pass that reads on.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::HostPath;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{AccountingFileId, FileCursor, Gap, Stretch, TAIL_BYTES};
use email_engine_protocol::time::Timestamp;

use super::begin::{Begin, begin};
use super::scan::Scan;
use super::{STEP_BYTES, follow};
use crate::host::{FileError, Opened};

/// Bytes that one stretch covers before it is told: one more step fits under the cluster's bound.
const STRETCH_BYTES: u64 = limits::STATISTICS_BYTES - STEP_BYTES;

/// One file.
#[derive(Debug)]
pub(super) struct Book {
    /// The path of the state that it belongs to.
    pub(super) base: HostPath,
    pub(super) id: AccountingFileId,
    /// Bytes that the hash in the id is of.
    pub(super) head: u64,
    pub(super) inode: u64,
    /// When its first record was written, where that can be read.
    pub(super) first: Option<Timestamp>,
    /// Up to where the cluster counted it.
    pub(super) told: Option<FileCursor>,
    pub(super) phase: Phase,
    /// What was said of it and is not known to be counted.
    pub(super) said: Option<Stretch>,
    /// Its bytes at the last look.
    pub(super) size: u64,
    /// Up to where an operator was told what is to be told.
    pub(super) noted: u64,
    /// What is missing before it.
    pub(super) gap: Option<Gap>,
    /// Whether it was there at the last look, and with more than was read.
    pub(super) present: bool,
    pub(super) is_behind: bool,
    /// As `is_behind`, at the look before.
    pub(super) is_unread: bool,
}

/// What is done with it.
#[derive(Debug)]
pub(super) enum Phase {
    /// It is not yet known where to begin.
    Unplaced,
    /// All of it is told, or nothing of it can be, while it has so many bytes. A last line that was
    /// torn is none: it is not read again and again.
    Resting { size: u64 },
    /// It is read.
    Scanning(Box<Scan>),
}

impl Book {
    pub(super) fn new(
        base: HostPath,
        name: String,
        head: &[u8],
        inode: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            base,
            id: AccountingFileId {
                name,
                head: ContentHash::of(head),
            },
            head: head.len() as u64,
            inode,
            first: follow::first_time(head, now),
            told: None,
            phase: Phase::Unplaced,
            said: None,
            size: 0,
            noted: 0,
            gap: None,
            present: true,
            is_behind: false,
            is_unread: false,
        }
    }

    /// Whether these are its first bytes.
    pub(super) fn begins(&self, head: &[u8]) -> bool {
        head.len() as u64 == self.head && ContentHash::of(head) == self.id.head
    }

    pub(super) fn scan(&self) -> Option<&Scan> {
        match &self.phase {
            Phase::Scanning(scan) => Some(scan),
            Phase::Unplaced | Phase::Resting { .. } => None,
        }
    }

    pub(super) fn scan_mut(&mut self) -> Option<&mut Scan> {
        match &mut self.phase {
            Phase::Scanning(scan) => Some(scan),
            Phase::Unplaced | Phase::Resting { .. } => None,
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.said.is_some() || self.scan().is_some_and(Scan::has_news)
    }

    /// Whether all of it was read, and nothing waits to be said.
    pub(super) fn is_read(&self) -> bool {
        let is_read = match &self.phase {
            Phase::Unplaced => false,
            Phase::Resting { .. } => true,
            Phase::Scanning(scan) => scan.is_counting() && !scan.has_news(),
        };
        is_read && !self.is_behind
    }

    /// What is to be said of it: what came to nothing before, else what was counted since.
    pub(super) fn say(&mut self) -> Option<Stretch> {
        if self.said.is_none() {
            let id = self.id.clone();
            self.said = self.scan_mut()?.take(&id);
        }
        self.said.clone()
    }

    /// Whether nothing more fits before some of it is told.
    pub(super) fn is_full(&self) -> bool {
        self.scan().is_some_and(|scan| {
            let is_long = scan.is_counting() && scan.position - scan.from >= STRETCH_BYTES;
            is_long
                || scan.tally.len() >= limits::STATISTICS_ROWS
                || scan.replies.len() >= limits::REPLY_ROWS
        })
    }

    /// Rows that are not told.
    pub(super) fn rows(&self) -> usize {
        let said = self.said.as_ref().map_or(0, |said| said.totals.len());
        said + self.scan().map_or(0, |scan| scan.tally.len())
    }

    /// How far it was read, as far as that counts.
    pub(super) fn position(&self) -> u64 {
        let told = || self.told.as_ref().map_or(0, |cursor| cursor.at);
        self.scan().map_or_else(told, |scan| scan.position)
    }

    /// The cluster says up to where it counted. What was counted here from there on stays. Gives what is
    /// lost, when the file is gone and what was said of it counts no more.
    pub(super) fn learn(&mut self, told: Option<FileCursor>) -> Option<Gap> {
        let is_same = self.told == told;
        let at = told.as_ref().map_or(0, |cursor| cursor.at);
        self.told = told;
        if let Some(said) = self.said.take() {
            let known = self.told.as_ref().map(|cursor| (cursor.at, cursor.mark));
            if at == said.instead_of.unwrap_or(said.from) {
                self.said = Some(said);
                return None;
            }
            if known != Some((said.to, said.mark)) {
                self.phase = Phase::Unplaced;
                let from = known.map_or(Timestamp(0), |(_, mark)| mark.last);
                let from = from.max(self.first.unwrap_or_default());
                let to = said.mark.last;
                return (!self.present && from < to).then_some(Gap { from, to });
            }
        }
        let goes_on = match &self.phase {
            Phase::Unplaced => false,
            Phase::Resting { .. } => is_same,
            Phase::Scanning(scan) => {
                scan.is_counting() && scan.from == at && scan.instead_of.is_none()
            }
        };
        if !goes_on {
            self.phase = Phase::Unplaced;
        }
        None
    }

    /// The cluster counted it once, and remembers no more up to where: what is said of it is never counted.
    pub(super) fn forget(&mut self) {
        (self.told, self.said) = (None, None);
        self.phase = Phase::Unplaced;
    }

    /// Whether before a cursor stands what stood there when it was said.
    pub(super) fn fits(file: &Opened, cursor: &FileCursor) -> Result<bool, FileError> {
        Ok(ContentHash::of(&tail(file, cursor.at)?) == cursor.mark.tail)
    }

    /// Finds out where to read on, when that is not known or the file is not what it was.
    pub(super) fn place(&mut self, file: &Opened, is_forgotten: bool) -> Result<(), FileError> {
        self.size = file.size;
        let is_as_it_was = match &self.phase {
            Phase::Unplaced => false,
            Phase::Resting { size } => is_forgotten || file.size == *size,
            Phase::Scanning(scan) if file.size == scan.position => true,
            Phase::Scanning(scan) if file.size < scan.position => false,
            Phase::Scanning(scan) => scan.is_behind(&tail(file, scan.position)?),
        };
        if is_as_it_was {
            return Ok(());
        }
        if !matches!(self.phase, Phase::Unplaced) && file.size < self.position() {
            tracing::warn!(
                file = self.id.name,
                read = self.position(),
                size = file.size,
                "an accounting file lost records that were read already"
            );
        }
        let mut fits = false;
        if let Some(cursor) = self.told.as_ref().filter(|cursor| cursor.at <= file.size) {
            fits = Self::fits(file, cursor)?;
        }
        let begun = begin(self.told.as_ref(), is_forgotten, file.size, |_| fits);
        if begun == Begin::Skip {
            tracing::warn!(
                file = self.id.name,
                "an accounting file is left alone: it was counted once, long ago"
            );
        }
        self.said = None;
        self.phase = match Scan::begin(begun) {
            Some(scan) => Phase::Scanning(Box::new(scan)),
            None => Phase::Resting { size: file.size },
        };
        Ok(())
    }
}

/// The bytes before a place.
fn tail(file: &Opened, at: u64) -> Result<Vec<u8>, FileError> {
    let from = at.saturating_sub(TAIL_BYTES as u64);
    file.read_at(from, at - from)
}
