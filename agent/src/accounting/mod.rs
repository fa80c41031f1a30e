//! What was sent: PowerMTA's accounting files, read record by record.
//!
//! - `follow` finds the files of the desired state's accounting paths. A file is known by its name or
//!   inode *and* by its first record, because names are used again; `book` is what is known of one.
//! - `begin` says where reading begins, by the cluster's cursor of the file: the cluster remembers what
//!   was counted, the agent nothing. `gaps` finds out what went unread.
//! - `scan` is a pass over one file, a bounded stretch at a time. [`mod@line`] finds whole records in
//!   bytes and reads them by the names of the header; [`names`] says whose record it is, [`counts`] what it
//!   counts and at whose mailboxes, [`notices`] keeps what an operator should know: unknown senders, records
//!   of nobody, lines that cannot be read.
//! - [`posting`] tells tenants' applications of bounces and complaints, by cursors of its own.
//! - [`Books`] is all of that, `look` one look at the files; [`telling`] says it to the cluster in batches.

mod begin;
mod book;
mod books;
pub mod counts;
mod follow;
mod gaps;
pub mod line;
mod look;
pub mod names;
pub mod notices;
pub mod posting;
mod scan;
pub mod telling;
#[cfg(test)]
mod tests;

pub(crate) use books::RECORD;
pub use books::{Books, Step};

/// Bytes that are read in one step, of all files together: a backlog must not keep the executor from
/// its other work.
pub const STEP_BYTES: u64 = 1024 * 1024;
