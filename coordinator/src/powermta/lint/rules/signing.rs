//! DKIM and SPF: what makes mail somebody's own.

use std::collections::BTreeSet;

use super::super::super::schema::Scope;
use super::super::super::schema::value::parse_dkim_key;
use super::super::check::{Check, shown};
use super::super::codes::{
    CATCH_ALL_KEY_FIRST, HEADERS_UNSIGNED, NO_FUSE, NO_KEY, NOT_SIGNED, PARENT_KEY_FIRST,
};
use super::super::outline::{Block, Entry};

/// Headers that one-click unsubscription and complaint reports rest on, and that 5.0 does not sign
/// by itself.
const ADDED: [&str; 2] = ["List-Unsubscribe-Post", "Feedback-ID"];

pub(super) fn run(check: &mut Check<'_, '_>) {
    key_order(check);
    signed(check);
    fuse(check);
}

fn key_order(check: &mut Check<'_, '_>) {
    for block in &check.outline.blocks {
        let mut catch_all = None;
        let mut seen = BTreeSet::new();
        for entry in block.all("domain-key").filter(|entry| !entry.verbatim) {
            let Some((_, domain, _)) = parse_dkim_key(entry.text()) else {
                continue;
            };
            if let Some(at) = catch_all.take() {
                check.report(
                    CATCH_ALL_KEY_FIRST,
                    at,
                    "the keys after this one are never picked",
                );
            }
            if domain == "*" {
                catch_all = Some(entry.at);
            }
            // The first key is picked whose domain is the signing one or a parent of it.
            let domain = domain.to_ascii_lowercase();
            let mut parents = domain.match_indices('.').map(|(at, _)| &domain[at + 1..]);
            if let Some(parent) = parents.find(|parent| seen.contains(*parent)) {
                let what = format!("the key for {} is picked before it", shown(parent));
                check.report(PARENT_KEY_FIRST, entry.at, what);
            }
            seen.insert(domain);
        }
    }
}

fn signs(block: &Block<'_>) -> bool {
    let sign = |entry: &Entry<'_>| {
        entry.is_yes()
            || entry
                .text()
                .eq_ignore_ascii_case("if-x-dkim-options-present")
    };
    ["dkim-sign", "second-dkim-sign"]
        .iter()
        .any(|keyword| block.last(keyword).is_some_and(sign))
}

fn signed(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let keys = outline
        .blocks
        .iter()
        .enumerate()
        .flat_map(|(index, block)| {
            block
                .all("domain-key")
                .map(move |entry| (index, block, entry))
        });
    let globally = outline
        .children(0, Scope::Domain)
        .any(|(_, domain)| signs(domain));
    let mut any_key = outline.sections(Scope::DomainKeyList).next().is_some();
    let pools = outline.sections(Scope::VirtualMtaPool);
    let pooled = pools.flat_map(|(index, _)| outline.children(index, Scope::Domain));
    let in_pools = pooled.into_iter().any(|(_, domain)| signs(domain));
    let signing_somewhere = outline
        .sections(Scope::Domain)
        .any(|(_, domain)| signs(domain));
    let mut reported = None;
    // Once a section: it may hold as many keys as domains.
    let mut of_section = None;
    for (index, block, entry) in keys {
        any_key = true;
        let own = match of_section {
            Some((section, own)) if section == index => own,
            _ => outline
                .children(index, Scope::Domain)
                .any(|(_, domain)| signs(domain)),
        };
        of_section = Some((index, own));
        let anywhere = block.is(Scope::Global) && signing_somewhere;
        // One finding a section is enough.
        if !globally && !in_pools && !own && !anywhere && reported != Some(block.at) {
            reported = Some(block.at);
            check.report(
                NOT_SIGNED,
                entry.at,
                "no `dkim-sign yes` reaches this key's mail",
            );
        }
    }
    let unsigned = |index| {
        let mut own = outline.children(index, Scope::Domain);
        own.any(|(_, domain)| {
            domain.name == "*" && domain.last("dkim-sign").is_some() && !signs(domain)
        })
    };
    let mut vmtas = outline.sections(Scope::VirtualMta);
    let sends =
        vmtas.any(|(index, block)| block.last("smtp-source-host").is_some() && !unsigned(index));
    let included = outline
        .blocks
        .iter()
        .any(|block| check.is_partly_read(block));
    for (_, domain) in outline
        .sections(Scope::Domain)
        .filter(|(_, domain)| signs(domain))
    {
        let at = domain.last("dkim-sign").map_or(domain.at, |entry| entry.at);
        if !any_key && !included && sends && check.is_whole() {
            check.report(
                NO_KEY,
                at,
                "mail shall be signed, and there is no `domain-key`",
            );
        }
        headers(check, domain);
    }
}

fn headers(check: &mut Check<'_, '_>, domain: &Block<'_>) {
    if domain.name != "*" {
        return;
    }
    let at = domain
        .last("dkim-headers")
        .or_else(|| domain.last("dkim-sign"));
    let given = domain.last("dkim-headers").map_or("", |entry| entry.value);
    let has = |name: &str| {
        given
            .split(',')
            .any(|word| word.trim().eq_ignore_ascii_case(name))
    };
    let missing: Vec<_> = ADDED.into_iter().filter(|name| !has(name)).collect();
    if let Some(entry) = at.filter(|_| !missing.is_empty()) {
        check.report(
            HEADERS_UNSIGNED,
            entry.at,
            format!("not signed: {}", missing.join(", ")),
        );
    }
}

/// What would fail SPF shall not leave.
fn fuse(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    if !check.is_whole() || outline.sections(Scope::VirtualMta).next().is_none() {
        return;
    }
    let everyone = outline
        .children(0, Scope::Domain)
        .find(|(_, domain)| domain.name == "*");
    let on = everyone.is_some_and(|(_, domain)| domain.says_yes("check-spf-outbound"));
    if !on {
        let top = outline.global().at;
        let at = everyone.map_or(top, |(_, domain)| domain.at);
        check.report(
            NO_FUSE,
            at,
            "the global `<domain *>` has no `check-spf-outbound yes`",
        );
    }
}
