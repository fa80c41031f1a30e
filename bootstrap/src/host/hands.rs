//! Takes steps on this machine.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::join::JoinToken;

use super::child::{self, ChildError};
use super::files::{self, Rights};
use super::wait::Waiting;
use super::{accounts, membership, systemd};
use crate::execute::{Hands, StepError, Taken};
use crate::exit::Exit;
use crate::facts::Bundle;
use crate::journal::Journal;
use crate::layout::{Content, File, Layout, NODE_USER};
use crate::plan::Step;
use crate::progress::{Founded, Voice};
use crate::request::Part;

/// This machine, as a run may change it.
pub struct RealHands<'a> {
    /// What belongs on it.
    pub layout: &'a Layout,
    /// Programs beside the bootstrap.
    pub bundle: &'a Bundle,
    /// The secret that lets it in.
    pub token: Option<&'a JoinToken>,
    /// How long others are waited for.
    pub patience: Duration,
}

impl std::fmt::Debug for RealHands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RealHands").finish_non_exhaustive()
    }
}

impl Hands for RealHands<'_> {
    fn take(&mut self, step: &Step, voice: &mut dyn Voice) -> Result<Taken, StepError> {
        let waiting = || Waiting {
            bundle: self.bundle,
            units: &self.layout.units,
            patience: self.patience,
        };
        match step {
            Step::AwaitConvergence => waiting().convergence(voice)?,
            Step::AwaitEnrolment => waiting().enrolment(voice)?,
            Step::AwaitService => waiting().service(voice)?,
            Step::CreateUser { user } => accounts::create(user).map_err(ended)?,
            Step::EnableUnit { unit } => systemd::enable(unit).map_err(ended)?,
            Step::Expect => self.expect()?,
            Step::ForgetJournal => Journal::forget(&self.layout.journal).map_err(failed)?,
            Step::Found => self.found(voice)?,
            Step::Join => self.join()?,
            Step::MakeFolder { path } => self.make_folder(path)?,
            Step::MendFile { path } => {
                let file = self.file(path)?;
                let rights = Rights::of("root", file.mode).map_err(failed)?;
                files::mend(path, rights).map_err(failed)?;
            }
            Step::ReloadUnits => systemd::reload().map_err(ended)?,
            Step::RemoveFile { path } => files::remove(path).map_err(failed)?,
            Step::RemoveFolder { path } => files::remove_folder(path).map_err(failed)?,
            Step::RemoveTree { path } => files::remove_tree(path).map_err(failed)?,
            Step::RemoveUser { user } => accounts::remove(user).map_err(ended)?,
            Step::StartUnit { unit } => systemd::restart(unit).map_err(ended)?,
            Step::StopUnit { unit } => systemd::stop(unit).map_err(ended)?,
            Step::WriteFile { path } => return self.write_file(path),
            Step::WriteToken { path } => self.write_token(path)?,
        }
        Ok(Taken::default())
    }
}

impl RealHands<'_> {
    /// An older journal may name what belongs here no longer.
    fn file(&self, path: &Path) -> Result<&File, StepError> {
        let file = self.layout.file(path);
        file.ok_or_else(|| StepError::new("this version installs no such file"))
    }

    fn make_folder(&self, path: &Path) -> Result<(), StepError> {
        let mut folders = self.layout.folders.iter();
        let folder = folders.find(|folder| folder.path == path);
        let folder = folder.ok_or_else(|| StepError::new("this version makes no such folder"))?;
        let rights = Rights::of(folder.owner, folder.mode).map_err(failed)?;
        files::folder(path, rights).map_err(failed)
    }

    fn write_file(&self, path: &Path) -> Result<Taken, StepError> {
        let file = self.file(path)?;
        let bytes = match &file.content {
            Content::Program { source, .. } => fs::read(source).map_err(failed)?,
            Content::Text(text) => text.clone().into_bytes(),
        };
        let hash = ContentHash::of(&bytes);
        if hash != file.content.hash() {
            return Err(StepError::new(
                "its source has changed since the plan was made",
            ));
        }
        let rights = Rights::of("root", file.mode).map_err(failed)?;
        files::replace(path, &bytes, rights).map_err(failed)?;
        Ok(Taken { wrote: Some(hash) })
    }

    fn write_token(&self, path: &Path) -> Result<(), StepError> {
        // A run that continues without one relies on what lies there.
        let Some(token) = self.token else {
            return Ok(());
        };
        let rights = Rights::of(self.layout.user, 0o600).map_err(failed)?;
        let mut text = token.to_text();
        text.push('\n');
        files::replace(path, text.as_bytes(), rights).map_err(failed)
    }

    /// By the agent's own program, which knows where the executor looks.
    fn expect(&self) -> Result<(), StepError> {
        // A run that continues without a token relies on what was said before.
        let Some(token) = self.token else {
            return Ok(());
        };
        let mut program = child::program(Layout::program(Part::Agent));
        program.args(["expect", "--join-token-file", "-"]);
        let text = token.to_text();
        let said = child::run_with(&mut program, text.as_bytes());
        said.map(drop).map_err(ended)
    }

    /// The node's program as the node's user.
    fn node(&self) -> Result<Command, StepError> {
        let user = accounts::user(NODE_USER)
            .ok_or_else(|| StepError::new(format!("user {NODE_USER} does not exist")))?;
        let mut command = child::program(Layout::program(Part::Coordinator));
        command.uid(user.uid).gid(user.gid);
        Ok(command)
    }

    fn found(&self, voice: &mut dyn Voice) -> Result<(), StepError> {
        let data = &self.layout.data;
        // Keys of an attempt that was cut off were shown to nobody. A node that has run is another
        // matter.
        if data.join("raft").exists() {
            let problem = format!("{} holds a node that has run", data.display());
            return Err(StepError::new(problem));
        }
        for entry in fs::read_dir(data).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let removed = if path.is_dir() {
                files::remove_tree(&path)
            } else {
                files::remove(&path)
            };
            removed.map_err(failed)?;
        }
        let said = child::run(self.node()?.args(["init", "--output", "json"])).map_err(ended)?;
        let said = zeroize::Zeroizing::new(said);
        let founded: Founded = serde_json::from_slice(&said).map_err(|_| {
            StepError::new("`email-engine-coordinator init` printed no keys that can be read")
        })?;
        voice.founded(&founded);
        Ok(())
    }

    fn join(&self) -> Result<(), StepError> {
        let before = membership(Part::Coordinator, self.bundle).map_err(StepError::new)?;
        if before.enrolled.is_some() {
            return Ok(());
        }
        let token = self
            .token
            .ok_or_else(|| StepError::new("there is no join token"))?;
        let text = token.to_text();
        let joined = child::run_with(self.node()?.arg("join"), text.as_bytes());
        joined.map(drop).map_err(ended)
    }
}

fn failed(error: impl std::error::Error) -> StepError {
    StepError::new(error.to_string())
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "it is handed to `map_err` by its name"
)]
fn ended(error: ChildError) -> StepError {
    let of_program = match &error {
        ChildError::Ended {
            program,
            code: Some(code),
            ..
        } if program.contains("email-engine") => Exit::of_program(*code),
        _ => None,
    };
    StepError {
        exit: of_program.unwrap_or(Exit::Step),
        problem: error.to_string(),
    }
}
