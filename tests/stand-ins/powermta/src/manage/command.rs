//! A command line: words that may be shortened, options, arguments.

use std::sync::Arc;

use super::answer::Answer;
use super::{act, delete, queues, settings, status};
use crate::engine::Engine;

/// What follows the words of a command.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    options: Vec<(String, String)>,
    pub(super) plain: Vec<String>,
}

impl Arguments {
    fn read(words: &[String]) -> Self {
        let mut read = Self::default();
        for word in words {
            match word.strip_prefix("--") {
                Some(option) => {
                    let (name, value) = option.split_once('=').unwrap_or((option, "yes"));
                    read.options.push((name.to_lowercase(), value.to_owned()));
                }
                None => read.plain.push(word.clone()),
            }
        }
        read
    }

    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// An option of the command that the guide does not know.
    fn unknown(&self, known: &[&str]) -> Option<&str> {
        let found = self
            .options
            .iter()
            .find(|(own, _)| !known.contains(&own.as_str()));
        found.map(|(own, _)| own.as_str())
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.plain.first().map(String::as_str)
    }
}

type Action = fn(&Arc<Engine>, &Arguments) -> Answer;

struct Command {
    words: &'static [&'static str],
    options: &'static [&'static str],
    /// How many plain arguments: least and most.
    arguments: (usize, usize),
    action: Action,
}

const SELECT: &[&str] = &[
    "connected",
    "paused",
    "mode",
    "maxitems",
    "errors",
    "sort",
    "no-rcpt-events",
    "mode-events",
    "vmta",
];
const WHICH: &[&str] = &[
    "queue",
    "orig",
    "rcpt",
    "jobid",
    "envid",
    "older-than",
    "dsn",
    "no-accounting",
    "maxitems",
    "pause",
    "priority",
    "schedule",
];

const COMMANDS: &[Command] = &[
    command(&["clear", "dnscache"], &[], (1, 1), act::clear_dns),
    command(&["delete"], WHICH, (0, 0), delete::delete),
    command(
        &["disable", "source"],
        &["reenable-after"],
        (2, 2),
        act::disable_source,
    ),
    command(&["enable", "source"], &[], (2, 2), act::enable_source),
    command(&["list"], WHICH, (0, 0), delete::list),
    command(&["pause", "job"], &[], (1, 1), act::pause_job),
    command(&["pause", "queue"], &[], (1, 1), act::pause_queue),
    command(&["reload"], &[], (0, 0), act::reload),
    command(&["reset", "counters"], &[], (0, 0), act::reset),
    command(&["reset", "status"], &[], (0, 0), act::reset),
    command(&["resume", "job"], &[], (1, 1), act::resume_job),
    command(&["resume", "queue"], &[], (1, 1), act::resume_queue),
    command(&["rotate", "acct"], &[], (0, 1), act::rotate_accounting),
    command(&["rotate", "log"], &[], (0, 0), act::rotate_log),
    command(&["schedule"], &["retry-recipients"], (1, 1), act::schedule),
    command(
        &["register"],
        &[
            "user",
            "label",
            "webmon-ip",
            "webmon-port",
            "pmtamc-port",
            "reuse-label",
        ],
        (1, 1),
        status::no_console,
    ),
    command(
        &["deregister"],
        &["user", "local-only", "retain-unloaded"],
        (0, 0),
        status::no_console,
    ),
    command(
        &["set", "priority"],
        &["queue", "orig", "rcpt", "jobid", "envid"],
        (1, 1),
        delete::set_priority,
    ),
    command(&["set", "queue"], &["mode"], (1, 1), act::set_queue),
    command(
        &["show", "disabled", "sources"],
        &[],
        (0, 1),
        queues::disabled_sources,
    ),
    command(&["show", "domains"], SELECT, (0, 1), queues::domains),
    command(&["show", "jobs"], &["maxitems"], (0, 0), queues::jobs),
    command(&["show", "license"], &[], (0, 0), status::license),
    command(&["show", "precache"], &[], (0, 0), status::precache),
    command(&["show", "queues"], SELECT, (0, 1), queues::queues),
    command(&["show", "registration"], &[], (0, 0), status::registration),
    command(&["show", "settings"], &[], (1, 1), settings::settings),
    command(&["show", "status"], &[], (0, 0), status::status),
    command(&["show", "topdomains"], SELECT, (0, 1), queues::domains),
    command(&["show", "topqueues"], SELECT, (0, 1), queues::queues),
    command(&["show", "version"], &[], (0, 0), status::version),
    command(&["show", "vmtas"], &["maxitems"], (0, 0), queues::vmtas),
];

const fn command(
    words: &'static [&'static str],
    options: &'static [&'static str],
    arguments: (usize, usize),
    action: Action,
) -> Command {
    Command {
        words,
        options,
        arguments,
        action,
    }
}

/// Carries out a command line.
pub(super) fn run(engine: &Arc<Engine>, line: &[String]) -> Answer {
    let words: Vec<String> = line.iter().map(|word| word.to_lowercase()).collect();
    let mut fitting: Vec<&Command> = COMMANDS.iter().filter(|one| fits(one, &words)).collect();
    // A word in full wins over one that it begins.
    let exact = fitting.iter().position(|one| {
        one.words
            .iter()
            .zip(&words)
            .all(|(known, word)| known == word)
    });
    if let Some(exact) = exact {
        fitting = vec![fitting[exact]];
    }
    let [chosen] = fitting.as_slice() else {
        return Answer::fault(format!("unknown command: {}", line.join(" ")));
    };
    let arguments = Arguments::read(&line[chosen.words.len()..]);
    if let Some(option) = arguments.unknown(chosen.options) {
        return Answer::fault(format!("unknown option --{option}"));
    }
    let (least, most) = chosen.arguments;
    if arguments.plain.len() < least {
        return Answer::fault("argument missing");
    }
    if arguments.plain.len() > most {
        return Answer::fault("too many arguments");
    }
    (chosen.action)(engine, &arguments)
}

/// The guide's own examples shorten: `show ver`, `reset count`.
fn fits(command: &Command, words: &[String]) -> bool {
    words.len() >= command.words.len()
        && command
            .words
            .iter()
            .zip(words)
            .all(|(known, word)| !word.is_empty() && (known.starts_with(word.as_str())))
}
