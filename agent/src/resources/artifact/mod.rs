//! Files of an operator, from their pieces in the ledger: as they are, or unpacked. Never whole in
//! memory.

mod archive;
mod file;
mod reader;
mod unpack;

pub(super) use archive::{apply, marker, observe, remove};
pub(super) use file::{is_same, write};
pub(super) use reader::Reader;
#[cfg(test)]
pub(super) use reader::tests::Pieces;
