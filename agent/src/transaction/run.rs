//! One transaction brought from one standing to the next.
//!
//! What must be known after a crash is durable before the step that it is about: copies and contents
//! before the journal, the journal before the first file, each stage before it begins. The commit is
//! one record, in which the wanted content becomes the good one and the journal is gone. A journal
//! that is found is undone, whoever left it.

use email_engine_protocol::desired::{Resource, TransactionSpec};
use email_engine_protocol::id::ResourceId;

use super::content::Content;
use super::decide::{self, UndoneBy};
use super::quiet::{self, Marks};
use super::shelf::Shelf;
use super::standing::{Blame, Failure, Good, Journal, Refusal, Stage, Standing};
use super::swap::{self, SwapError};
use super::{cut, stages};
use crate::host::{Machine, RecordError};
use crate::reconciler::UnderWay;
use crate::resources::{self, ApplyError, Contents};

/// What a run works with.
pub(super) struct Run<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) contents: &'a dyn Contents,
    pub(super) shelf: &'a Shelf,
    pub(super) standing: &'a mut Standing,
    pub(super) under_way: &'a UnderWay,
}

/// Why a content is not in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// It was refused, and the files before it are back.
    #[error("{}", decide::told(.0, &decide::Held::Refused(.1.clone())))]
    Refused(Box<Standing>, Refusal),
    /// The machine kept it from getting through; the files before it are back.
    #[error("{}", decide::told_failure(.0, .1))]
    Failed(email_engine_protocol::bytes::ContentHash, Failure),
    /// It could not even be begun.
    #[error("nothing was changed: {0}")]
    NotBegun(SwapError),
    /// Neither went through nor could be undone: tried again at every look.
    #[error("the files before the change are not all back: {0}")]
    NotUndone(SwapError),
    /// A member that was put back was changed again before it was looked at.
    #[error("{member} was put back, and somebody undid it at once: {reason}")]
    Undone {
        /// Which.
        member: ResourceId,
        /// How it was found.
        reason: String,
    },
    /// The good content could not be put back or brought into force.
    #[error("could not be put back at stage {}: {}", .0.stage, .0.reason)]
    NotRepaired(Failure),
}

impl From<RecordError> for RunError {
    fn from(error: RecordError) -> Self {
        Self::NotBegun(error.into())
    }
}

