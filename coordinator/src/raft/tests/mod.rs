//! Tests of the room over real disks and real QUIC.

mod harness;
mod life;
mod mend;
mod quorum;
mod refusals;
mod restore;
mod store;
mod time;

pub(super) use harness::entry;
