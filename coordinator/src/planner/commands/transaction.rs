//! Makes transactions of a role file: which files change together, and how they are brought into
//! force.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    CommandCheck, CommandLine, CountSpec, DrainSpec, HostConfig, NAME, RestartSpec, Spec,
    TransactionSpec,
};

use super::super::build::Build;
use super::super::error::BundleFault;
use super::super::health;
use super::super::role::{CheckEntry, DrainEntry, Generated, TransactionEntry};
use super::super::values::Item;
use crate::powermta::syntax::Sources;
use crate::powermta::{self, CONFIG_PATH};

/// Templates among the texts of these entries, each once.
pub(in crate::planner) fn texts(entries: &[TransactionEntry]) -> impl Iterator<Item = &str> {
    let probes = entries
        .iter()
        .flat_map(|entry| entry.read_back.iter().chain(&entry.health));
    let own = entries.iter().flat_map(|entry| {
        let checks = [&entry.test, &entry.activate];
        let checks = checks.into_iter().flat_map(check_texts);
        checks.chain(entry.unit.as_deref())
    });
    let mut texts: Vec<&str> = probes.flat_map(health::probe_texts).chain(own).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter()
}

/// Templates among the texts of a command that judges.
pub(in crate::planner) fn check_texts(entry: &CheckEntry) -> impl Iterator<Item = &str> {
    let arguments = entry.arguments.iter().map(String::as_str);
    std::iter::once(entry.program.as_str()).chain(arguments)
}

/// The transaction of an entry; its members are known already.
pub(in crate::planner) fn spec(
    build: &Build<'_>,
    entry: &TransactionEntry,
) -> Result<TransactionSpec, BundleFault> {
    let lines = match entry.restart_lines {
        None => Vec::new(),
        Some(Generated::PowermtaConfig) => {
            let text = build.values.powermta.as_deref().unwrap_or_default();
            powermta::restart_lines(&Sources::single(CONFIG_PATH, text))
        }
    };
    let digest = restart_digest(&lines);
    Ok(TransactionSpec {
        members: build.expand(&entry.members)?,
        test: check(build, &entry.test, None)?,
        activate: check(build, &entry.activate, None)?,
        unit: entry
            .unit
            .as_ref()
            .map(|unit| build.unit(unit))
            .transpose()?,
        read_back: health::probes(build, &entry.read_back, None)?,
        health: health::probes(build, &entry.health, None)?,
        restart: RestartSpec {
            lines,
            allowed: build.values.restart_allowed == Some(digest),
        },
        attempt: build.values.attempt,
        drain: entry
            .drain
            .as_ref()
            .map(|drain| drained(build, drain))
            .transpose()?,
    })
}

fn drained(build: &Build<'_>, entry: &DrainEntry) -> Result<DrainSpec, BundleFault> {
    let names = &build.values.drain;
    if !entry.arguments.iter().any(|text| text.contains(NAME)) || !entry.belongs.contains(NAME) {
        let reason = format!("drain has {NAME} among its arguments and in belongs");
        return Err(build.fault(&reason));
    }
    Ok(DrainSpec {
        holds: names.holds.clone(),
        leaving: names.leaving.clone(),
        given_up: names.given_up.clone(),
        question: CountSpec {
            command: CommandLine {
                program: build.path(&entry.program)?,
                arguments: entry.arguments.clone(),
            },
            seconds: entry.timeout_seconds,
            list: entry.list.clone(),
            name: entry.name.clone(),
            belongs: entry.belongs.clone(),
            count: entry.count.clone(),
            absent_is_none: entry.absent_is_none,
        },
    })
}

/// A command that judges.
pub(in crate::planner) fn check(
    build: &Build<'_>,
    entry: &CheckEntry,
    item: Option<&Item>,
) -> Result<CommandCheck, BundleFault> {
    let context = build.context(item);
    let filled = |text: &String| build.templates.text(text, &build.role.path, &context);
    let arguments = entry.arguments.iter().map(filled);
    Ok(CommandCheck {
        command: CommandLine {
            program: build.path(&filled(&entry.program)?)?,
            arguments: arguments.collect::<Result<_, _>>()?,
        },
        seconds: entry.timeout_seconds,
        refused_by: entry.refused_by.clone(),
        must_say: entry.must_say.clone(),
    })
}

/// Names restart lines: what an operator allows is a restart for these, and for no others.
#[must_use]
pub fn restart_digest(lines: &[String]) -> ContentHash {
    ContentHash::of(lines.join("\n").as_bytes())
}

/// The lines that a host's state may need a restart for.
#[must_use]
pub fn restart_wanted(config: &HostConfig) -> Vec<String> {
    let specs = config
        .resources
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::Transaction(spec) => Some(spec),
            _ => None,
        });
    specs
        .flat_map(|spec| spec.restart.lines.iter().cloned())
        .collect()
}
