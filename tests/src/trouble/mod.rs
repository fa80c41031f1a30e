//! Trouble that a scenario can make: a wire that is cut in one direction, a disk that is really full.

mod disk;
mod wires;

pub use disk::TightDisk;
pub use wires::Wires;
