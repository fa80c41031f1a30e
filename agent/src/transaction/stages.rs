//! The stages in which the product has a say: test, activate, read back, health.

use std::time::{Duration, Instant};

use email_engine_protocol::desired::{CommandCheck, OnNotify, Probe, ServiceSpec, TransactionSpec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;

use super::decide::Revival;
use super::shape;
use super::standing::{Failure, Journal, Stage};
use crate::host::{Activity, AtBoot, System, SystemError};
use crate::resources::time_limit;

/// From one asking of a probe to the next.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Name of what a stage runs, for simulations.
pub(super) fn id_of(id: &ResourceId, what: &str) -> ResourceId {
    ResourceId::new(format!("{id}/{what}")).unwrap_or_else(|_| id.clone())
}

/// Whether the service of a transaction runs.
pub(super) fn is_running(
    system: &mut dyn System,
    id: &ResourceId,
    unit: Option<&str>,
) -> Result<bool, SystemError> {
    let Some(unit) = unit else {
        return Ok(true);
    };
    let seen = system.service(&id_of(id, "unit"), unit)?;
    Ok(seen.activity != Activity::Stopped)
}

pub(super) fn test(
    system: &mut dyn System,
    id: &ResourceId,
    check: &CommandCheck,
) -> Result<(), Failure> {
    run(system, &id_of(id, "test"), check).map_err(|said| said.at(Stage::Test))
}

/// Brings what is live into force: by a restart when that is what it takes or the service does not
/// run.
pub(super) fn activate(
    system: &mut dyn System,
    id: &ResourceId,
    spec: &TransactionSpec,
    restarts: bool,
) -> Result<(), Failure> {
    let stage_id = id_of(id, "activate");
    revive(
        system,
        &stage_id,
        &spec.activate,
        spec.unit.as_deref(),
        restarts,
    )
    .map_err(|said| said.at(Stage::Activate))
}

/// Brings the files that are back into force again.
pub(super) fn activate_previous(
    system: &mut dyn System,
    id: &ResourceId,
    journal: &Journal,
    how: Revival,
) -> Result<(), String> {
    let stage_id = id_of(id, "activate-previous");
    let unit = journal.unit.as_deref();
    let done = match (how, unit) {
        (Revival::None, _) | (Revival::Stop, None) => Ok(()),
        (Revival::Activate, _) => {
            revive(system, &stage_id, &journal.activate, unit, journal.restarts)
        }
        (Revival::Stop, Some(unit)) => stop(system, &stage_id, unit),
    };
    done.map_err(|said| said.reason)
}

fn revive(
    system: &mut dyn System,
    id: &ResourceId,
    check: &CommandCheck,
    unit: Option<&str>,
    restarts: bool,
) -> Result<(), Said> {
    if let Some(unit) = unit {
        let seen = system.service(id, unit)?;
        if restarts || seen.activity != Activity::Running {
            return Ok(system.notify_service(id, unit, OnNotify::Restart)?);
        }
    }
    run(system, id, check)
}

fn stop(system: &mut dyn System, id: &ResourceId, unit: &str) -> Result<(), Said> {
    let seen = system.service(id, unit)?;
    let off = ServiceSpec {
        unit: unit.to_owned(),
        enabled: seen.at_boot == AtBoot::Enabled,
        running: false,
        on_notify: OnNotify::Restart,
    };
    Ok(system.set_service(id, &off)?)
}

pub(super) fn probe(
    system: &mut dyn System,
    id: &ResourceId,
    stage: Stage,
    probes: &[Probe],
) -> Result<(), Failure> {
    let stage_id = id_of(id, &stage.to_string());
    probes
        .iter()
        .try_for_each(|probe| ask(system, &stage_id, probe))
        .map_err(|said| said.at(stage))
}

/// What the product or the machine said against a content.
struct Said {
    reason: String,
    of_content: bool,
}

impl Said {
    const fn of_content(reason: String) -> Self {
        Self {
            reason,
            of_content: true,
        }
    }

    fn at(self, stage: Stage) -> Failure {
        Failure {
            stage,
            reason: super::cut(self.reason),
            of_content: self.of_content,
        }
    }
}

/// SIGHUP, SIGINT, SIGKILL and SIGTERM: the machine goes down, the agent is stopped, or memory is short.
const ENDED_FROM_OUTSIDE: [&str; 4] = ["signal 1", "signal 2", "signal 9", "signal 15"];

impl From<SystemError> for Said {
    /// A program that is not there says nothing of a content, nor does one that was told to end.
    fn from(error: SystemError) -> Self {
        let of_machine = match &error {
            SystemError::Start { .. } | SystemError::State(_) => true,
            SystemError::Failed { code, .. } => ENDED_FROM_OUTSIDE.contains(&code.as_str()),
            _ => false,
        };
        Self {
            reason: error.to_string(),
            of_content: !of_machine,
        }
    }
}

fn run(system: &mut dyn System, id: &ResourceId, check: &CommandCheck) -> Result<(), Said> {
    let ended = system.run(id, &check.command, time_limit(check.seconds))?;
    let refuses = |text: &&String| ended.output.contains(text.as_str());
    if ended.code == 0 && !check.refused_by.iter().any(|text| refuses(&text)) {
        return Ok(());
    }
    let mut words = vec![check.command.program.to_string()];
    words.extend(check.command.arguments.iter().cloned());
    let (code, output) = (ended.code, &ended.output);
    let reason = format!("{} ended with code {code}: {output}", words.join(" "));
    Err(Said::of_content(reason))
}

/// Asks until the answer is right or the time is over.
fn ask(system: &mut dyn System, id: &ResourceId, probe: &Probe) -> Result<(), Said> {
    let seconds = match probe {
        Probe::Answer { seconds, .. }
        | Probe::Greeting { seconds, .. }
        | Probe::Running { seconds, .. } => *seconds,
    };
    let seconds = match seconds {
        0 => limits::PROBE_DEFAULT_SECONDS,
        seconds => seconds.min(limits::PROBE_SECONDS),
    };
    let deadline = Instant::now() + Duration::from_secs(u64::from(seconds));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match once(system, id, probe, left.max(ASK_AGAIN)) {
            Ok(()) => return Ok(()),
            Err(said) if system.is_simulated() || left <= ASK_AGAIN => return Err(said),
            Err(_) => std::thread::sleep(ASK_AGAIN),
        }
    }
}

fn once(
    system: &mut dyn System,
    id: &ResourceId,
    probe: &Probe,
    left: Duration,
) -> Result<(), Said> {
    let simulated = system.is_simulated();
    match probe {
        Probe::Answer {
            command, expect, ..
        } => {
            let answer = system.ask(id, command, left)?;
            if simulated {
                return Ok(());
            }
            shape::judge(&answer, expect).map_err(|reason| {
                let mut words = vec![command.program.to_string()];
                words.extend(command.arguments.iter().cloned());
                Said::of_content(format!("answer of {}: {reason}", words.join(" ")))
            })
        }
        Probe::Greeting {
            address, begins, ..
        } => {
            let line = system.greeting(id, *address, left)?;
            if simulated || line.starts_with(begins.as_str()) {
                return Ok(());
            }
            let reason =
                format!("{address} greets with {line:?}, which does not begin with {begins:?}");
            Err(Said::of_content(reason))
        }
        Probe::Running { unit, .. } => match system.service(id, unit)?.activity {
            Activity::Running => Ok(()),
            Activity::Stopped => Err(Said::of_content(format!("{unit} does not run"))),
            Activity::Between(word) => Err(Said::of_content(format!("{unit} is {word}"))),
        },
    }
}
