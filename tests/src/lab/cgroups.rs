//! A control group for each guest: two in one would manage each other's units.

use std::fs;
use std::path::{Path, PathBuf};

/// The group of one guest, in every hierarchy that systemd uses.
#[derive(Debug)]
pub(super) struct Cgroups {
    folders: Vec<PathBuf>,
}

impl Cgroups {
    pub(super) fn new(name: &str) -> Self {
        let top = Path::new("/sys/fs/cgroup");
        let hybrid = ["systemd", "unified"].map(|hierarchy| top.join(hierarchy));
        let tops: Vec<_> = hybrid.into_iter().filter(|path| path.is_dir()).collect();
        let tops = if tops.is_empty() {
            vec![top.to_owned()]
        } else {
            tops
        };
        let folders: Vec<_> = tops.iter().map(|top| top.join(name)).collect();
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
        }
        Self { folders }
    }

    /// Files that a process writes its id into to become a member.
    pub(super) fn doors(&self) -> String {
        let doors = self.folders.iter();
        let doors: Vec<_> = doors
            .map(|folder| folder.join("cgroup.procs").display().to_string())
            .collect();
        doors.join(" ")
    }
}

impl Drop for Cgroups {
    /// Groups are removed from the leaves up; those of processes that still end stay, empty.
    fn drop(&mut self) {
        for folder in &self.folders {
            remove(folder);
        }
    }
}

fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
