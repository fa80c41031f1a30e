//! A zone on its primary server: read by plain questions, changed by one signed message (RFC 2136, RFC 8945).
//!
//! The halves are apart, so that whoever plans cannot change anything: [`Reader`] has no key. One question that
//! the server does not answer with authority ends the reading: what could not be read is not empty. A change
//! carries the plan's conditions, so that the server itself refuses it where the zone is another by then; that
//! holds between two of our own leaders as well as between us and anybody else.

mod read;
mod update;

pub use read::{ReadError, Reader};
pub use update::{UpdateError, Writer};
