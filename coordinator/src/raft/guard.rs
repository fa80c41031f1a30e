//! What keeps a leader from proposing although it could: a disk that is nearly full, a clock that is
//! not the others'.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokio::sync::watch;

use email_engine_protocol::id::NodeId;

use crate::command::AGREEMENT_MILLIS;

/// How far the leader's clock may be off the quorum's median.
pub(crate) const CLOCK_LIMIT_MILLIS: i64 = AGREEMENT_MILLIS.cast_signed();

/// Name of the file that can be deleted to make room.
pub const BALLAST: &str = "ballast";

/// The reasons, each absent while all is well.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    low_disk: watch::Sender<Option<String>>,
    clock_off: watch::Sender<Option<String>>,
    time_doubted: watch::Sender<Option<String>>,
}

impl Guard {
    /// Why the disk forbids proposals.
    pub(crate) fn low_disk(&self) -> Option<String> {
        self.low_disk.borrow().clone()
    }

    /// Why the clock forbids proposals.
    pub(crate) fn clock_off(&self) -> Option<String> {
        self.clock_off.borrow().clone()
    }

    /// Looks at the disk.
    pub(crate) fn look_at_disk(&self, folder: &Path, min_free: u64) {
        let reason = match free_bytes(folder) {
            Ok(free) if free >= min_free => None,
            Ok(free) => Some(format!(
                "{free} bytes are free in {}, {min_free} are needed",
                folder.display()
            )),
            Err(error) => Some(format!(
                "free space of {} is unknown: {error}",
                folder.display()
            )),
        };
        set(&self.low_disk, reason, "disk space");
    }

    /// Takes a verdict on the clock: `None` when too few nodes answered to have one.
    pub(crate) fn judge_clock(&self, verdict: Option<i64>) {
        if let Some(off) = verdict {
            let reason = (off.abs() > CLOCK_LIMIT_MILLIS).then(|| {
                format!("the leader's clock is {off} ms from the median of the quorum's clocks")
            });
            set(&self.clock_off, reason, "clock");
        }
    }

    /// Why the fleet's time cannot follow the clock after a long stop.
    pub(crate) fn time_doubted(&self) -> Option<String> {
        self.time_doubted.borrow().clone()
    }

    /// Notes whether the fleet's time can follow the clock.
    pub(crate) fn doubt_time(&self, reason: Option<String>) {
        set(&self.time_doubted, reason, "the fleet's time");
    }

    /// Forgets what was found about the clock: another node leads.
    pub(crate) fn forget_clock(&self) {
        set(&self.clock_off, None, "clock");
        set(&self.time_doubted, None, "the fleet's time");
    }
}

fn set(gate: &watch::Sender<Option<String>>, reason: Option<String>, what: &'static str) {
    gate.send_if_modified(|now| {
        if now.is_some() == reason.is_some() {
            return false;
        }
        match &reason {
            Some(reason) => tracing::warn!(what, %reason, "proposals are refused"),
            None => tracing::info!(what, "proposals are taken again"),
        }
        *now = reason;
        true
    });
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Makes the ballast, when there is ample room for it.
pub(crate) fn make_ballast(folder: &Path, bytes: u64, min_free: u64) -> io::Result<()> {
    let path = folder.join(BALLAST);
    let there = std::fs::metadata(&path).is_ok_and(|found| found.len() == bytes);
    if bytes == 0 || there || !is_ample(free_bytes(folder)?, bytes, min_free) {
        return Ok(());
    }
    let file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // A file system that cannot reserve: a ballast that weighs nothing would be a lie.
        Err(rustix::io::Errno::OPNOTSUPP) => std::fs::remove_file(&path),
        Err(error) => Err(error.into()),
    }
}

/// Whether a ballast leaves enough. What was gained by deleting it on a full disk must not go into a new
/// one at the next start, which would have nothing to start with.
fn is_ample(free: u64, bytes: u64, min_free: u64) -> bool {
    free >= bytes.saturating_add(bytes / 4).saturating_add(min_free)
}

/// How many of these clocks, told as distances from the leader's own, tell its time.
pub(crate) fn agreeing(clocks: &BTreeMap<NodeId, i64>) -> usize {
    let agrees = |off: &&i64| off.unsigned_abs() <= AGREEMENT_MILLIS;
    clocks.values().filter(agrees).count()
}

/// The median of the clocks' distances from the leader's own, when a majority of `voters` is in it.
pub(crate) fn clock_verdict(mut offsets: Vec<i64>, voters: usize) -> Option<i64> {
    if voters == 0 || offsets.len() <= voters / 2 {
        return None;
    }
    offsets.sort_unstable();
    let middle = offsets.len() / 2;
    if offsets.len() % 2 == 1 {
        Some(offsets[middle])
    } else {
        // Of two middle ones the one nearer to the leader: two nodes alone cannot tell who is right.
        let (low, high) = (offsets[middle - 1], offsets[middle]);
        Some(if low.abs() <= high.abs() { low } else { high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_is_judged_by_the_median_of_a_majority() {
        assert_eq!(clock_verdict(vec![0], 3), None);
        assert_eq!(clock_verdict(vec![0], 1), Some(0));
        assert_eq!(clock_verdict(vec![0, 90_000], 3), Some(0));
        assert_eq!(clock_verdict(vec![0, 90_000, 91_000], 3), Some(90_000));
        assert_eq!(clock_verdict(vec![0, -5, 90_000], 3), Some(0));
    }

    #[test]
    fn the_gates_open_and_close() {
        let guard = Guard::default();
        let here = std::env::temp_dir();
        guard.look_at_disk(&here, u64::MAX);
        assert!(guard.low_disk().unwrap().contains("are needed"));
        guard.look_at_disk(&here, 0);
        assert_eq!(guard.low_disk(), None);
        guard.judge_clock(Some(31_000));
        assert!(guard.clock_off().unwrap().contains("31000 ms"));
        guard.judge_clock(None);
        assert!(guard.clock_off().is_some(), "no verdict changes nothing");
        guard.judge_clock(Some(-29_000));
        assert_eq!(guard.clock_off(), None);
    }

    #[test]
    fn a_ballast_that_was_just_deleted_on_a_full_disk_is_not_made_again() {
        assert!(!is_ample(64 << 20, 64 << 20, 0));
        assert!(!is_ample((64 << 20) + 8192, 64 << 20, 0));
        assert!(is_ample(80 << 20, 64 << 20, 0));
        assert!(!is_ample(80 << 20, 64 << 20, 1));
    }

    #[test]
    fn the_ballast_takes_room_and_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        make_ballast(dir.path(), 1 << 20, 0).unwrap();
        make_ballast(dir.path(), 1 << 20, 0).unwrap();
        let made = std::fs::metadata(dir.path().join(BALLAST));
        assert!(made.is_ok_and(|found| found.len() == 1 << 20));
        let other = tempfile::tempdir().unwrap();
        make_ballast(other.path(), 1 << 20, u64::MAX).unwrap();
        assert!(!other.path().join(BALLAST).exists(), "no room for it");
    }
}
