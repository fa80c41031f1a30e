//! What was sent: PowerMTA's accounting files, read record by record.
//!
//! - `follow` finds the files of the desired state's accounting paths and reads on where the last step
//!   ended, a bounded stretch at a time. A file is known by its name or inode *and* by its first
//!   record, because names are used again.
//! - [`mod@line`] finds whole records in bytes and reads them by the names of the header.
//! - [`names`] says whose record it is, [`tally`] counts it, [`notices`] keeps what an operator should
//!   know: unknown senders, records of nobody, lines that cannot be read.
//! - [`Books`] is all of that, in one record of the agent's own: positions and counts change together,
//!   so that a crash counts nothing twice and loses nothing. [`telling`] says it to the cluster in
//!   batches.

mod book;
mod books;
mod follow;
pub mod line;
pub mod names;
pub mod notices;
pub mod tally;
pub mod telling;
#[cfg(test)]
mod tests;

pub(crate) use books::RECORD;
pub use books::{Books, Step};

/// Bytes that are read in one step, of all files together: a backlog must not keep the executor from
/// its other work.
pub const STEP_BYTES: u64 = 1024 * 1024;
