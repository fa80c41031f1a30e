//! Tests of the room over real disks and real QUIC.

mod behind;
mod harness;
mod lead;
mod life;
mod mend;
mod peers;
mod quorum;
mod refusals;
mod restore;
mod store;
mod time;

pub(super) use harness::entry;
