//! Makes transactions of a role file: which files change together, and how they are brought into
//! force.

use std::cmp::Reverse;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{
    CommandCheck, CommandLine, CountSpec, DrainSpec, Expectation, Holds, HostConfig, NAME, Probe,
    RestartSpec, Spec, TransactionSpec,
};

use super::build::Build;
use super::error::BundleFault;
use super::role::{
    CheckEntry, DrainEntry, ExpectEntry, Generated, Greeting, ProbeEntry, TransactionEntry,
};
use super::values::Item;
use crate::powermta::syntax::Sources;
use crate::powermta::{self, CONFIG_PATH};

/// Items that a probe with `each` is repeated for, because each costs a command at every change: those
/// that were placed last. Asked about the same old ones each time, a product that took nothing new
/// would answer as one that did.
const PROBED_ITEMS: usize = 8;

/// Templates among the texts of these entries, each once.
pub(super) fn texts(entries: &[TransactionEntry]) -> impl Iterator<Item = &str> {
    let probes = entries
        .iter()
        .flat_map(|entry| entry.read_back.iter().chain(&entry.health));
    let mut texts: Vec<&str> = probes.flat_map(texts_of).map(String::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.into_iter()
}

fn texts_of(probe: &ProbeEntry) -> impl Iterator<Item = &String> {
    let expected = probe.expect.iter();
    let expected = expected.flat_map(|one| [&one.equals, &one.contains, &one.mentions]);
    let arguments = probe.arguments.iter().chain(&probe.quiet);
    arguments.chain(expected.flatten())
}

/// The transaction of an entry; its members are known already.
pub(super) fn spec(
    build: &Build<'_>,
    entry: &TransactionEntry,
) -> Result<TransactionSpec, BundleFault> {
    let probes = |entries: &[ProbeEntry]| {
        let made = entries.iter().map(|entry| probes(build, entry));
        made.collect::<Result<Vec<_>, _>>()
            .map(|made| made.concat())
    };
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
        test: check(build, &entry.test)?,
        activate: check(build, &entry.activate)?,
        unit: entry.unit.clone(),
        read_back: probes(&entry.read_back)?,
        health: probes(&entry.health)?,
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

fn check(build: &Build<'_>, entry: &CheckEntry) -> Result<CommandCheck, BundleFault> {
    Ok(CommandCheck {
        command: CommandLine {
            program: build.path(&entry.program)?,
            arguments: entry.arguments.clone(),
        },
        seconds: entry.timeout_seconds,
        refused_by: entry.refused_by.clone(),
        must_say: entry.must_say.clone(),
    })
}

fn probes(build: &Build<'_>, entry: &ProbeEntry) -> Result<Vec<Probe>, BundleFault> {
    let Some(each) = entry.each else {
        return Ok(vec![probe(build, entry, None)?]);
    };
    let items = newest(build.values.items(each));
    items
        .into_iter()
        .map(|item| probe(build, entry, Some(item)))
        .collect()
}

/// The items that were placed last, in their order.
fn newest(items: &[Item]) -> Vec<&Item> {
    let mut chosen: Vec<(usize, &Item)> = items.iter().enumerate().collect();
    chosen.sort_by_key(|(at, item)| (Reverse(item.placed_at), *at));
    chosen.truncate(PROBED_ITEMS);
    chosen.sort_by_key(|(at, _)| *at);
    chosen.into_iter().map(|(_, item)| item).collect()
}

fn probe(build: &Build<'_>, entry: &ProbeEntry, item: Option<&Item>) -> Result<Probe, BundleFault> {
    let seconds = entry.timeout_seconds;
    let context = build.context(item);
    let filled = |text: &String| build.templates.text(text, &build.role.path, &context);
    match (&entry.program, entry.greeting, &entry.running, &entry.quiet) {
        (Some(program), None, None, None) => {
            let arguments = entry.arguments.iter().map(filled);
            let expected = entry.expect.iter().map(|one| expectation(one, &filled));
            Ok(Probe::Answer {
                command: CommandLine {
                    program: build.path(program)?,
                    arguments: arguments.collect::<Result<_, _>>()?,
                },
                seconds,
                expect: expected.collect::<Result<_, _>>()?,
            })
        }
        (None, Some(Greeting::Submission), None, None) => Ok(Probe::Greeting {
            address: build
                .values
                .submission
                .ok_or_else(|| build.fault("only a powermta host has a submission port"))?,
            begins: entry.begins.clone().unwrap_or_default(),
            seconds,
        }),
        (None, None, None, Some(log)) => Ok(Probe::Quiet {
            log: build.path(&filled(log)?)?,
            errors: entry.errors.clone(),
        }),
        (None, None, Some(unit), None) => Ok(Probe::Running {
            unit: unit.clone(),
            seconds,
        }),
        _ => Err(build.fault("a probe has exactly one of program, greeting, quiet, running")),
    }
}

fn expectation(
    entry: &ExpectEntry,
    filled: &impl Fn(&String) -> Result<String, BundleFault>,
) -> Result<Expectation, BundleFault> {
    let holds = match (&entry.equals, &entry.contains, &entry.mentions) {
        (Some(text), _, _) => Holds::Equals(filled(text)?),
        (_, Some(text), _) => Holds::Contains(filled(text)?),
        (_, _, Some(text)) => Holds::Mentions(filled(text)?),
        _ => Holds::Present,
    };
    Ok(Expectation {
        pointer: entry.pointer.clone(),
        holds,
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
