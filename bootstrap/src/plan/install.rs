//! What is missing, in order.

use std::path::Path;

use super::{History, Step};
use crate::facts::{Found, FoundKind, Installed, Membership, UnitState};
use crate::layout::{File, Folder, Keep, Layout};
use crate::request::{Entry, Part, Request};

/// Steps from what is there to what belongs there; none when all is.
#[must_use]
pub fn install(
    request: &Request,
    layout: &Layout,
    installed: &Installed,
    history: &History,
) -> Vec<Step> {
    let mut plan = Plan {
        request,
        installed,
        history,
        steps: Vec::new(),
    };
    plan.files(layout);
    match request.part {
        Part::Agent => plan.host(layout),
        Part::Coordinator => plan.node(layout),
    }
    plan.steps
}

struct Plan<'a> {
    request: &'a Request,
    installed: &'a Installed,
    history: &'a History,
    steps: Vec<Step>,
}

impl Plan<'_> {
    /// Takes the step when it is due, or was when a former run was cut off.
    fn step(&mut self, is_due: bool, step: Step) {
        if is_due || self.history.pending.contains(&step) {
            self.steps.push(step);
        }
    }

    fn files(&mut self, layout: &Layout) {
        let user = layout.user.to_owned();
        let is_there = self.installed.users.contains(&user);
        self.step(!is_there, Step::CreateUser { user });
        for folder in &layout.folders {
            let is_due = !folder_is_right(folder, self.installed.paths.get(&folder.path));
            let path = folder.path.clone();
            self.step(is_due, Step::MakeFolder { path });
        }
        for file in &layout.files {
            let wrote = self.history.files.get(&file.path);
            let due = file_due(file, self.installed.paths.get(&file.path), wrote.copied());
            let path = file.path.clone();
            self.step(
                due == Some(FileDue::Write),
                Step::WriteFile { path: path.clone() },
            );
            self.step(due == Some(FileDue::Mend), Step::MendFile { path });
        }
    }

    fn host(&mut self, layout: &Layout) {
        let member = self.membership().is_in();
        let token = layout.token.clone().unwrap_or_default();
        let leaves_token = !member && matches!(self.request.entry, Entry::Join(_));
        // Before the token, which is taken up as soon as it lies there.
        self.step(leaves_token, Step::Expect);
        self.step(
            leaves_token,
            Step::WriteToken {
                path: token.clone(),
            },
        );
        self.units(layout);
        // One that lost its identity goes on without it until there is a token.
        let comes_in = leaves_token || self.membership().enrolled.is_none();
        self.wait(comes_in, Step::AwaitEnrolment);
        // Once redeemed it opens nothing, but a secret that is not there cannot be misread.
        let redeemed = member || self.steps.contains(&Step::AwaitEnrolment);
        let lies_there = leaves_token || self.installed.paths.contains_key(&token);
        if redeemed {
            self.step(lies_there, Step::RemoveFile { path: token });
        }
        if self.request.awaits_convergence {
            let converged = self.membership().converged;
            self.wait(!converged, Step::AwaitConvergence);
        }
    }

    fn node(&mut self, layout: &Layout) {
        let member = self.membership().enrolled.is_some();
        match self.request.entry {
            Entry::Init => self.step(!member, Step::Found),
            Entry::Join(_) => self.step(!member, Step::Join),
            Entry::Already => {}
        }
        self.units(layout);
        let starts = self
            .steps
            .iter()
            .any(|step| matches!(step, Step::StartUnit { .. }));
        self.wait(starts, Step::AwaitService);
    }

    fn units(&mut self, layout: &Layout) {
        let states: Vec<(&str, UnitState)> = layout
            .units
            .iter()
            .map(|unit| {
                let state = self.installed.units.get(*unit);
                (*unit, state.copied().unwrap_or_default())
            })
            .collect();
        let unit_file = Path::new(crate::layout::UNITS);
        let written = |steps: &[Step]| {
            steps.iter().any(
                |step| matches!(step, Step::WriteFile { path } if path.parent() == Some(unit_file)),
            )
        };
        let reloads = written(&self.steps) || states.iter().any(|(_, state)| state.needs_reload);
        self.step(reloads, Step::ReloadUnits);
        // Whatever a process read at its start and that is another now.
        let changed = self.steps.iter().any(|step| {
            matches!(
                step,
                Step::WriteFile { .. } | Step::WriteToken { .. } | Step::Found | Step::Join
            )
        });
        for (unit, state) in states {
            let unit = unit.to_owned();
            self.step(!state.is_enabled, Step::EnableUnit { unit: unit.clone() });
            let is_due = changed || !state.is_active || state.is_outdated || state.needs_reload;
            self.step(is_due, Step::StartUnit { unit });
        }
    }

    fn wait(&mut self, is_due: bool, step: Step) {
        if self.request.patience.is_some() {
            self.step(is_due, step);
        }
    }

    fn membership(&self) -> Membership {
        self.installed.membership.clone().unwrap_or_default()
    }
}

fn folder_is_right(wanted: &Folder, found: Option<&Found>) -> bool {
    found.is_some_and(|found| {
        matches!(found.kind, FoundKind::Folder { .. })
            && found.mode == wanted.mode
            && found.owner == wanted.owner
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FileDue {
    Mend,
    Write,
}

fn file_due(
    wanted: &File,
    found: Option<&Found>,
    wrote: Option<email_engine_protocol::bytes::ContentHash>,
) -> Option<FileDue> {
    let Some(found) = found else {
        return Some(FileDue::Write);
    };
    if found.kind == FoundKind::File(wanted.content.hash()) {
        let is_ours = found.mode == wanted.mode && found.owner == "root";
        // Somebody's word may have somebody's mode.
        return (!is_ours && wanted.keep == Keep::Never).then_some(FileDue::Mend);
    }
    let is_due = match wanted.keep {
        Keep::Always => false,
        Keep::IfChanged => wrote.is_some_and(|bytes| found.kind == FoundKind::File(bytes)),
        Keep::Never => true,
    };
    is_due.then_some(FileDue::Write)
}
