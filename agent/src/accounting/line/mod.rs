//! From bytes to records. Pure, and never at a loss: what is no record is an error that says why.
//!
//! - [`split`] finds whole records in bytes.
//! - [`columns`] knows the fields by the names of the header, [`record`] reads one record by them,
//!   `moment` its three forms of time.

pub mod columns;
mod moment;
pub mod record;
pub mod split;
