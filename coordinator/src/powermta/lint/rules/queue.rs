//! Queues: rollup, routes, times.

use std::collections::BTreeSet;

use super::super::super::schema::Scope;
use super::super::super::schema::value::parse_time;
use super::super::check::{Check, shown};
use super::super::codes::{
    IDLE_TOO_LONG, QUEUE_WITHOUT_HOSTS, ROLLUP_NAME, ROLLUP_WITHOUT_HOSTS, ROLLUP_WITHOUT_SECTION,
    TLS_REQUIRED_AND_OFF, TOO_MANY_STEPS,
};
use super::super::outline::{Block, Entry};

/// Steps of a list of retry times.
const STEPS: usize = 30;
/// Seconds that a connection may idle.
const IDLE: u64 = 600;

pub(super) fn run(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let routed: BTreeSet<String> = outline
        .sections(Scope::Domain)
        .filter(|(_, domain)| {
            domain
                .last("smtp-hosts")
                .is_some_and(|e| !e.text().is_empty())
        })
        .map(|(_, domain)| domain.name.to_ascii_lowercase())
        .collect();
    for (_, list) in outline.sections(Scope::MxRollupList) {
        for entry in list.all("mx") {
            rollup(check, entry, &routed);
        }
    }
    unlimited(check);
    for (_, domain) in outline.sections(Scope::Domain) {
        queue(check, domain, &routed);
        times(check, domain);
        let off = domain
            .last("use-starttls")
            .is_some_and(|entry| !entry.is_yes());
        if let Some(entry) = domain
            .last("require-starttls")
            .filter(|e| e.is_yes() && off)
        {
            check.report(
                TLS_REQUIRED_AND_OFF,
                entry.at,
                "`use-starttls` is off, so this does nothing",
            );
        }
    }
}

fn rollup(check: &mut Check<'_, '_>, entry: &Entry<'_>, routed: &BTreeSet<String>) {
    let (pattern, name) = entry.pair();
    if !name.ends_with(".rollup") {
        let what = format!("{} does not end in `.rollup`", shown(name));
        check.report(ROLLUP_NAME, entry.at, what);
    }
    let by_ip = entry.value.ends_with("rollup-by-ip");
    if pattern.contains('*') && !by_ip && !routed.contains(&name.to_ascii_lowercase()) {
        let what = format!("`<domain {name}>` has no `smtp-hosts`");
        check.report(ROLLUP_WITHOUT_HOSTS, entry.at, what);
    }
}

/// Settings of the domains in a shared queue do not reach it: it has its own section, or everyone's.
fn unlimited(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    if !check.is_complete() {
        return;
    }
    let mut known: BTreeSet<String> = outline
        .sections(Scope::Domain)
        .map(|(_, domain)| domain.name.to_ascii_lowercase())
        .collect();
    for entry in outline.global().all("domain-macro") {
        let words = entry.value.split([',', ' ', '\t']);
        known.extend(words.map(str::to_ascii_lowercase));
    }
    let everyone = ["*.rollup", "[*.]rollup"]
        .iter()
        .any(|p| known.contains(*p));
    for (_, list) in outline.sections(Scope::MxRollupList) {
        for entry in list.all("mx") {
            let name = entry.pair().1;
            if !everyone && known.insert(name.to_ascii_lowercase()) {
                let what = format!("there is no `<domain {name}>`, so everyone's limits hold");
                check.report(ROLLUP_WITHOUT_SECTION, entry.at, what);
            }
        }
    }
}

fn queue(check: &mut Check<'_, '_>, domain: &Block<'_>, routed: &BTreeSet<String>) {
    let Some(entry) = domain
        .last("queue-to")
        .filter(|entry| !entry.text().is_empty())
    else {
        return;
    };
    // Only what is no domain of the DNS needs hosts of its own.
    let made_up = [".queue", ".rollup"]
        .iter()
        .any(|end| entry.text().ends_with(end));
    if made_up && !routed.contains(&entry.text().to_ascii_lowercase()) {
        let what = format!("`<domain {}>` has no `smtp-hosts`", entry.text());
        check.report(QUEUE_WITHOUT_HOSTS, entry.at, what);
    }
}

fn times(check: &mut Check<'_, '_>, domain: &Block<'_>) {
    for keyword in ["retry-after", "backoff-retry-after"] {
        if let Some(entry) = domain.last(keyword)
            && entry.value.split(',').count() > STEPS
        {
            let what = format!(
                "{} steps, and at most {STEPS}",
                entry.value.split(',').count()
            );
            check.report(TOO_MANY_STEPS, entry.at, what);
        }
    }
    if let Some(entry) = domain.last("connection-idle-timeout")
        && parse_time(entry.text()).is_some_and(|seconds| seconds > IDLE)
    {
        check.report(
            IDLE_TOO_LONG,
            entry.at,
            format!("{} is over 10m", shown(entry.text())),
        );
    }
}
