//! Where a test may end the process in its mind: after the n-th step nothing works any more.

use rustix::io::Errno;

/// Counts the steps of a write. Costs nothing outside tests.
#[derive(Debug, Default)]
pub(in crate::host) struct Failpoint {
    #[cfg(test)]
    left: std::sync::Mutex<Option<u32>>,
}

impl Failpoint {
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
}
