//! The same tree for another thread.

use rustix::io::{Errno, fcntl_dupfd_cloexec};

use super::failpoint::Failpoint;
use super::rooted::{FileError, Rooted};

impl Rooted {
    /// The same tree with the same rules, for another thread.
    ///
    /// # Errors
    /// When the system gives no further descriptor.
    pub fn twin(&self) -> Result<Self, FileError> {
        let root = fcntl_dupfd_cloexec(&self.root, 3).map_err(|source: Errno| FileError::Io {
            action: "open",
            path: "/".to_owned(),
            source,
        })?;
        Ok(Self {
            root,
            links: self.links,
            own: self.own.clone(),
            failpoint: Failpoint::default(),
        })
    }
}
