//! Mode, owner and group: what files and folders have in common.

use crate::host::{AccountError, Entry, Machine};

/// Wanted access.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    pub(super) mode: u32,
    pub(super) owner: Option<&'a str>,
    pub(super) group: Option<&'a str>,
}

impl Access<'_> {
    /// What differs, in words; nothing when all is right. A sandbox has no owners: files belong to
    /// whoever runs the agent there, and its reports say that it is one.
    pub(super) fn diff(
        &self,
        machine: &Machine,
        entry: &Entry,
    ) -> Result<Vec<String>, AccountError> {
        let mut diff = Vec::new();
        if entry.mode != self.mode {
            diff.push(format!("mode {:04o}, not {:04o}", entry.mode, self.mode));
        }
        let (uid, gid) = machine.owners(self.owner, self.group)?;
        if let (Some(uid), Some(name)) = (uid, self.owner)
            && entry.uid != uid
        {
            diff.push(format!("owner {}, not {name}", entry.uid));
        }
        if let (Some(gid), Some(name)) = (gid, self.group)
            && entry.gid != gid
        {
            diff.push(format!("group {}, not {name}", entry.gid));
        }
        Ok(diff)
    }
}
