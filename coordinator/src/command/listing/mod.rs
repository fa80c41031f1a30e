//! Verbs about lists of bad senders: a sweep begins, and what was seen is written down. Neither changes the
//! fleet: what follows from a listing is decided elsewhere, by what is committed here.

mod begin;
mod record;

pub use begin::BeginSweep;
pub use record::{RecordListings, RunEnd, Sighting};

/// Most lists of one sweep.
const LISTS: usize = 64;
/// Most subjects of one entry; a run with more says so in several.
pub(crate) const SUBJECTS: usize = 4_096;
/// Most rows that are kept; those that ended longest ago go first.
const ROWS: usize = 100_000;
/// Rows above that before any go, all at once: finding them is the cost.
const SLACK: usize = 1_000;
/// Most who saw one listing that are remembered.
const OBSERVERS: usize = 8;
/// Most codes of one listing.
const CODES: usize = 16;
/// Longest words of a list, in characters.
const WORDS: usize = 300;

#[cfg(test)]
mod tests;
