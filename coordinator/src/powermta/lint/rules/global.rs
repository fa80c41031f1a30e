//! The whole: who is told, where it listens, who may look in, what comes from outside.

use std::collections::BTreeSet;

use super::super::super::providers::CATEGORIES;
use super::super::super::schema::Scope;
use super::super::super::schema::value::{Cidr, Listener};
use super::super::super::syntax::Words;
use super::super::check::{Check, shown};
use super::super::codes::{
    CATEGORIES_WITHOUT_END, CATEGORY_UNKNOWN, MANAGEMENT_OPEN, NO_LISTENER, NO_LOG_FILE,
    NO_POSTMASTER, NO_SPOOL, PROCESSOR_NOT_RELAYED, RELAYS_ALL, SUBMISSION_EVERYWHERE,
    SUPPRESSION_LARGE, TOO_MANY_CONNECTIONS,
};
use super::super::outline::{At, Block};
use super::lists::is_catch_all;

/// A category of public lists, beside the product's own.
const SUCCESS: &str = "success";

/// Connections that the vendor advises not to exceed.
const CONNECTIONS: u64 = 7500;
/// Expressions of a suppression list that the vendor advises not to exceed.
const EXPRESSIONS: usize = 500;

pub(super) fn run(check: &mut Check<'_, '_>) {
    if check.is_whole() {
        missing(check);
    }
    management(check);
    listeners(check);
    inbound(check);
    categories(check);
    sizes(check);
}

fn missing(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let global = outline.global();
    // What a file that was not read may hold is not missing.
    if !check.is_complete() {
        return;
    }
    if global.last("postmaster").is_none() {
        check.report(NO_POSTMASTER, global.at, "there is no `postmaster`");
    }
    if global.last("log-file").is_none() {
        check.report(NO_LOG_FILE, global.at, "there is no `log-file`");
    }
    if global.last("spool").is_none() && outline.sections(Scope::Spool).next().is_none() {
        check.report(NO_SPOOL, global.at, "there is no `<spool>`");
    }
    let listens = ["smtp-listener", "smtp-ip", "smtp-port"]
        .iter()
        .any(|k| global.last(k).is_some());
    if !listens && outline.sections(Scope::SmtpListener).next().is_none() {
        check.report(
            NO_LISTENER,
            global.at,
            "with no listener, port 25 is opened on every address",
        );
    }
}

fn management(check: &mut Check<'_, '_>) {
    let global = check.outline.global();
    if let Some(entry) = global.last("log-file")
        && !entry.text().starts_with('/')
        && !entry.text().contains(":\\")
    {
        check.report(
            NO_LOG_FILE,
            entry.at,
            format!("{} is relative", shown(entry.text())),
        );
    }
    for entry in global.all("http-access") {
        let (range, level) = entry.pair();
        if level != "none" && Cidr::parse(range).is_some_and(|range| range.is_wide()) {
            let what = format!("{} gets {}", shown(range), shown(level));
            check.report(MANAGEMENT_OPEN, entry.at, what);
        }
    }
    // The older form names no level: who is let in may do everything.
    for entry in global.all("http-mgmt-source") {
        if Cidr::parse(entry.text()).is_some_and(|range| range.is_wide()) {
            let what = format!("{} gets all of it", shown(entry.text()));
            check.report(MANAGEMENT_OPEN, entry.at, what);
        }
    }
}

fn listeners(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let lines = outline
        .global()
        .all("smtp-listener")
        .map(|entry| (entry.at, entry.pair().0));
    let sections = outline
        .sections(Scope::SmtpListener)
        .map(|(_, block)| (block.at, block.name));
    let all: Vec<(At, &str)> = lines.chain(sections).collect();
    for (at, text) in all {
        if Listener::parse(text).is_some_and(|l| l.is_everywhere() && l.port != 25) {
            let what = format!("{} listens on every address", shown(text));
            check.report(SUBMISSION_EVERYWHERE, at, what);
        }
    }
}

/// Every address has an `@` and something around it.
fn takes_any_address(expression: &str) -> bool {
    is_catch_all(expression) || matches!(expression, "@" | "." | ".+" | ".*@.*" | "^.*@.*$")
}

