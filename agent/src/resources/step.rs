//! A guarded command: run while a path is missing, or when something that it depends on changed.

use std::time::Duration;

use email_engine_protocol::desired::{Guard, StepSpec};
use email_engine_protocol::id::ResourceId;

use super::{ApplyError, Finding};
use crate::host::Machine;

pub(super) fn observe(machine: &Machine, id: &ResourceId, spec: &StepSpec) -> Finding {
    let simulated = machine.system.is_simulated();
    match &spec.guard {
        Guard::Notified if simulated => Finding::Simulated,
        Guard::Notified => Finding::Right,
        // A simulated command makes nothing: that it ran must do.
        Guard::Creates(_) if simulated && machine.system.has_run(id) => Finding::Simulated,
        Guard::Creates(path) => match machine.files.look(path) {
            Ok(Some(_)) if simulated => Finding::Simulated,
            Ok(Some(_)) => Finding::Right,
            Ok(None) => Finding::Differs(format!("{path} does not exist")),
            Err(error) => Finding::Unknown(error.to_string()),
        },
    }
}

pub(super) fn run(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &StepSpec,
) -> Result<(), ApplyError> {
    let timeout = Duration::from_secs(u64::from(spec.timeout_seconds.max(1)));
    let ended = machine.system.run(id, &spec.command, timeout)?;
    let fine = spec.success_codes.contains(&ended.code)
        || (spec.success_codes.is_empty() && ended.code == 0);
    if fine {
        Ok(())
    } else {
        Err(ApplyError::Step {
            program: spec.command.program.to_string(),
            code: ended.code,
            output: ended.output,
        })
    }
}
