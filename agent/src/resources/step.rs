//! A guarded command: run while a path is missing or there, while another command says so, or when something
//! that it depends on changed.

use std::time::Duration;

use email_engine_protocol::desired::{CommandCheck, CommandLine, Guard, HostPath, StepSpec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;

use super::{ApplyError, Finding};
use crate::host::{Machine, System, SystemError};

/// What asks whether a step is needed is no work, and everything else waits for it.
const QUESTION: Duration = Duration::from_secs(5);

pub(super) fn observe(machine: &mut Machine, id: &ResourceId, spec: &StepSpec) -> Finding {
    let simulated = machine.system.is_simulated();
    let needed = match &spec.guard {
        Guard::Notified => Ok(None),
        // A simulated command makes nothing: that it ran must do.
        _ if simulated && machine.system.has_run(id) => Ok(None),
        Guard::Creates(path) => {
            stands(machine, path).map(|stands| (!stands).then(|| format!("{path} does not exist")))
        }
        Guard::Removes(path) => {
            stands(machine, path).map(|stands| stands.then(|| format!("{path} exists")))
        }
        Guard::OnlyIf(_) | Guard::Unless(_) if simulated => {
            Ok(Some("it has not run yet".to_owned()))
        }
        Guard::OnlyIf(command) => {
            asked(machine, id, command).map(|code| (code == 0).then(|| said(command, code)))
        }
        Guard::Unless(command) => {
            asked(machine, id, command).map(|code| (code != 0).then(|| said(command, code)))
        }
    };
    match needed {
        Ok(None) if simulated => Finding::Simulated,
        Ok(None) => Finding::Right,
        Ok(Some(why)) => Finding::Differs(why),
        Err(error) => Finding::Unknown(error),
    }
}

fn stands(machine: &Machine, path: &HostPath) -> Result<bool, String> {
    let entry = machine.files.look(path);
    entry
        .map(|entry| entry.is_some())
        .map_err(|error| error.to_string())
}

/// The code of a command that only asks. It is run as the step is, and sees what that one sees.
fn asked(machine: &mut Machine, id: &ResourceId, command: &CommandLine) -> Result<u8, String> {
    let ended = machine.system.run(id, command, QUESTION);
    ended
        .map(|ended| ended.code)
        .map_err(|error| error.to_string())
}

fn said(command: &CommandLine, code: u8) -> String {
    let mut words = vec![command.program.as_str()];
    words.extend(command.arguments.iter().map(String::as_str));
    format!("{} says so with code {code}", words.join(" "))
}

pub(super) fn run(
    machine: &mut Machine,
    id: &ResourceId,
    spec: &StepSpec,
) -> Result<(), ApplyError> {
    let timeout = time_limit(spec.timeout_seconds);
    let ended = machine.system.run_step(id, &spec.command, timeout)?;
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

/// Why a command that judges did not say yes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// By its code or its words.
    #[error("{command} ended with code {code}: {output}")]
    Refused {
        /// The command.
        command: String,
        /// Its exit code.
        code: u8,
        /// The end of its output.
        output: String,
    },
    /// It did not say what it says when it did its work.
    #[error("{command} did not say {text:?}: {output}")]
    Silent {
        /// The command.
        command: String,
        /// What it should have said.
        text: String,
        /// The end of its output.
        output: String,
    },
    /// It could not be run.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Runs a command whose code and words both judge.
pub(crate) fn check(
    system: &mut dyn System,
    id: &ResourceId,
    check: &CommandCheck,
) -> Result<(), CheckError> {
    let ended = system.run(id, &check.command, time_limit(check.seconds))?;
    let says = |text: &String| ended.output.contains(text.as_str());
    let mut words = vec![check.command.program.to_string()];
    words.extend(check.command.arguments.iter().cloned());
    let command = words.join(" ");
    if ended.code == 0 && !check.refused_by.iter().any(says) {
        // A simulated command says nothing.
        let silent = check.must_say.iter().find(|text| !says(text));
        let Some(text) = silent.filter(|_| !system.is_simulated()) else {
            return Ok(());
        };
        return Err(CheckError::Silent {
            command,
            text: text.clone(),
            output: ended.output,
        });
    }
    Err(CheckError::Refused {
        command,
        code: ended.code,
        output: ended.output,
    })
}

/// A command without a limit gets the default, and none may run longer than the bound.
pub(crate) fn time_limit(seconds: u32) -> Duration {
    let seconds = match seconds {
        0 => limits::STEP_DEFAULT_SECONDS,
        seconds => seconds.min(limits::STEP_SECONDS),
    };
    Duration::from_secs(u64::from(seconds))
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::{CommandLine, HostPath};

    use super::*;

    fn step(guard: Guard, script: &str) -> StepSpec {
        StepSpec {
            command: CommandLine {
                program: HostPath::new("/bin/sh").unwrap(),
                arguments: vec!["-c".to_owned(), script.to_owned()],
            },
            guard,
            timeout_seconds: 20,
            success_codes: vec![0, 3],
        }
    }

    #[test]
    fn a_command_is_needed_until_its_path_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let id = ResourceId::new("step:make").unwrap();
        let guard = Guard::Creates(HostPath::new("/made").unwrap());
        let script = format!("touch {}/made", dir.path().display());
        let spec = step(guard, &script);
        let missing = Finding::Differs("/made does not exist".to_owned());
        assert_eq!(observe(&mut machine, &id, &spec), missing);
        run(&mut machine, &id, &spec).unwrap();
        assert_eq!(observe(&mut machine, &id, &spec), Finding::Right);
    }

    #[test]
    fn a_command_is_needed_while_its_path_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let id = ResourceId::new("step:clear").unwrap();
        let guard = Guard::Removes(HostPath::new("/old").unwrap());
        let spec = step(guard, &format!("rmdir {}/old", dir.path().display()));
        assert_eq!(observe(&mut machine, &id, &spec), Finding::Right);
        std::fs::create_dir(dir.path().join("old")).unwrap();
        let there = Finding::Differs("/old exists".to_owned());
        assert_eq!(observe(&mut machine, &id, &spec), there);
        run(&mut machine, &id, &spec).unwrap();
        assert_eq!(observe(&mut machine, &id, &spec), Finding::Right);
    }

    #[test]
    fn another_command_says_whether_one_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let id = ResourceId::new("step:told").unwrap();
        let command = |program: &str| CommandLine {
            program: HostPath::new(program).unwrap(),
            arguments: Vec::new(),
        };
        let (yes, no) = (command("/bin/true"), command("/bin/false"));
        let mut see = |guard| observe(&mut machine, &id, &step(guard, ""));
        assert_eq!(see(Guard::Unless(yes.clone())), Finding::Right);
        assert_eq!(see(Guard::OnlyIf(no.clone())), Finding::Right);
        let differs = |text: &str| Finding::Differs(text.to_owned());
        assert_eq!(
            see(Guard::OnlyIf(yes)),
            differs("/bin/true says so with code 0")
        );
        assert_eq!(
            see(Guard::Unless(no)),
            differs("/bin/false says so with code 1")
        );
        // Whoever cannot be asked says neither.
        for guard in [Guard::OnlyIf, Guard::Unless] {
            let finding = see(guard(command("/bin/nobody-has-this")));
            assert!(matches!(finding, Finding::Unknown(_)), "{finding:?}");
        }
    }

    #[test]
    fn nothing_is_run_when_nobody_can_tell_whether_it_is_needed() {
        use email_engine_protocol::desired::{OnRemove, Policy, Resource, Spec};

        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        // Asked once it says that it is needed, and then it is gone.
        let asked = dir.path().join("asked");
        std::fs::write(&asked, "#!/bin/sh\nrm \"$0\"; exit 1\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&asked, mode).unwrap();
        let question = CommandLine {
            program: HostPath::new(asked.to_str().unwrap()).unwrap(),
            arguments: Vec::new(),
        };
        let script = format!("touch {}/ran", dir.path().display());
        let resource = Resource {
            id: ResourceId::new("step:once").unwrap(),
            spec: Spec::Step(step(Guard::Unless(question), &script)),
            on_remove: OnRemove::Leave,
            policy: Policy::Enforce,
            after: Vec::new(),
            notify: Vec::new(),
        };
        let contents = crate::resources::database_samples::Nothing;
        let found = crate::resources::observe(&mut machine, &contents, &resource);
        assert!(matches!(found, Finding::Differs(_)), "{found:?}");
        let error = crate::resources::ensure(&mut machine, &contents, &resource).unwrap_err();
        assert!(error.to_string().contains("cannot be told"), "{error}");
        assert!(!dir.path().join("ran").exists());
    }

    #[test]
    fn in_a_sandbox_a_command_is_needed_until_it_was_noted() {
        let dir = tempfile::tempdir().unwrap();
        let cabinet = crate::host::Cabinet::open(&dir.path().join("data")).unwrap();
        let root = crate::host::Root::Sandbox(dir.path().join("root"));
        let mut machine = Machine::open(&root, cabinet).unwrap();
        let id = ResourceId::new("step:told").unwrap();
        let question = CommandLine {
            program: HostPath::new("/bin/true").unwrap(),
            arguments: Vec::new(),
        };
        let spec = step(Guard::Unless(question), "");
        let finding = observe(&mut machine, &id, &spec);
        assert!(matches!(finding, Finding::Differs(_)), "{finding:?}");
        run(&mut machine, &id, &spec).unwrap();
        assert_eq!(observe(&mut machine, &id, &spec), Finding::Simulated);
    }

    #[test]
    fn only_the_named_codes_are_success() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let id = ResourceId::new("step:code").unwrap();
        run(&mut machine, &id, &step(Guard::Notified, "exit 3")).unwrap();
        let error = run(
            &mut machine,
            &id,
            &step(Guard::Notified, "echo why; exit 4"),
        );
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "/bin/sh ended with code 4: why");
    }

    #[test]
    fn every_command_has_a_time_limit() {
        assert_eq!(time_limit(60), Duration::from_secs(60));
        assert_eq!(time_limit(0), Duration::from_secs(300));
        assert_eq!(time_limit(u32::MAX), Duration::from_secs(3600));
    }

    #[test]
    fn a_command_that_hangs_is_ended_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::with_programs(dir.path());
        let id = ResourceId::new("step:hang").unwrap();
        let mut spec = step(Guard::Notified, "echo begun; sleep 600");
        spec.timeout_seconds = 1;
        let text = run(&mut machine, &id, &spec).unwrap_err().to_string();
        assert_eq!(text, "/bin/sh was ended after 1 s: begun");
    }
}
