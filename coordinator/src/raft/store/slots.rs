//! The double-slot file: vote and high-water mark, apart from RocksDB.
//!
//! Two slots on pages of their own. A write without flush always goes to the slot that does not hold
//! the last flushed state, so that a torn write can never take the vote with it. A vote, and a mark
//! that was lowered, is flushed to both slots before it counts: whichever one is damaged later, torn or
//! rotten, the other still has the vote, and this node cannot vote twice in a term. What the older slot
//! may lack is the last rise of the mark.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::{ClusterId, NodeId};

use crate::raft::types::{LogId, Vote};

const MAGIC: [u8; 8] = *b"EEVOTE\x00\x01";
const PAGE: u64 = 4096;
/// Magic, checksum and length in front of a slot's payload.
const HEAD: usize = 16;
const SLOT_BYTES: usize = 1024;

/// Last log entry that is known to be on this disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its index.
    pub(crate) index: u64,
    /// Its term.
    pub(crate) term: u64,
}

impl Mark {
    /// The mark of an entry.
    pub(crate) const fn of(id: &LogId) -> Self {
        Self {
            index: id.index,
            term: id.leader_id.term,
        }
    }
}

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotState {
    /// Newer slots have a higher one.
    sequence: u64,
    /// Whose data this is.
    pub(crate) cluster: ClusterId,
    /// Whose data this is.
    pub(crate) node: NodeId,
    /// The last vote.
    pub(crate) vote: Option<Vote>,
    /// The high-water mark.
    pub(crate) mark: Option<Mark>,
}

impl SlotState {
    /// A node that has done nothing yet.
    pub(crate) const fn new(cluster: ClusterId, node: NodeId, vote: Option<Vote>) -> Self {
        Self {
            sequence: 0,
            cluster,
            node,
            vote,
            mark: None,
        }
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SlotsError {
    /// The disk failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Neither slot is whole: the vote is lost.
    #[error("neither slot of the vote file is whole")]
    Lost,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Slots {
    file: File,
    state: SlotState,
    /// The slot whose content was flushed last; the other one takes the next write.
    flushed: u64,
    dirty: bool,
}

impl Slots {
    /// Opens an existing file.
    pub(crate) fn open(path: &Path) -> Result<Self, SlotsError> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let found: Vec<_> = (0..2)
            .filter_map(|slot| slot_of(&file, slot).map(|state| (state, slot)))
            .collect();
        let whole = found.len() == 2;
        let best = found.into_iter().max_by_key(|(state, _)| state.sequence);
        let Some((state, slot)) = best else {
            return Err(SlotsError::Lost);
        };
        let mut slots = Self {
            file,
            state,
            flushed: 1 - slot,
            dirty: true,
        };
        // What was read may be in the page cache only.
        slots.flush()?;
        if !whole {
            tracing::warn!(
                path = %path.display(),
                damaged = 1 - slot,
                "one slot of the vote file is damaged; the other has the vote, and both are written anew"
            );
            slots.write_both()?;
        }
        Ok(slots)
    }

    /// Makes a new file. Its name is durable when the folder is flushed.
    pub(crate) fn create(path: &Path, state: SlotState) -> Result<Self, SlotsError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.set_len(2 * PAGE)?;
        let mut slots = Self {
            file,
            state,
            flushed: 1,
            dirty: true,
        };
        slots.write_both()?;
        slots.file.sync_all()?;
        Ok(slots)
    }

    /// What it holds.
    pub(crate) const fn state(&self) -> &SlotState {
        &self.state
    }

    /// Stores the vote; on disk when this returns.
    pub(crate) fn set_vote(&mut self, vote: Vote) -> io::Result<()> {
        self.state.vote = Some(vote);
        self.write_both()
    }

    /// Raises the mark; it outlives this process when this returns, and the machine after a flush.
    pub(crate) fn raise(&mut self, mark: Mark) -> io::Result<()> {
        self.state.mark = Some(mark);
        self.write()
    }

    /// Lowers the mark before the log is cut; on disk when this returns.
    pub(crate) fn lower(&mut self, mark: Option<Mark>) -> io::Result<()> {
        self.state.mark = mark;
        self.write_both()
    }

    /// There is something that a power cut would take.
    pub(crate) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Flushes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync_data()?;
            self.flushed = 1 - self.flushed;
            self.dirty = false;
        }
        Ok(())
    }

    /// Writes and flushes one slot after the other: one of them is whole at any moment.
    fn write_both(&mut self) -> io::Result<()> {
        for _ in 0..2 {
            self.write()?;
            self.flush()?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.state.sequence += 1;
        let slot = slot_bytes(&self.state);
        self.dirty = true;
        self.file.write_all_at(&slot, (1 - self.flushed) * PAGE)
    }
}

