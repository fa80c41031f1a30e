//! Steps in a role file: commands, for what no other kind of entry does.
//!
//! ```toml
//! [[step]]
//! name = "fonts"
//! program = "/usr/bin/fc-cache"
//! arguments = ["--force"]             # without a shell; never a secret: all of the host can read them
//! timeout_seconds = 60                # at most 3600
//! codes = [0]                         # exit codes that mean success; 0 alone when absent
//! creates = "/var/cache/fontconfig"   # run while this is not there
//! ```
//!
//! Or, in place of `creates`: `removes = "PATH"`, run while something stands there; `only_if = { program =
//! "...", arguments = [] }`, run while that command ends with 0; `unless`, likewise, while it does not. Those
//! two are asked in every pass, have five seconds, and may change nothing; a path is the cheaper question. After it ran the
//! question is asked again: a step that is needed still has failed. Without any of the four a step runs only
//! when it is told to: an entry that changed names it in `notify`. One that has a guard can be told as well.
//!
//! Each also takes `after` and `notify`. A host runs only what its own list of commands allows.

use email_engine_protocol::desired::{CommandLine, Guard, HostPath, StepSpec};
use email_engine_protocol::limits;
use serde::Deserialize;

use super::super::build::Build;
use super::super::error::BundleFault;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::planner) struct StepEntry {
    pub(in crate::planner) name: String,
    program: String,
    #[serde(default)]
    arguments: Vec<String>,
    timeout_seconds: u32,
    codes: Option<Vec<u8>>,
    creates: Option<String>,
    removes: Option<String>,
    only_if: Option<CommandEntry>,
    unless: Option<CommandEntry>,
    #[serde(default)]
    pub(in crate::planner) after: Vec<String>,
    #[serde(default)]
    pub(in crate::planner) notify: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandEntry {
    program: String,
    #[serde(default)]
    arguments: Vec<String>,
}

pub(in crate::planner) fn spec(
    build: &Build<'_>,
    entry: &StepEntry,
) -> Result<StepSpec, BundleFault> {
    let command = |program: &str, arguments: &[String]| {
        Ok(CommandLine {
            program: build.path(program)?,
            arguments: arguments.to_vec(),
        })
    };
    let asked = |asked: &CommandEntry| command(&asked.program, &asked.arguments);
    let guards = [
        path(build, entry.creates.as_deref(), Guard::Creates)?,
        path(build, entry.removes.as_deref(), Guard::Removes)?,
        entry
            .only_if
            .as_ref()
            .map(asked)
            .transpose()?
            .map(Guard::OnlyIf),
        entry
            .unless
            .as_ref()
            .map(asked)
            .transpose()?
            .map(Guard::Unless),
    ];
    let mut guards = guards.into_iter().flatten();
    let guard = guards.next().unwrap_or(Guard::Notified);
    let name = &entry.name;
    if guards.next().is_some() {
        return Err(build.fault(&format!(
            "step {name}: accepted is one of creates, removes, only_if and unless, or none of them"
        )));
    }
    let longest = limits::STEP_SECONDS;
    if !(1..=longest).contains(&entry.timeout_seconds) {
        return Err(build.fault(&format!(
            "step {name}: timeout_seconds is {}, accepted is 1 to {longest}",
            entry.timeout_seconds
        )));
    }
    let success_codes = entry.codes.clone().unwrap_or_else(|| vec![0]);
    if success_codes.is_empty() {
        return Err(build.fault(&format!(
            "step {name}: codes is empty, accepted are exit codes from 0 to 255"
        )));
    }
    Ok(StepSpec {
        command: command(&entry.program, &entry.arguments)?,
        guard,
        timeout_seconds: entry.timeout_seconds,
        success_codes,
    })
}

fn path(
    build: &Build<'_>,
    text: Option<&str>,
    guard: impl FnOnce(HostPath) -> Guard,
) -> Result<Option<Guard>, BundleFault> {
    let path = text.map(|text| build.path(text)).transpose()?;
    Ok(path.map(guard))
}
