//! What is asked and told in one pass. A product that did not answer in time is not asked again in it:
//! each question would take as long, and whatever else the pass is for would wait for all of them.

use std::time::Duration;

use email_engine_protocol::desired::{CommandCheck, CommandLine, Question};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;

use super::answer::{self, Found};
use crate::host::{System, SystemError};
use crate::resources::{self, CheckError};

/// The product, as one pass finds it.
pub(super) struct Product<'a> {
    pub(super) system: &'a mut dyn System,
    /// The first question that was not answered in time.
    unanswered: Option<String>,
    /// The first command that did not end in time: no other would.
    unended: Option<String>,
}

impl<'a> Product<'a> {
    pub(super) fn new(system: &'a mut dyn System) -> Self {
        Self {
            system,
            unanswered: None,
            unended: None,
        }
    }

    pub(super) fn is_simulated(&self) -> bool {
        self.system.is_simulated()
    }

    /// What it answers.
    ///
    /// # Errors
    /// When that cannot be told.
    pub(super) fn ask(&mut self, id: &ResourceId, question: &Question) -> Result<Found, String> {
        if let Some(earlier) = self.unended.as_ref().or(self.unanswered.as_ref()) {
            return Err(format!("was not asked: {earlier}"));
        }
        let seconds = match question.seconds {
            0 => limits::PROBE_DEFAULT_SECONDS,
            seconds => seconds.min(limits::PROBE_SECONDS),
        };
        let limit = Duration::from_secs(u64::from(seconds));
        let ran = id_of(id, "ask");
        let answered = self.system.ask(&ran, &question.command, limit);
        let answered = answered.map_err(|error| {
            let reason = error.to_string();
            if matches!(error, SystemError::Timeout { .. }) {
                self.unanswered = Some(reason.clone());
            }
            reason
        })?;
        if self.is_simulated() {
            return Ok(Found::No);
        }
        answer::read(&answered, &question.list, &question.sought)
            .map_err(|reason| format!("answer of {}: {reason}", words(&question.command)))
    }

    /// Has it do something.
    ///
    /// # Errors
    /// When it surely or possibly did not.
    pub(super) fn tell(
        &mut self,
        id: &ResourceId,
        what: &str,
        told: &CommandCheck,
    ) -> Result<(), String> {
        if let Some(earlier) = &self.unended {
            return Err(format!("was not tried: {earlier}"));
        }
        resources::check(self.system, &id_of(id, what), told).map_err(|error| {
            let reason = error.to_string();
            if matches!(error, CheckError::System(SystemError::Timeout { .. })) {
                self.unended = Some(reason.clone());
            }
            reason
        })
    }
}

/// Name of what is run, for simulations.
pub(super) fn id_of(id: &ResourceId, what: &str) -> ResourceId {
    ResourceId::new(format!("{id}/{what}")).unwrap_or_else(|_| id.clone())
}

pub(super) fn words(command: &CommandLine) -> String {
    let mut words = vec![command.program.to_string()];
    words.extend(command.arguments.iter().cloned());
    words.join(" ")
}