fn inbound(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    for entry in outline.global().all("relay-domain") {
        if entry.text() == "*" {
            check.report(
                RELAYS_ALL,
                entry.at,
                "mail to any domain is taken from anybody",
            );
        }
    }
    let global = outline.global();
    for entry in global.all("relay-address") {
        let expression = Words::of(entry.value).regex();
        if expression.is_ok_and(|word| takes_any_address(word.text)) {
            let what = format!("mail to {} is taken from anybody", shown(entry.text()));
            check.report(RELAYS_ALL, entry.at, what);
        }
    }
    if !check.is_complete()
        || global
            .all("relay-address")
            .any(|e| e.text().starts_with('/'))
    {
        return;
    }
    // A large fleet has as many domains as addresses: they are looked up, not gone through.
    let lower = |keyword| global.all(keyword).map(|e| e.text().to_ascii_lowercase());
    let names: BTreeSet<String> = ["relay-domain", "host-name", "relay-address"]
        .into_iter()
        .flat_map(lower)
        .collect();
    for scope in [Scope::BounceProcessor, Scope::FeedbackLoopProcessor] {
        for (index, _) in outline.sections(scope) {
            for (_, list) in outline.children(index, Scope::AddressList) {
                relayed(check, list, &names);
            }
        }
    }
}

/// What a processor waits for must be let in.
fn relayed(check: &mut Check<'_, '_>, list: &Block<'_>, names: &BTreeSet<String>) {
    for entry in list.entries.iter().filter(|entry| !entry.verbatim) {
        let text = entry.text().to_ascii_lowercase();
        let domain = match text.rsplit_once('@') {
            _ if text.starts_with('/') => continue,
            Some((_, domain)) if entry.is("address") => domain,
            None if entry.is("domain") => text.as_str(),
            _ => continue,
        };
        if !names.contains(&text) && !is_covered(names, domain) {
            let what = format!("mail to {} is not taken from outside", shown(&text));
            check.report(PROCESSOR_NOT_RELAYED, entry.at, what);
        }
    }
}

/// Whether a pattern such as `[*.]example.com` stands for a domain.
fn is_covered(names: &BTreeSet<String>, domain: &str) -> bool {
    let parents = domain.match_indices('.').map(|(at, _)| &domain[at + 1..]);
    let mut below = parents.flat_map(|parent| [format!("*.{parent}"), format!("[*.]{parent}")]);
    names.contains("*")
        || names.contains(domain)
        || names.contains(&format!("[*.]{domain}"))
        || below.any(|pattern| names.contains(&pattern))
}

fn categories(check: &mut Check<'_, '_>) {
    for (_, block) in check.outline.sections(Scope::BounceCategoryPatterns) {
        let mut ended = false;
        for entry in block.entries.iter().filter(|entry| !entry.verbatim) {
            let mut words = Words::of(entry.line.body);
            let (Ok(expression), Ok(category)) = (words.regex(), words.word()) else {
                continue;
            };
            ended = is_catch_all(expression.text);
            if !CATEGORIES.contains(&category.text) && category.text != SUCCESS {
                let what = format!("{} is no category of the product", shown(category.text));
                check.report(CATEGORY_UNKNOWN, entry.at, what);
            }
        }
        if !ended {
            check.report(
                CATEGORIES_WITHOUT_END,
                block.at,
                "the last line is not `// other`",
            );
        }
    }
}

fn sizes(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    if let Some(entry) = outline.global().last("total-max-smtp-out")
        && entry
            .text()
            .parse::<u64>()
            .is_ok_and(|count| count > CONNECTIONS)
    {
        let what = format!("{} is over {CONNECTIONS}", shown(entry.text()));
        check.report(TOO_MANY_CONNECTIONS, entry.at, what);
    }
    for (_, list) in outline.sections(Scope::AddressList) {
        let count = list
            .all("address")
            .filter(|entry| entry.text().starts_with('/'))
            .count();
        if count > EXPRESSIONS {
            let what = format!("{count} expressions, and at most {EXPRESSIONS} are advised");
            check.report(SUPPRESSION_LARGE, list.at, what);
        }
    }
}
