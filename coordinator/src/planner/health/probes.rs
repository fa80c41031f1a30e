//! One question, as a role file has it.

use std::cmp::Reverse;
use std::net::SocketAddr;

use email_engine_protocol::desired::{CommandLine, Expectation, Holds, HttpQuestion, Probe};
use serde::Deserialize;

use super::super::build::Build;
use super::super::commands::transaction;
use super::super::error::BundleFault;
use super::super::role::{CheckEntry, Each};
use super::super::values::Item;

/// Items that a probe with `each` is repeated for, because each costs a command at every change: those
/// that were placed last. Asked about the same old ones each time, a product that took nothing new
/// would answer as one that did.
const PROBED_ITEMS: usize = 8;
/// What sends a visitor on is an answer as well.
const STATUS: (u16, u16) = (200, 399);

/// A question: exactly one of `banner`, `command`, `greeting`, `http`, `program`, `quiet`, `running` and
/// `tcp`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::planner) struct ProbeEntry {
    /// Repeats it for a few items, those that were placed last.
    each: Option<Each>,
    /// A command that answers in JSON.
    program: Option<String>,
    /// Templates, so that `each` can name its item.
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    expect: Vec<ExpectEntry>,
    /// A server whose first line is looked at.
    greeting: Option<Greeting>,
    /// The same at an address of this host.
    banner: Option<String>,
    /// How that line begins.
    begins: Option<String>,
    /// A unit.
    running: Option<String>,
    /// A log that stays without lines that have one of `errors`. A template.
    quiet: Option<String>,
    #[serde(default)]
    errors: Vec<String>,
    /// A server that takes connections.
    tcp: Option<String>,
    /// A page.
    http: Option<HttpEntry>,
    #[serde(default)]
    steady_seconds: u32,
    /// A command whose code and words judge.
    command: Option<CheckEntry>,
    #[serde(default)]
    timeout_seconds: u32,
}

/// What an answer holds at a JSON pointer: anything, unless one of the others says what, as a template.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectEntry {
    pointer: String,
    equals: Option<String>,
    contains: Option<String>,
    mentions: Option<String>,
}

/// Where a server is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Greeting {
    /// Where the fleet's hosts submit.
    Submission,
}

/// A page; texts are templates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpEntry {
    address: String,
    path: String,
    host: Option<String>,
    #[serde(default)]
    tls: Tls,
    status: Option<String>,
    contains: Option<String>,
}

/// Whether a page is asked for over TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "accepted is true, false or a template of one of them"
)]
enum Tls {
    Plain(bool),
    /// Where it depends on the host.
    Template(String),
}

impl Default for Tls {
    fn default() -> Self {
        Self::Plain(false)
    }
}

/// Templates among the texts of a probe.
pub(in crate::planner) fn texts(probe: &ProbeEntry) -> impl Iterator<Item = &str> {
    let expected = probe.expect.iter();
    let expected = expected.flat_map(|one| [&one.equals, &one.contains, &one.mentions]);
    let page = probe.http.iter().flat_map(|page| {
        let needed = [&page.address, &page.path].into_iter();
        let tls = match &page.tls {
            Tls::Plain(_) => None,
            Tls::Template(text) => Some(text),
        };
        needed.chain(&page.host).chain(&page.contains).chain(tls)
    });
    let places = [&probe.quiet, &probe.banner, &probe.running, &probe.tcp];
    let texts = probe.arguments.iter().chain(places.into_iter().flatten());
    let texts = texts.chain(expected.flatten()).chain(page);
    let command = probe.command.iter().flat_map(transaction::check_texts);
    texts.map(String::as_str).chain(command)
}

/// The questions of these entries, in something that stands for this item.
pub(in crate::planner) fn made(
    build: &Build<'_>,
    entries: &[ProbeEntry],
    item: Option<&Item>,
) -> Result<Vec<Probe>, BundleFault> {
    let made = entries.iter().map(|entry| repeated(build, entry, item));
    made.collect::<Result<Vec<_>, _>>()
        .map(|made| made.concat())
}

