//! Who may submit, and what of a submission is believed.

use std::collections::BTreeSet;

use super::super::super::schema::Scope;
use super::super::super::schema::value::{Cidr, Listener};
use super::super::check::{Check, shown};
use super::super::codes::{
    DSN_NOT_SUPPRESSED, FALLBACK_UNUSED, HEADER_CROSSES, HEADER_KEPT, NO_CERTIFICATE, OPEN_RELAY,
    SECRET_ALPHABET, SOURCE_UNKNOWN, SUPPRESSION_UNKNOWN,
};
use super::super::outline::{At, Block, Entry};

const HEADER: &str = "X-Virtual-MTA";

pub(super) fn run(check: &mut Check<'_, '_>) {
    relays(check);
    listeners(check);
    header(check);
    fallback(check);
    secrets(check);
    certificate(check);
    let silent = everyone(check).is_some_and(|all| all.says_yes("suppress-local-dsn"));
    for (_, source) in check.outline.sections(Scope::Source) {
        notifications(check, source, silent);
        suppression(check, source);
    }
    for (_, user) in check.outline.sections(Scope::SmtpUser) {
        if let Some(entry) = user.last("source") {
            known(check, entry.at, entry.text());
        }
    }
}

/// Whether whoever comes from a source may send to anybody without saying who he is.
fn is_relay(source: &Block<'_>) -> bool {
    source.says_yes("always-allow-relaying") && !source.says_yes("require-auth")
}

/// The source that all others inherit from.
fn everyone<'c, 'a>(check: &Check<'a, 'c>) -> Option<&'c Block<'a>> {
    let outline = check.outline;
    let is_all = |block: &&Block<'_>| Cidr::parse(block.name).is_some_and(|c| c.is_everyone());
    outline
        .sections(Scope::Source)
        .map(|(_, block)| block)
        .find(is_all)
}

fn relays(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    if let Some(entry) = outline
        .global()
        .last("always-allow-relaying")
        .filter(|e| e.is_yes())
    {
        check.report(
            OPEN_RELAY,
            entry.at,
            "relaying is allowed outside of any source",
        );
    }
    for (_, source) in outline
        .sections(Scope::Source)
        .filter(|(_, source)| is_relay(source))
    {
        if Cidr::parse(source.name).is_some_and(|range| range.is_wide()) {
            let what = format!(
                "{} may relay, and is more than anybody's own hosts",
                shown(source.name)
            );
            check.report(OPEN_RELAY, source.at, what);
        }
    }
}

/// A source behind a listener holds for whoever reaches the port.
fn listeners(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let mut bound: Vec<(At, &str, &str)> = Vec::new();
    for entry in outline.global().all("smtp-listener") {
        let (address, source) = entry.pair();
        if let Some(name) = source.strip_prefix("source=") {
            bound.push((entry.at, address, name));
        }
    }
    for (_, listener) in outline.sections(Scope::SmtpListener) {
        if let Some(entry) = listener.last("source") {
            bound.push((entry.at, listener.name, entry.text()));
        }
    }
    for (at, address, name) in bound {
        known(check, at, name);
        let open = Listener::parse(address).is_some_and(|l| !l.addresses.is_private());
        let source = check
            .named(Scope::Source, name)
            .map(|index| &outline.blocks[index]);
        if open && source.is_some_and(is_relay) {
            let what = format!(
                "whoever reaches {} may relay as {}",
                shown(address),
                shown(name)
            );
            check.report(OPEN_RELAY, at, what);
        }
    }
}

fn known(check: &mut Check<'_, '_>, at: At, name: &str) {
    if check.is_unknown(Scope::Source, name) && !name.starts_with('{') {
        check.report(
            SOURCE_UNKNOWN,
            at,
            format!("there is no source {}", shown(name)),
        );
    }
}

/// The header outranks the list and has no list of allowed names.
fn header(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let sources: Vec<_> = outline
        .sections(Scope::Source)
        .map(|(_, block)| block)
        .collect();
    let list = |source: &&Block<'_>| {
        source
            .last("pattern-list")
            .map(|e| e.text().to_ascii_lowercase())
    };
    let lists: BTreeSet<_> = sources.iter().filter_map(list).collect();
    if lists.len() < 2 {
        return;
    }
    let removes = |source: &Block<'_>| {
        let names = |entry: &Entry<'_>| {
            entry
                .text()
                .split(',')
                .any(|name| name.trim().eq_ignore_ascii_case(HEADER))
        };
        source.last("remove-header").is_some_and(names)
    };
    let removed_for_all = everyone(check).is_some_and(removes);
    for source in sources {
        if let Some(entry) = source
            .last("process-x-virtual-mta")
            .filter(|entry| entry.is_yes())
        {
            let what = format!(
                "{} may name any virtual MTA in a header",
                shown(source.name)
            );
            check.report(HEADER_CROSSES, entry.at, what);
        } else if source.last("pattern-list").is_some() && !removes(source) && !removed_for_all {
            let what = format!(
                "what {} submits leaves with its {HEADER}",
                shown(source.name)
            );
            check.report(HEADER_KEPT, source.at, what);
        }
    }
}

fn fallback(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let accepts = |block: &Block<'_>| {
        block
            .last("reject-invalid-virtual-mta")
            .is_some_and(|e| !e.is_yes())
    };
    if let Some(entry) = outline.global().last("invalid-virtual-mta-fallback")
        && !outline
            .sections(Scope::Source)
            .any(|(_, source)| accepts(source))
    {
        check.report(
            FALLBACK_UNUSED,
            entry.at,
            "no source has `reject-invalid-virtual-mta no`",
        );
    }
}

fn notifications(check: &mut Check<'_, '_>, source: &Block<'_>, silent: bool) {
    let own = source
        .last("suppress-local-dsn")
        .map_or(silent, Entry::is_yes);
    if source.says_yes("always-allow-relaying") && !own {
        let what = format!(
            "what {} submits is answered with bounce messages",
            shown(source.name)
        );
        check.report(DSN_NOT_SUPPRESSED, source.at, what);
    }
}

fn suppression(check: &mut Check<'_, '_>, source: &Block<'_>) {
    for entry in source.all("suppression-lists") {
        for name in entry.text().split(',').map(str::trim) {
            if check.is_unknown(Scope::AddressList, name) {
                let what = format!("there is no address list {}", shown(name));
                check.report(SUPPRESSION_UNKNOWN, entry.at, what);
            }
        }
    }
}

fn secrets(check: &mut Check<'_, '_>) {
    for block in &check.outline.blocks {
        for entry in ["password", "auth-password"]
            .iter()
            .flat_map(|keyword| block.all(keyword))
        {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            // A `#` is named as what it does to the value.
            if !entry.value.chars().all(plain) {
                let what =
                    "the password holds characters that are not certain to be read as they are";
                check.report(SECRET_ALPHABET, entry.at, what);
            }
        }
    }
}

fn certificate(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let global = outline.global();
    let of_listener = |(_, block): (usize, &Block<'_>)| block.last("tls-certificate").is_some();
    let has_one = global.last("smtp-server-tls-certificate").is_some()
        || outline.sections(Scope::SmtpListener).any(of_listener);
    if !check.is_whole() || has_one {
        return;
    }
    for (_, source) in outline.sections(Scope::Source) {
        if let Some(entry) = source.last("allow-starttls").filter(|entry| entry.is_yes()) {
            check.report(
                NO_CERTIFICATE,
                entry.at,
                "STARTTLS is offered, and there is no certificate",
            );
        }
    }
}
