//! The folder of a trial: who has it, and what stands where.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use email_engine_protocol::id::{HostId, NodeId};

use super::TrialError;
use crate::private_file;

const LOCK: &str = "trial.lock";

/// A trial's folder. Held as long as this lives, also against a second trial.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes or takes the folder.
    pub(super) fn open(dir: &Path) -> Result<Self, TrialError> {
        let action = || format!("use {}", dir.display());
        private_file::folder(dir)?;
        // Without links and dots: processes get it in their arguments.
        let root = dir.canonicalize().map_err(TrialError::io(action()))?;
        let path = root.join(LOCK);
        if !path.exists() {
            let mut entries = std::fs::read_dir(&root).map_err(TrialError::io(action()))?;
            if entries.next().is_some() {
                return Err(TrialError::Foreign { dir: root });
            }
        }
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(TrialError::io(action()))?;
        // Ends with the process, whichever way that ends. Children do not inherit the file.
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(TrialError::Locked { dir: root }),
            Err(error) => return Err(TrialError::io(action())(error.into())),
        }
        let place = Self { root, _lock: lock };
        // Its keys must not enter a checkout that it happens to stand in.
        private_file::write(&place.root.join(".gitignore"), b"*\n")?;
        for folder in ["logs", "nodes", "hosts"] {
            private_file::folder(&place.root.join(folder))?;
        }
        Ok(place)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The context of the command line.
    pub(super) fn admin(&self) -> PathBuf {
        self.root.join("admin.toml")
    }

    pub(super) fn recovery_key(&self) -> PathBuf {
        self.root.join("recovery-key")
    }

    /// Data of the n-th node.
    pub(super) fn node(&self, n: u64) -> PathBuf {
        self.root.join("nodes").join(n.to_string())
    }

    /// Configuration of the n-th node.
    pub(super) fn node_config(&self, n: u64) -> PathBuf {
        self.root.join("nodes").join(format!("{n}.toml"))
    }

    /// Holds the number under which the n-th node belongs to the cluster, once it does.
    pub(super) fn node_joined(&self, n: u64) -> PathBuf {
        self.root.join("nodes").join(format!("{n}.joined"))
    }

    /// Configuration of the node with this number in the cluster. A number is never used again, so
    /// that it can be ahead of the place in the folder.
    pub(super) fn config_of(&self, node: NodeId) -> Option<PathBuf> {
        (1..)
            .map_while(|n| Some((n, std::fs::read_to_string(self.node_joined(n)).ok()?)))
            .find(|(_, number)| number.trim() == node.to_string())
            .map(|(n, _)| self.node_config(n))
    }

    /// Where a node says on which ports it listens.
    pub(super) fn node_endpoints(&self, n: u64) -> PathBuf {
        self.node(n).join("endpoints.json")
    }

    /// Everything of one host.
    pub(super) fn host(&self, host: &HostId) -> PathBuf {
        self.root.join("hosts").join(host.as_str())
    }

    /// What stands for the host's file system.
    pub(super) fn host_root(&self, host: &HostId) -> PathBuf {
        self.host(host).join("root")
    }

    pub(super) fn agent(&self, host: &HostId) -> PathBuf {
        self.host(host).join("agent")
    }

    /// There once the agent has a certificate.
    pub(super) fn agent_identity(&self, host: &HostId) -> PathBuf {
        self.agent(host).join("identity").join("identity")
    }

    pub(super) fn host_token(&self, host: &HostId) -> PathBuf {
        self.host(host).join("join-token")
    }

    /// What a process said.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// Forgets a first start that was cut off before it had an admin key: nobody could use it. Hosts
    /// come later than that key, so a folder that has some has lost it.
    pub(super) fn clear(&self) -> Result<(), TrialError> {
        let hosts = self.root.join("hosts");
        let mut known = std::fs::read_dir(&hosts)
            .map_err(TrialError::io(format!("read {}", hosts.display())))?;
        if known.next().is_some() {
            let dir = self.root.clone();
            return Err(TrialError::NoAdmin { dir });
        }
        for folder in ["nodes", "hosts"] {
            let path = self.root.join(folder);
            std::fs::remove_dir_all(&path)
                .map_err(TrialError::io(format!("remove {}", path.display())))?;
            private_file::folder(&path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_trials_in_one_folder_are_refused_and_a_later_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("trial");
        let first = Place::open(&dir).unwrap();
        let error = Place::open(&dir).unwrap_err();
        assert!(matches!(error, TrialError::Locked { .. }), "{error}");
        let ignored = std::fs::read_to_string(dir.join(".gitignore")).unwrap();
        assert_eq!(ignored, "*\n", "its keys stay out of a checkout around it");
        drop(first);
        Place::open(&dir).unwrap();
    }

    #[test]
    fn only_a_start_that_was_cut_off_before_it_had_hosts_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::open(folder.path()).unwrap();
        std::fs::write(place.node_config(1), "half").unwrap();
        place.clear().unwrap();
        assert!(!place.node_config(1).exists());
        std::fs::write(place.node_config(1), "whole").unwrap();
        private_file::folder(&place.root.join("hosts/pmta1")).unwrap();
        let error = place.clear().unwrap_err();
        assert!(matches!(error, TrialError::NoAdmin { .. }), "{error}");
        assert!(place.node_config(1).exists(), "nothing is lost");
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let error = Place::open(folder.path()).unwrap_err();
        assert!(matches!(error, TrialError::Foreign { .. }), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