pub(super) fn slot_bytes(state: &SlotState) -> Vec<u8> {
    framed(&postcard::to_stdvec(state).expect("the vote serialises"))
}

pub(super) fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a vote is small");
    let mut bytes = Vec::with_capacity(HEAD + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&crc32c::crc32c(payload).to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn slot_of(file: &File, slot: u64) -> Option<SlotState> {
    let mut bytes = [0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, slot * PAGE).ok()?;
    read_slot(&bytes)
}

pub(super) fn read_slot(bytes: &[u8]) -> Option<SlotState> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..u32::from_be_bytes(*length) as usize)?;
    if *magic != MAGIC || crc32c::crc32c(payload) != u32::from_be_bytes(*sum) {
        return None;
    }
    postcard::from_bytes(payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(path: &Path) -> Slots {
        Slots::create(path, SlotState::new(ClusterId([1; 16]), NodeId(3), None)).unwrap()
    }

    #[test]
    fn vote_and_mark_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vote");
        let mut slots = fresh(&path);
        slots.set_vote(Vote::new(4, 3)).unwrap();
        slots.raise(Mark { index: 9, term: 4 }).unwrap();
        drop(slots);
        let again = Slots::open(&path).unwrap();
        assert_eq!(again.state().vote, Some(Vote::new(4, 3)));
        assert_eq!(again.state().mark, Some(Mark { index: 9, term: 4 }));
        assert_eq!(again.state().node, NodeId(3));
    }

    #[test]
    fn a_vote_and_a_lowered_mark_are_flushed_before_they_count() {
        // It takes every byte and cannot be flushed: whoever relies on the flush hears of that.
        let zero = || {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).open("/dev/zero").unwrap();
            Slots {
                file,
                state: SlotState::new(ClusterId([1; 16]), NodeId(3), None),
                flushed: 1,
                dirty: false,
            }
        };
        let mark = Mark { index: 9, term: 4 };
        let mut slots = zero();
        slots.raise(mark).unwrap();
        assert!(slots.is_dirty());
        assert!(slots.flush().is_err());
        assert!(slots.is_dirty(), "it was not flushed");
        assert!(zero().lower(Some(mark)).is_err());
        assert!(zero().set_vote(Vote::new(4, 3)).is_err());
    }

    #[test]
    fn a_torn_unflushed_write_never_takes_the_vote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vote");
        let mut slots = fresh(&path);
        for round in 1..5 {
            slots.set_vote(Vote::new(round, 3)).unwrap();
            // Many writes without flush: each may be torn by a power cut.
            for index in 0..3 {
                slots.raise(Mark { index, term: round }).unwrap();
            }
            let torn = (1 - slots.flushed) * PAGE;
            slots.file.write_all_at(&[0xff; 64], torn).unwrap();
            let read = Slots::open(&path).unwrap();
            assert_eq!(read.state().vote, Some(Vote::new(round, 3)));
            drop(read);
            slots = Slots::open(&path).unwrap();
        }
    }

    #[test]
    fn either_slot_may_be_damaged_and_the_vote_is_still_the_last_one() {
        for damaged in 0..2 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("vote");
            let mut slots = fresh(&path);
            for term in 1..6 {
                slots.set_vote(Vote::new(term, term % 3)).unwrap();
                for index in 0..term {
                    slots.raise(Mark { index, term }).unwrap();
                }
                let middle = damaged * PAGE + HEAD as u64 + 4;
                slots.file.write_all_at(&[0xff; 8], middle).unwrap();
                assert!(slot_of(&slots.file, damaged).is_none());
                slots = Slots::open(&path).unwrap();
                assert_eq!(slots.state().vote, Some(Vote::new(term, term % 3)));
                assert!(slot_of(&slots.file, damaged).is_some(), "it is mended");
            }
        }
    }

    #[test]
    fn a_file_without_a_whole_slot_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vote");
        drop(fresh(&path));
        std::fs::write(&path, vec![0; 8192]).unwrap();
        assert!(matches!(Slots::open(&path), Err(SlotsError::Lost)));
    }
}