fn repeated(
    build: &Build<'_>,
    entry: &ProbeEntry,
    item: Option<&Item>,
) -> Result<Vec<Probe>, BundleFault> {
    let Some(each) = entry.each else {
        return Ok(vec![probe(build, entry, item)?]);
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
    let kinds = [
        entry.banner.is_some(),
        entry.command.is_some(),
        entry.greeting.is_some(),
        entry.http.is_some(),
        entry.program.is_some(),
        entry.quiet.is_some(),
        entry.running.is_some(),
        entry.tcp.is_some(),
    ];
    if kinds.into_iter().filter(|is_given| *is_given).count() != 1 {
        return Err(build.fault(
            "a probe has exactly one of banner, command, greeting, http, program, quiet, running, tcp",
        ));
    }
    let seconds = entry.timeout_seconds;
    if entry.steady_seconds > 0 && entry.http.is_none() {
        return Err(build.fault("steady_seconds stands beside http, and beside nothing else"));
    }
    let context = build.context(item);
    let filled = |text: &String| build.templates.text(text, &build.role.path, &context);
    let begins = || entry.begins.clone().unwrap_or_default();
    if let Some(page) = &entry.http {
        return Ok(Probe::Http {
            question: question(build, page, &filled)?,
            seconds,
            steady_seconds: entry.steady_seconds,
        });
    }
    if let Some(check) = &entry.command {
        return Ok(Probe::Command {
            check: transaction::check(build, check, item)?,
        });
    }
    if let Some(text) = &entry.tcp {
        let address = address(build, &filled(text)?)?;
        return Ok(Probe::Connect { address, seconds });
    }
    if let Some(text) = &entry.banner {
        return Ok(Probe::Greeting {
            address: address(build, &filled(text)?)?,
            begins: begins(),
            seconds,
        });
    }
    match (&entry.program, entry.greeting, &entry.running, &entry.quiet) {
        (Some(program), ..) => {
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
        (_, Some(Greeting::Submission), ..) => Ok(Probe::Greeting {
            address: build
                .values
                .submission
                .ok_or_else(|| build.fault("only a powermta host has a submission port"))?,
            begins: begins(),
            seconds,
        }),
        (.., Some(unit), _) => Ok(Probe::Running {
            unit: filled(unit)?,
            seconds,
        }),
        (.., log) => Ok(Probe::Quiet {
            log: build.path(&filled(&log.clone().unwrap_or_default())?)?,
            errors: entry.errors.clone(),
        }),
    }
}

fn question(
    build: &Build<'_>,
    page: &HttpEntry,
    filled: &impl Fn(&String) -> Result<String, BundleFault>,
) -> Result<HttpQuestion, BundleFault> {
    let (least_status, most_status) = match &page.status {
        None => STATUS,
        Some(text) => status(text).ok_or_else(|| {
            build.fault(&format!(
                "status is {text:?}, accepted is one such as 200 or two such as 200-399"
            ))
        })?,
    };
    let tls = match &page.tls {
        Tls::Plain(tls) => *tls,
        Tls::Template(text) => {
            let text = filled(text)?;
            // Templates write what is true as Jinja does.
            text.to_ascii_lowercase()
                .parse()
                .map_err(|_| build.fault(&format!("tls is {text:?}, accepted is true or false")))?
        }
    };
    Ok(HttpQuestion {
        address: address(build, &filled(&page.address)?)?,
        tls,
        host: page.host.as_ref().map(filled).transpose()?,
        path: filled(&page.path)?,
        least_status,
        most_status,
        contains: page.contains.as_ref().map(filled).transpose()?,
    })
}

/// One status, or the lowest and the highest.
fn status(text: &str) -> Option<(u16, u16)> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    Some((least.trim().parse().ok()?, most.trim().parse().ok()?))
}

fn address(build: &Build<'_>, text: &str) -> Result<SocketAddr, BundleFault> {
    text.trim().parse().map_err(|_| {
        build.fault(&format!(
            "{text:?} is no address of a server: one such as 127.0.0.1:80 or [::1]:80 is accepted"
        ))
    })
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
