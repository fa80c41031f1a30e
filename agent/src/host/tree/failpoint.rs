//! Where a test may end the process in its mind: after the n-th step nothing works any more.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// Counts the steps of a write. Costs nothing outside tests.
#[derive(Debug, Default)]
pub(in crate::host) struct Failpoint {
    #[cfg(test)]
    left: std::sync::Arc<std::sync::Mutex<Option<u32>>>,
    #[cfg(test)]
    synced: std::sync::Mutex<Vec<std::path::PathBuf>>,
}

impl Failpoint {
    /// Makes what was written durable: a step too, and one that a test can look at.
    pub(super) fn sync(&self, fd: impl AsFd) -> Result<(), Errno> {
        self.step()?;
        rustix::fs::fsync(&fd)?;
        #[cfg(test)]
        self.synced.lock().unwrap().push(place_of(&fd));
        Ok(())
    }

    /// One step further; an error once the set number is used up.
    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "its twin counts"
    )]
    pub(super) const fn step(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// One step further; an error once the set number is used up.
    #[cfg(test)]
    pub(super) fn step(&self) -> Result<(), Errno> {
        let mut left = self.left.lock().unwrap();
        match left.as_mut() {
            None => Ok(()),
            Some(0) => Err(Errno::CANCELED),
            Some(count) => {
                *count -= 1;
                Ok(())
            }
        }
    }

    #[cfg(test)]
    pub(in crate::host) fn die_after(&self, steps: u32) {
        *self.left.lock().unwrap() = Some(steps);
    }

    /// Whether the set number is used up.
    #[cfg(test)]
    pub(in crate::host) fn is_dead(&self) -> bool {
        *self.left.lock().unwrap() == Some(0)
    }

    /// Counts its steps together with those of another tree: one machine, one death.
    #[cfg(test)]
    pub(in crate::host) fn die_with(&mut self, other: &Self) {
        self.left = std::sync::Arc::clone(&other.left);
    }

    /// What was synced since this was asked last, in its order.
    #[cfg(test)]
    pub(in crate::host) fn take_synced(&self) -> Vec<std::path::PathBuf> {
        std::mem::take(&mut self.synced.lock().unwrap())
    }
}

/// Where a descriptor leads to; a file without a name says so.
#[cfg(test)]
fn place_of(fd: impl AsFd) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())).unwrap()
}
