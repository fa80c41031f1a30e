//! Backups: a snapshot, sealed to the recovery key together with the key that opens its secrets; and
//! restore: a new cluster's first node made of one.

mod framing;
#[cfg(test)]
mod fuzz;
mod restore;
mod save;

pub use restore::{RestoreError, Restored, check_backup, restore};
pub use save::{BackupError, BackupSummary};
