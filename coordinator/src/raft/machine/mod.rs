//! The state machine: the fleet state in memory, rebuilt from the newest good snapshot and the log.

mod apply;
mod files;
mod format;
#[cfg(test)]
mod fuzz;
mod head;
mod replica;
mod rot;
mod series;
mod snapshot;

pub(crate) use apply::{Apply, fleet_rules};
pub(crate) use files::{SnapshotFile, SnapshotFiles};
pub(crate) use format::{Header, SnapshotError, SnapshotReader};
pub(crate) use replica::{Image, Machine, Replica};
pub(crate) use rot::fit_to_send;
pub use series::SpanCounts;
pub(crate) use snapshot::{Stored, body_in, is_whole, newest, rewrite, write_image};