impl Run<'_> {
    fn id(&self) -> ResourceId {
        self.standing.id.clone()
    }

    /// Writes where it stands; on a refusal of the disk the standing is the one before.
    fn turn(&mut self, change: impl FnOnce(&mut Standing)) -> Result<(), RecordError> {
        let mut next = self.standing.clone();
        change(&mut next);
        self.shelf.write(&next)?;
        *self.standing = next;
        Ok(())
    }

    fn reach(&mut self, stage: Stage) -> Result<(), Failure> {
        self.turn(|standing| {
            if let Some(journal) = &mut standing.journal {
                journal.stage = stage;
            }
        })
        .map_err(|error| Failure {
            stage,
            reason: cut(error.to_string()),
            blame: Blame::Machine,
        })
    }

    /// Brings the wanted content through all stages, or the files before it back.
    pub(super) fn change(
        &mut self,
        wanted: &Content,
        spec: &TransactionSpec,
    ) -> Result<(), RunError> {
        let id = self.id();
        let (machine, contents) = (&mut *self.machine, self.contents);
        let differ =
            |member: &&Resource| !resources::observe(machine, contents, member).is_satisfied();
        let members: Vec<&Resource> = wanted.members.iter().filter(differ).collect();
        let restarts = decide::restarts(self.standing, &spec.restart);
        let system = self.machine.system.as_mut();
        let was_running = stages::is_running(system, &id, spec.unit.as_deref());
        if matches!(was_running, Ok(true)) && spec.unit.is_some() {
            stages::await_answer(system, &id, &spec.read_back);
        }
        // What cannot be asked would not start either: then nothing is stopped. And what is down because
        // the files before did not come into force again was not stopped by anybody.
        let was_running = was_running.unwrap_or(true) || self.standing.owed;
        let kept = swap::keep(self.machine, self.contents, self.shelf, &id, &members);
        let previous = kept.map_err(RunError::NotBegun)?;
        self.shelf.keep_content(&id, wanted)?;
        let journal = Journal {
            wanted: wanted.digest,
            previous,
            stage: Stage::Swap,
            was_running,
            restarts,
            activate: spec.activate.clone(),
            unit: spec.unit.clone(),
            failure: None,
        };
        let marks = quiet::marks(&self.machine.files, spec);
        self.turn(|standing| standing.journal = Some(journal))?;
        match self.stages(&members, spec, restarts, &marks) {
            Ok(()) => self.commit(wanted),
            Err(failure) => self.fail(wanted, failure),
        }
    }

    fn stages(
        &mut self,
        members: &[&Resource],
        spec: &TransactionSpec,
        restarts: bool,
        marks: &Marks,
    ) -> Result<(), Failure> {
        let id = self.id();
        swap::swap(self.machine, self.contents, members).map_err(|error| Failure {
            stage: Stage::Swap,
            reason: cut(error.to_string()),
            blame: Blame::Machine,
        })?;
        self.reach(Stage::Test)?;
        stages::test(self.machine.system.as_mut(), &id, &spec.test)?;
        self.reach(Stage::Activate)?;
        stages::activate(self.machine.system.as_mut(), &id, spec, restarts)?;
        self.reach(Stage::ReadBack)?;
        let machine = &mut *self.machine;
        stages::probe(machine, &id, Stage::ReadBack, &spec.read_back, marks)?;
        self.reach(Stage::Health)?;
        stages::probe(self.machine, &id, Stage::Health, &spec.health, marks)
    }

    fn commit(&mut self, wanted: &Content) -> Result<(), RunError> {
        let good = Good {
            digest: wanted.digest,
            restart: wanted.restart.clone(),
            holds: wanted.holds.clone(),
        };
        let committed = self.turn(|standing| {
            standing.good = Some(good);
            standing.refused = None;
            standing.journal = None;
            standing.owed = false;
            standing.lost = None;
        });
        if let Err(error) = committed {
            let failure = Failure {
                stage: Stage::Health,
                reason: cut(error.to_string()),
                blame: Blame::Machine,
            };
            return self.fail(wanted, failure);
        }
        self.tidy();
        Ok(())
    }

    /// Says why, durably if that is possible, and undoes the change.
    fn fail(&mut self, wanted: &Content, mut failure: Failure) -> Result<(), RunError> {
        // What fails while everything is being ended may fail for that alone.
        if self.under_way.is_stopping() {
            failure.blame = Blame::Machine;
        }
        let noted = self.turn(|standing| {
            if let Some(journal) = &mut standing.journal {
                journal.failure = Some(failure.clone());
            }
        });
        if let Err(error) = noted {
            tracing::error!(%error, "why a change did not get through is not noted");
        }
        let unrevived = self.undo(UndoneBy::ItsMaker)?;
        let refused = self.standing.refused.clone();
        match refused.filter(|refused| refused.digest == wanted.digest) {
            Some(refusal) => Err(RunError::Refused(Box::new(self.standing.clone()), refusal)),
            None => {
                if let Some(reason) = unrevived {
                    failure.reason = cut(format!("{}; after that: {reason}", failure.reason));
                }
                Err(RunError::Failed(wanted.digest, failure))
            }
        }
    }

    /// Undoes what a journal says was begun. Every step may be repeated, so a crash on the way
    /// begins it again. Says why the files that are back are not in force, if they are not.
    pub(super) fn undo(&mut self, by: UndoneBy) -> Result<Option<String>, RunError> {
        let id = self.id();
        let Some(journal) = self.standing.journal.clone() else {
            return Ok(None);
        };
        let good = self.shelf.good(self.standing);
        swap::put_back(
            self.machine,
            self.contents,
            self.shelf,
            &id,
            &journal.previous,
            good.as_ref(),
        )
        .map_err(RunError::NotUndone)?;
        let how = decide::revival(&journal, by);
        let system = self.machine.system.as_mut();
        let unrevived = stages::activate_previous(system, &id, &journal, how).err();
        let before = self.standing.refused.clone();
        let mut refused = decide::refusal(&journal, unrevived.is_none(), before);
        if let Some(reason) = &unrevived {
            tracing::error!(transaction = %id, reason, "the files before a change are not in force");
            if let Some(refused) = refused.as_mut().filter(|one| one.digest == journal.wanted) {
                let reason = format!("{}; after that: {reason}", refused.reason);
                refused.reason = cut(reason);
            }
        }
        let owes = unrevived.is_some() && decide::owes(self.standing, how);
        let owed = self.standing.owed || owes;
        self.turn(|standing| {
            standing.journal = None;
            standing.refused = refused;
            standing.owed = owed;
        })
        .map_err(|error| RunError::NotUndone(error.into()))?;
        tracing::warn!(
            transaction = %id, stage = %journal.stage,
            "the files before a change are back"
        );
        self.tidy();
        Ok(unrevived)
    }

    /// Puts members back that somebody touched, and brings them into force again.
    pub(super) fn repair(
        &mut self,
        members: &[&Resource],
        spec: &TransactionSpec,
    ) -> Result<Vec<ResourceId>, RunError> {
        let id = self.id();
        self.turn(|standing| standing.owed = true)?;
        let mut changed = Vec::new();
        for member in members {
            let ensured = resources::ensure(self.machine, self.contents, member);
            let ensured = ensured.map_err(|error| match error {
                ApplyError::Still(reason) => RunError::Undone {
                    member: member.id.clone(),
                    reason: cut(reason),
                },
                error => RunError::NotRepaired(Failure {
                    stage: Stage::Swap,
                    reason: cut(format!("{}: {error}", member.id)),
                    blame: Blame::Machine,
                }),
            })?;
            if ensured.changed {
                changed.push(member.id.clone());
            }
        }
        stages::activate(self.machine.system.as_mut(), &id, spec, false)
            .map_err(RunError::NotRepaired)?;
        self.turn(|standing| standing.owed = false)?;
        Ok(changed)
    }

    fn tidy(&self) {
        if let Err(error) = self.shelf.tidy(self.standing) {
            tracing::warn!(%error, "copies of a transaction stay until the next one");
        }
    }
}
