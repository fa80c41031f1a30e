//! Takes the steps of a plan, one by one, each written down before and after.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::time::Timestamp;

use crate::exit::Exit;
use crate::journal::{Entry, Journal, JournalError, Purpose};
use crate::plan::Step;
use crate::progress::Voice;

/// Whoever can take a step on a machine.
pub trait Hands {
    /// Takes it; a step that was taken before, wholly or in part, ends as one that was not.
    ///
    /// # Errors
    /// When it cannot be taken.
    fn take(&mut self, step: &Step, voice: &mut dyn Voice) -> Result<Taken, StepError>;
}

/// What a step left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Hash of the bytes that it wrote.
    pub wrote: Option<ContentHash>,
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct StepError {
    /// What it means for the run.
    pub exit: Exit,
    /// What went wrong, and where there is more to read.
    pub problem: String,
}

impl StepError {
    /// One that a further run may get over.
    pub fn new(problem: impl Into<String>) -> Self {
        Self {
            exit: Exit::Step,
            problem: problem.into(),
        }
    }
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Its journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A step was not taken.
    #[error("{step}: {source}")]
    Step {
        /// Which.
        step: Step,
        /// Why.
        source: StepError,
    },
}

impl Stopped {
    /// How the run ends.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Journal(_) => Exit::Step,
            Self::Step { source, .. } => source.exit,
        }
    }
}

/// Takes these steps.
///
/// # Errors
/// When one cannot be taken or written down; the same run again goes on there.
pub fn execute(
    purpose: Purpose,
    steps: &[Step],
    journal: &mut Journal,
    hands: &mut dyn Hands,
    voice: &mut dyn Voice,
    now: impl Fn() -> Timestamp,
) -> Result<(), Stopped> {
    let planned = steps.to_vec();
    journal.write(
        now(),
        Entry::Planned {
            purpose,
            steps: planned,
        },
    )?;
    for (at, step) in steps.iter().enumerate() {
        let begun = Entry::Begun { step: step.clone() };
        journal.write(now(), begun)?;
        voice.begun(at, step);
        let taken = hands.take(step, voice);
        let taken = taken.map_err(|source| Stopped::Step {
            step: step.clone(),
            source,
        })?;
        voice.done(step);
        if *step != Step::ForgetJournal {
            let step = step.clone();
            let wrote = taken.wrote;
            journal.write(now(), Entry::Done { step, wrote })?;
        }
    }
    Ok(())
}
