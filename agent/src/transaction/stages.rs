//! The stages in which the product has a say: test, activate, read back, health.

use std::time::{Duration, Instant};

use email_engine_protocol::desired::{CommandCheck, OnNotify, Probe, ServiceSpec, TransactionSpec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;

use super::decide::Revival;
use super::quiet::{self, Marks};
use super::standing::{Blame, Failure, Journal, Stage};
use crate::health::ask::{self, Unwell};
use crate::host::{Activity, AtBoot, Machine, System, SystemError};
use crate::resources::{self, CheckError};

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
    Ok(matches!(
        seen.activity,
        Activity::Running | Activity::Between(_)
    ))
}

/// Gives a product that runs the time until it answers: one that has just been started, with the
/// machine perhaps, does not hear yet what it is told, and would seem to refuse it. One that never
/// answers is told all the same.
pub(super) fn await_answer(system: &mut dyn System, id: &ResourceId, probes: &[Probe]) {
    let mut answers = probes.iter().filter_map(|probe| match probe {
        Probe::Answer {
            command, seconds, ..
        } => Some((command, *seconds)),
        _ => None,
    });
    let Some((command, seconds)) = answers.next() else {
        return;
    };
    let id = id_of(id, "answers");
    // What it answers is not looked at: that is of the files before.
    let deadline = Instant::now() + limit(seconds);
    let asked = until(system, deadline, |system, left| {
        system.ask(&id, command, left).map(drop).map_err(Said::from)
    });
    if let Err(said) = asked {
        tracing::warn!(transaction = %id, reason = said.reason, "the product does not answer");
    }
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
        let seen = system.service(id, unit).map_err(Said::of_machine)?;
        if restarts || seen.activity != Activity::Running {
            return restart(system, id, unit, &seen.activity);
        }
    }
    run(system, id, check)
}

/// A service that was told to start and does not run speaks against its files. `before` says how it
/// was found: one that was down and was not even tried, because it is not there, is masked or lacks
/// what it depends on, says nothing of them.
fn restart(
    system: &mut dyn System,
    id: &ResourceId,
    unit: &str,
    before: &Activity,
) -> Result<(), Said> {
    let Err(error) = system.notify_service(id, unit, OnNotify::Restart) else {
        return Ok(());
    };
    let has_answered = matches!(&error, SystemError::Failed { code, .. } if !is_from_outside(code));
    let mut said = Said::of_machine(error);
    if has_answered && let Ok(seen) = system.service(id, unit) {
        let is_of_files = match seen.activity {
            Activity::Failed => true,
            // It failed, and the service manager is about to try again.
            Activity::Between(word) => word == "activating",
            Activity::Stopped => *before == Activity::Running,
            Activity::Running => false,
        };
        if is_of_files {
            said.blame = Blame::Start;
        }
    }
    Err(said)
}

fn stop(system: &mut dyn System, id: &ResourceId, unit: &str) -> Result<(), Said> {
    let seen = system.service(id, unit).map_err(Said::of_machine)?;
    let off = ServiceSpec {
        unit: unit.to_owned(),
        enabled: seen.at_boot == AtBoot::Enabled,
        running: false,
        on_notify: OnNotify::Restart,
    };
    system.set_service(id, &off).map_err(Said::of_machine)
}

pub(super) fn probe(
    machine: &mut Machine,
    id: &ResourceId,
    stage: Stage,
    probes: &[Probe],
    marks: &Marks,
) -> Result<(), Failure> {
    let stage_id = id_of(id, &stage.to_string());
    let mut asked = |probe: &Probe| match probe {
        Probe::Quiet { log, errors } => {
            quiet::judge(&machine.files, marks, log, errors).map_err(Said::of_content)
        }
        probe => ask(machine.system.as_mut(), &stage_id, probe, probe.seconds()),
    };
    // What the others set off is in the logs by then.
    let is_log = |probe: &&Probe| matches!(probe, Probe::Quiet { .. });
    let (logs, others): (Vec<&Probe>, Vec<&Probe>) = probes.iter().partition(is_log);
    others
        .into_iter()
        .chain(logs)
        .try_for_each(&mut asked)
        .map_err(|said| said.at(stage))
}

/// What the product or the machine said against a content.
struct Said {
    reason: String,
    blame: Blame,
}

impl Said {
    const fn of_content(reason: String) -> Self {
        Self {
            reason,
            blame: Blame::Content,
        }
    }

    /// Of what the service manager does and does not do: whatever ails it is found by the next try.
    fn of_machine(error: SystemError) -> Self {
        let blame = match error {
            SystemError::Simulated(_) => Blame::Content,
            _ => Blame::Machine,
        };
        Self {
            blame,
            ..error.into()
        }
    }

