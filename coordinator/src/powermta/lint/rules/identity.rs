//! Virtual MTAs and pools: who sends, from which address, under which name.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::schema::Scope;
use super::super::super::schema::value::parse_result;
use super::super::super::syntax::Words;
use super::super::check::{Check, shown};
use super::super::codes::{
    COLD_WITHOUT_PARTNER, MEMBER_TWICE, MEMBER_UNKNOWN, NAME_CLASH, NO_SOURCE_HOST,
    PARTNER_WITHOUT_LIMIT, POOL_ROUTED, PROXY_UNKNOWN, TWO_POOLS, VMTA_UNKNOWN,
};
use super::super::outline::{Block, Entry};

pub(super) fn run(check: &mut Check<'_, '_>) {
    names(check);
    source_hosts(check);
    pools(check);
    references(check);
    cold(check);
}

/// Virtual MTAs and pools share one name space; two that differ in case alone are one too many.
fn names(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let kinds = [Scope::VirtualMta, Scope::VirtualMtaPool];
    let blocks = outline
        .blocks
        .iter()
        .filter(|b| kinds.iter().any(|kind| b.is(*kind)));
    for block in blocks {
        if let Some(first) = seen.insert(block.name.to_ascii_lowercase(), block.name) {
            let what = format!("{} is there before, as {}", shown(block.name), shown(first));
            check.report(NAME_CLASH, block.at, what);
        }
    }
}

/// Whether everything that a virtual MTA gets is discarded: it opens no connection.
pub(super) fn discards(check: &Check<'_, '_>, vmta: usize) -> bool {
    let mut all = false;
    for (_, domain) in check.outline.children(vmta, Scope::Domain) {
        let kind = domain.last("type").map(Entry::text);
        if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("discard")) {
            all |= domain.name == "*";
        } else if domain.name == "*" || kind.is_some() {
            return false;
        }
    }
    all
}

fn source_hosts(check: &mut Check<'_, '_>) {
    for (index, block) in check.outline.sections(Scope::VirtualMta) {
        let named = block.last("smtp-source-host").is_some();
        if !named && !check.is_partly_read(block) && !discards(check, index) {
            let what = format!("{} has no address of its own", shown(block.name));
            check.report(NO_SOURCE_HOST, block.at, what);
        }
    }
}

fn pools(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let mut with_domains: BTreeMap<String, &str> = BTreeMap::new();
    for (index, pool) in outline.sections(Scope::VirtualMtaPool) {
        let own = outline.children(index, Scope::Domain).next().is_some();
        let mut members = BTreeSet::new();
        for entry in pool.all("virtual-mta") {
            let name = entry.pair().0;
            if check.is_unknown(Scope::VirtualMta, name) {
                let what = format!("{} is no virtual MTA", shown(name));
                check.report(MEMBER_UNKNOWN, entry.at, what);
            }
            let key = name.to_ascii_lowercase();
            if !members.insert(key.clone()) {
                check.report(
                    MEMBER_TWICE,
                    entry.at,
                    format!("{} is there before", shown(name)),
                );
            } else if own && let Some(first) = with_domains.insert(key, pool.name) {
                let what = format!(
                    "{} is in {} too, and both have domains",
                    shown(name),
                    shown(first)
                );
                check.report(TWO_POOLS, entry.at, what);
            }
        }
    }
}

/// Every place where a virtual MTA or a pool is named.
fn references(check: &mut Check<'_, '_>) {
    const NAMING: [&str; 4] = [
        "cold-virtual-mta",
        "reroute-to-virtual-mta",
        "backoff-reroute-to-virtual-mta",
        "invalid-virtual-mta-fallback",
    ];
    for block in &check.outline.blocks {
        for entry in block.entries.iter().filter(|entry| !entry.verbatim) {
            if NAMING.iter().any(|keyword| entry.is(keyword)) {
                // The old form with an address has a code of its own.
                if entry.pair().1.is_empty() {
                    known(check, entry, entry.text());
                }
            } else if entry.is("default-virtual-mta") && entry.text() != "by-smtp-source-ip" {
                known(check, entry, entry.text());
                routed(check, entry, entry.text());
            } else if block.is(Scope::PatternList)
                && let Some(name) = result_of(entry)
            {
                known(check, entry, name);
                routed(check, entry, name);
            } else if entry.is("use-proxy") {
                for name in entry.text().split(',').map(str::trim) {
                    if check.is_unknown(Scope::Proxy, name) {
                        check.report(
                            PROXY_UNKNOWN,
                            entry.at,
                            format!("{} is no proxy", shown(name)),
                        );
                    }
                }
            }
        }
    }
}

/// The virtual MTA that a line of a pattern list leads to.
pub(super) fn result_of<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    let mut words = Words::of(entry.value);
    if entry.is("header") {
        words.word().ok()?;
    }
    if entry.keyword != "*" {
        words.regex().ok()?;
    }
    parse_result(words.rest().trim()).and_then(|result| result.virtual_mta)
}

fn known(check: &mut Check<'_, '_>, entry: &Entry<'_>, name: &str) {
    if !name.is_empty()
        && check.is_unknown(Scope::VirtualMta, name)
        && check.is_unknown(Scope::VirtualMtaPool, name)
    {
        let what = format!("{} is neither a virtual MTA nor a pool", shown(name));
        check.report(VMTA_UNKNOWN, entry.at, what);
    }
}

fn routed(check: &mut Check<'_, '_>, entry: &Entry<'_>, name: &str) {
    if check.named(Scope::VirtualMtaPool, name).is_some() {
        let what = format!("{} is a pool: its members take turns", shown(name));
        check.report(POOL_ROUTED, entry.at, what);
    }
}

/// A limit moves mail to a cold partner; each is nothing without the other.
fn cold(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let limits = |block: &Block<'_>| block.last("max-cold-virtual-mta-msg").map(|entry| entry.at);
    let anywhere = outline
        .sections(Scope::Domain)
        .any(|(_, block)| limits(block).is_some());
    for (_, block) in outline.sections(Scope::Domain) {
        let Some(at) = limits(block) else { continue };
        let holder = &outline.blocks[block.parent];
        let has_partner = if holder.is(Scope::Global) {
            outline
                .blocks
                .iter()
                .any(|block| block.last("cold-virtual-mta").is_some())
        } else {
            holder.last("cold-virtual-mta").is_some() || in_pool_with_partner(check, holder)
        };
        if !has_partner {
            check.report(
                COLD_WITHOUT_PARTNER,
                at,
                "there is no `cold-virtual-mta` to move mail to",
            );
        }
    }
    for block in &outline.blocks {
        if let Some(entry) = block.last("cold-virtual-mta")
            && !anywhere
            && !entry.verbatim
        {
            let what = "no domain has a `max-cold-virtual-mta-msg`, so nothing is moved";
            check.report(PARTNER_WITHOUT_LIMIT, entry.at, what);
        }
    }
}

fn in_pool_with_partner(check: &Check<'_, '_>, vmta: &Block<'_>) -> bool {
    check
        .outline
        .sections(Scope::VirtualMtaPool)
        .any(|(_, pool)| {
            pool.last("cold-virtual-mta").is_some()
                && pool
                    .all("virtual-mta")
                    .any(|entry| entry.text().eq_ignore_ascii_case(vmta.name))
        })
}
