//! Mode, owner and group: what files and folders have in common.

use email_engine_protocol::observed::Mode;

use crate::host::{AccountError, Entry, Machine};

/// Wanted access.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    pub(super) mode: u32,
    pub(super) owner: Option<&'a str>,
    pub(super) group: Option<&'a str>,
}

impl Access<'_> {
    /// What differs, in words; nothing when all is right.
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

    /// What cannot be told about it here.
    pub(super) fn unverified(&self, machine: &Machine) -> Option<String> {
        let named = self.owner.is_some() || self.group.is_some();
        (named && machine.mode() == Mode::Sandbox).then(|| {
            let owner = self.owner.unwrap_or("-");
            let group = self.group.unwrap_or("-");
            format!("ownership {owner}:{group} cannot be had in a sandbox")
        })
    }
}