    /// Of what was asked whether all is well. That no page comes, or not in time, may be an illness of what
    /// stands behind it, such as a database that recovers after a boot, and is no word about this content;
    /// a greeting depends on nothing else.
    fn of_asking(probe: &Probe, unwell: Unwell) -> Self {
        let is_silence = matches!(&unwell, Unwell::Asked(SystemError::Silent { .. }));
        let said = match unwell {
            Unwell::Asked(error) => error.into(),
            Unwell::Manager(error) => Self::of_machine(error),
            Unwell::Said(reason) => Self::of_content(reason),
        };
        match probe {
            Probe::Connect { .. } | Probe::Http { .. } if is_silence => Self {
                blame: Blame::Machine,
                ..said
            },
            _ => said,
        }
    }

    fn at(self, stage: Stage) -> Failure {
        Failure {
            stage,
            reason: super::cut(self.reason),
            blame: self.blame,
        }
    }
}

/// SIGHUP, SIGINT, SIGKILL and SIGTERM: the machine goes down, the agent is stopped, or memory is short.
const ENDED_FROM_OUTSIDE: [&str; 4] = ["signal 1", "signal 2", "signal 9", "signal 15"];

fn is_from_outside(code: &str) -> bool {
    ENDED_FROM_OUTSIDE.contains(&code)
}

impl From<SystemError> for Said {
    /// A program that is not there says nothing of a content, nor does one that was told to end or
    /// did not come to its end, or an address that the machine does not have.
    fn from(error: SystemError) -> Self {
        let blame = match &error {
            SystemError::Start { .. }
            | SystemError::State(_)
            | SystemError::Stranger { .. }
            | SystemError::Timeout { .. } => Blame::Machine,
            SystemError::Failed { code, .. } if is_from_outside(code) => Blame::Machine,
            _ => Blame::Content,
        };
        Self {
            reason: error.to_string(),
            blame,
        }
    }
}

fn run(system: &mut dyn System, id: &ResourceId, check: &CommandCheck) -> Result<(), Said> {
    resources::check(system, id, check).map_err(|error| match error {
        CheckError::System(error) => error.into(),
        said @ (CheckError::Refused { .. } | CheckError::Silent { .. }) => {
            Said::of_content(said.to_string())
        }
    })
}

/// Asks until the answer is right, and stays so for as long as it must, or the time is over.
fn ask(system: &mut dyn System, id: &ResourceId, probe: &Probe, seconds: u32) -> Result<(), Said> {
    let deadline = Instant::now() + limit(seconds);
    let steady = match probe {
        Probe::Http { steady_seconds, .. } => (*steady_seconds).min(limits::STEADY_SECONDS),
        _ => 0,
    };
    let steady = Duration::from_secs(u64::from(steady));
    let once = |system: &mut dyn System, left| {
        let asked = ask::once(system, id, probe, left);
        asked.map_err(|unwell| Said::of_asking(probe, unwell))
    };
    loop {
        until(system, deadline, once)?;
        let right_since = Instant::now();
        let stays = loop {
            if system.is_simulated() || right_since.elapsed() >= steady {
                return Ok(());
            }
            std::thread::sleep(ASK_AGAIN);
            if let Err(said) = once(system, ASK_AGAIN.max(steady)) {
                break said;
            }
        };
        if Instant::now() >= deadline {
            return Err(stays);
        }
    }
}

fn limit(seconds: u32) -> Duration {
    let seconds = match seconds {
        0 => limits::PROBE_DEFAULT_SECONDS,
        seconds => seconds.min(limits::PROBE_SECONDS),
    };
    Duration::from_secs(u64::from(seconds))
}

/// Asks until the answer is right or the time is over, and gives the last answer then. The end of the time
/// cuts the last question short: what had less of it than the one before took says nothing, and a wrong
/// answer that takes its time stays a wrong answer.
fn until(
    system: &mut dyn System,
    deadline: Instant,
    mut once: impl FnMut(&mut dyn System, Duration) -> Result<(), Said>,
) -> Result<(), Said> {
    let mut last: Option<(Said, Duration)> = None;
    loop {
        let begin = Instant::now();
        let left = deadline.saturating_duration_since(begin);
        let limit = left.max(ASK_AGAIN);
        let Err(said) = once(system, limit) else {
            return Ok(());
        };
        let said = match last.take() {
            Some((before, took)) if said.blame == Blame::Machine && limit < took * 2 => {
                (before, took)
            }
            _ => (said, begin.elapsed()),
        };
        if system.is_simulated() || left <= ASK_AGAIN {
            return Err(said.0);
        }
        last = Some(said);
        std::thread::sleep(ASK_AGAIN);
    }
}
