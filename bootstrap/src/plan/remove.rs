//! What is ours, in the order in which it can go.

use std::path::{Path, PathBuf};

use super::{History, Step};
use crate::facts::{FoundKind, Installed};
use crate::layout::{self, Keep, Layout};
use crate::request::Part;

/// What a removal does, and what it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Steps, in order; none when nothing of ours is there.
    pub steps: Vec<Step>,
    /// What stays, and why.
    pub left: Vec<Left>,
}

/// Something that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

/// Steps that take the part off the machine. A node's data is the cluster's, and goes only with
/// `purge`.
#[must_use]
pub fn remove(
    part: Part,
    layout: &Layout,
    installed: &Installed,
    history: &History,
    purge: bool,
) -> Removal {
    let mut removal = Removal::default();
    for unit in layout.units.iter().rev() {
        let state = installed.units.get(*unit).copied().unwrap_or_default();
        if state.is_active || state.is_enabled {
            let unit = (*unit).to_owned();
            removal.steps.push(Step::StopUnit { unit });
        }
    }
    removal.files(layout, installed, history);
    let reloads =
        |step: &Step| matches!(step, Step::RemoveFile { path } if path.starts_with(layout::UNITS));
    if removal.steps.iter().any(reloads) || history.removing.contains(&Step::ReloadUnits) {
        removal.steps.push(Step::ReloadUnits);
    }
    let takes_data = part == Part::Agent || purge;
    if let Some(path) = layout.runtime.clone()
        && installed.paths.contains_key(&path)
    {
        removal.steps.push(Step::RemoveTree { path });
    }
    removal.data(layout, installed, takes_data);
    if takes_data {
        removal.folders(layout, installed, history);
        let is_ours = history.users.contains(layout.user);
        if is_ours && installed.users.contains(layout.user) {
            let user = layout.user.to_owned();
            removal.steps.push(Step::RemoveUser { user });
        }
        // Kept as long as something is left that only it can tell to be ours.
        if installed.paths.contains_key(&layout.journal) {
            removal.steps.push(Step::ForgetJournal);
        }
    }
    removal
}

impl Removal {
    fn files(&mut self, layout: &Layout, installed: &Installed, history: &History) {
        let token = layout.token.iter().map(|path| (path, true));
        let files = layout.files.iter().map(|file| {
            // Programs and units are ours by their names.
            let is_ours = file.keep == Keep::Never || history.files.contains_key(&file.path);
            (&file.path, is_ours)
        });
        // A program may be here and not beside this bootstrap.
        let programs = layout.programs.iter();
        let programs = programs.filter(|path| layout.file(path).is_none());
        let programs = programs.map(|path| (path, true));
        for (path, is_ours) in programs.chain(files).chain(token) {
            if !installed.paths.contains_key(path) {
                continue;
            }
            if is_ours {
                let path = path.clone();
                self.steps.push(Step::RemoveFile { path });
            } else {
                self.leave(path, "it was there before, or was written by somebody else");
            }
        }
    }

    fn data(&mut self, layout: &Layout, installed: &Installed, takes_data: bool) {
        if !installed.paths.contains_key(&layout.data) {
            return;
        }
        if takes_data {
            let path = layout.data.clone();
            self.steps.push(Step::RemoveTree { path });
        } else {
            self.leave(&layout.data, "a node's data goes only with --purge");
        }
    }

    /// Those that a run made, deepest first.
    fn folders(&mut self, layout: &Layout, installed: &Installed, history: &History) {
        for folder in layout.folders.iter().rev() {
            let found = installed.paths.get(&folder.path);
            let is_folder =
                found.is_some_and(|found| matches!(found.kind, FoundKind::Folder { .. }));
            if !is_folder || folder.path == layout.data {
                continue;
            }
            if history.folders.contains(&folder.path) {
                let path = folder.path.clone();
                self.steps.push(Step::RemoveFolder { path });
            } else {
                self.leave(&folder.path, "it was there before");
            }
        }
    }

    fn leave(&mut self, path: &Path, reason: &'static str) {
        let path = path.to_owned();
        self.left.push(Left { path, reason });
    }
}
