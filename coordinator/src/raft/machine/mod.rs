//! The state machine: the fleet state in memory, rebuilt from the newest good snapshot and the log.

mod apply;
mod files;
mod format;
#[cfg(test)]
mod fuzz;
mod replica;
mod snapshot;

pub(crate) use apply::{Apply, fleet_rules};
pub(crate) use files::{SnapshotFile, SnapshotFiles};
pub(crate) use format::{Header, SnapshotError, SnapshotReader};
pub(crate) use replica::{Image, Machine, Replica};
pub(crate) use snapshot::{body_in, newest, rewrite, write_image};
