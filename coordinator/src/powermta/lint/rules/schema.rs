//! Every directive against the table: known, in its place, with what it takes, in this version.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::super::super::schema::value::{Cidr, Kind, Rate, RateUnit, Taken, take};
use super::super::super::schema::{
    Directive, Scope, Standing, Version, directive, invention, scopes_of,
};
use super::super::super::syntax::{Word, WordFault, Words};
use super::super::check::{Check, shown};
use super::super::codes::{
    DEPRECATED, HOST_BEFORE_ADDRESS, INVENTED, KEY_PARTS, LIST_LINE, OPEN_QUOTE, POOL_WEIGHT,
    RATE_MULTIPLE, RATE_PER_DAY, REMOVED_FORM, REPEATED, TOO_NEW, UNKNOWN_DIRECTIVE, UNVERIFIED,
    WRONG_COUNT, WRONG_PLACE, WRONG_VALUE,
};
use super::super::outline::{Block, Entry};
use super::language::{has_braces, is_cut_open};

pub(super) fn run(check: &mut Check<'_, '_>) {
    for block in &check.outline.blocks {
        let Some(scope) = block.scope else { continue };
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for entry in block.entries.iter().filter(|entry| !entry.verbatim) {
            if has_braces(entry) || is_cut_open(entry) {
                continue;
            }
            match scope {
                Scope::BounceCategoryPatterns => category(check, entry),
                Scope::PatternList => pattern(check, entry),
                _ => plain(check, block, scope, entry, &mut seen),
            }
        }
    }
}

fn lower<'a>(keyword: &'a str) -> Cow<'a, str> {
    if keyword.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(keyword.to_ascii_lowercase())
    } else {
        Cow::Borrowed(keyword)
    }
}

fn plain(
    check: &mut Check<'_, '_>,
    block: &Block<'_>,
    scope: Scope,
    entry: &Entry<'_>,
    seen: &mut BTreeSet<&str>,
) {
    let keyword = lower(entry.keyword);
    let Some(found) = directive(scope, &keyword) else {
        return unknown(check, scope, entry, &keyword);
    };
    if !seen.insert(found.keyword) && !found.repeats {
        let what = format!(
            "{} is there before, in the same section",
            shown(found.keyword)
        );
        check.report(REPEATED, entry.at, what);
    }
    standing(check, entry, found);
    if special(check, block, entry, found) {
        return;
    }
    arguments(check, entry, found, entry.value);
}

fn unknown(check: &mut Check<'_, '_>, scope: Scope, entry: &Entry<'_>, keyword: &str) {
    if let Some(invention) = invention(keyword) {
        let what = format!(
            "{} exists nowhere; write {}",
            shown(keyword),
            invention.instead
        );
        return check.report(INVENTED, entry.at, what);
    }
    let places = scopes_of(keyword);
    if !places.is_empty() {
        let places: Vec<_> = places.iter().map(ToString::to_string).collect();
        let what = format!(
            "{} stands {}, and not {scope}",
            shown(keyword),
            places.join(" or ")
        );
        return check.report(WRONG_PLACE, entry.at, what);
    }
    // A section that was written as a line.
    if let Some(rule) = Scope::section(keyword) {
        let what = format!("{} opens a section: `<{} ...>`", shown(keyword), rule.name);
        return check.report(UNKNOWN_DIRECTIVE, entry.at, what);
    }
    let what = format!("{} is in no guide", shown(keyword));
    check.report(UNKNOWN_DIRECTIVE, entry.at, what);
}

fn standing(check: &mut Check<'_, '_>, entry: &Entry<'_>, found: &Directive) {
    let version = check.options.version;
    if !version.knows(found.since) {
        let what = format!(
            "{} is there since {}, and not in {version}",
            shown(found.keyword),
            found.since
        );
        check.report(TOO_NEW, entry.at, what);
    }
    match found.standing {
        Standing::Documented => {}
        Standing::Deprecated(Some(instead)) => {
            let what = format!("{} is deprecated; use `{instead}`", shown(found.keyword));
            check.report(DEPRECATED, entry.at, what);
        }
        Standing::Deprecated(None) => {
            check.report(
                DEPRECATED,
                entry.at,
                format!("{} is deprecated", shown(found.keyword)),
            );
        }
        Standing::Unverified => {
            let what = format!("{} is in use, and in no guide", shown(found.keyword));
            check.report(UNVERIFIED, entry.at, what);
        }
    }
}

/// Mistakes that have a code of their own, which says more than that a value is wrong.
fn special(
    check: &mut Check<'_, '_>,
    block: &Block<'_>,
    entry: &Entry<'_>,
    found: &Directive,
) -> bool {
    let (first, second) = entry.pair();
    match found.keyword {
        "smtp-source-host" if Cidr::parse(first).is_none() && Cidr::parse(second).is_some() => {
            let what = format!("write `smtp-source-host {second} {first}`");
            check.report(HOST_BEFORE_ADDRESS, entry.at, what);
        }
        "domain-key" if Kind::DkimKey.check(entry.text()).is_err() => {
            let count = entry.value.split(',').count();
            check.report(
                KEY_PARTS,
                entry.at,
                format!("the key has {count} parts, and not three"),
            );
        }
        "virtual-mta" if block.is(Scope::VirtualMtaPool) && !second.is_empty() => {
            let what = format!("a member of a pool is its name alone: `virtual-mta {first}`");
            check.report(POOL_WEIGHT, entry.at, what);
        }
        "cold-virtual-mta" if Cidr::parse(first).is_some() && !second.is_empty() => {
            let what = "this form with an address went with 4.5; name a virtual MTA";
            check.report(REMOVED_FORM, entry.at, what);
        }
        _ => return false,
    }
    true
}

fn arguments(check: &mut Check<'_, '_>, entry: &Entry<'_>, found: &Directive, value: &str) {
    let mut words = Words::of(value);
    for (index, kind) in found.arguments.iter().enumerate() {
        match take(&mut words, *kind) {
            Taken::Absent if index >= found.required => return,
            Taken::Absent => {
                let what = format!("{} lacks {}", shown(found.keyword), kind.accepted());
                return check.report(WRONG_COUNT, entry.at, what);
            }
            Taken::Fault(fault, _) => return fault_of(check, entry, *kind, fault),
            Taken::Word(word) => judge(check, entry, found, *kind, word),
        }
    }
    if !words.rest().is_empty() {
        let what = format!(
            "{} takes {} and no more",
            shown(found.keyword),
            taken(found)
        );
        check.report(WRONG_COUNT, entry.at, what);
    }
}

fn taken(found: &Directive) -> String {
    match found.arguments.len() {
        1 => "one word".to_owned(),
        count => format!("{count} words"),
    }
}

fn fault_of(check: &mut Check<'_, '_>, entry: &Entry<'_>, kind: Kind, fault: WordFault) {
    let what = match fault {
        WordFault::NoSlash | WordFault::Absent => {
            let what = format!("{} takes {}", shown(entry.keyword), kind.accepted());
            return check.report(WRONG_VALUE, entry.at, what);
        }
        WordFault::Glued => "something follows a closing quote or slash without a blank",
        WordFault::Open => "a quote or an expression has no end",
    };
    check.report(
        OPEN_QUOTE,
        entry.at,
        format!("{}: {what}", shown(entry.keyword)),
    );
}

fn judge(
    check: &mut Check<'_, '_>,
    entry: &Entry<'_>,
    found: &Directive,
    kind: Kind,
    word: Word<'_>,
) {
    // The empty text clears what was inherited, where something can be inherited.
    if word.quoted && word.text.is_empty() && found.scope != Scope::Global {
        return;
    }
    if let Err(accepted) = kind.check(word.text) {
        let given = if kind.is_secret() {
            "what is given".to_owned()
        } else {
            shown(word.text)
        };
        let what = format!("{}: {given} is not {accepted}", shown(found.keyword));
        return check.report(WRONG_VALUE, entry.at, what);
    }
    let (version, since) = (check.options.version, kind.since(word.text));
    if !version.knows(since) {
        let what = format!(
            "{} is there since {since}, and not in {version}",
            shown(word.text)
        );
        check.report(TOO_NEW, entry.at, what);
    }
    if version == Version::V4_5
        && let Some(Rate::Per { multiple, unit, .. }) = kind.rate(word.text)
    {
        if multiple.is_some() {
            let what = format!("{} has a multiple of its unit", shown(word.text));
            check.report(RATE_MULTIPLE, entry.at, what);
        }
        if unit == RateUnit::Day {
            check.report(
                RATE_PER_DAY,
                entry.at,
                format!("{} is per day", shown(word.text)),
            );
        }
    }
}

/// A line of a list of patterns: what it looks at, an expression, and where it leads.
fn pattern(check: &mut Check<'_, '_>, entry: &Entry<'_>) {
    let keyword = lower(entry.keyword);
    let result = if keyword == "*" {
        entry.value
    } else {
        let Some(found) = directive(Scope::PatternList, &keyword) else {
            let what = format!(
                "{} is not mail-from, rcpt-to, header or `*`",
                shown(entry.keyword)
            );
            return check.report(LIST_LINE, entry.at, what);
        };
        let mut words = Words::of(entry.value);
        for kind in &found.arguments[..found.arguments.len() - 1] {
            match take(&mut words, *kind) {
                Taken::Word(_) => {}
                Taken::Absent => {
                    let what = format!("{} lacks {}", shown(found.keyword), kind.accepted());
                    return check.report(LIST_LINE, entry.at, what);
                }
                Taken::Fault(fault, _) => return list_fault(check, entry, fault),
            }
        }
        words.rest()
    };
    if entry.opens == result.is_empty() && (entry.opens || Kind::Result.check(result).is_ok()) {
        return;
    }
    if entry.opens || Kind::Result.check(result).is_err() {
        let what = format!("{} is not {}", shown(result), Kind::Result.accepted());
        check.report(LIST_LINE, entry.at, what);
    }
}

fn list_fault(check: &mut Check<'_, '_>, entry: &Entry<'_>, fault: WordFault) {
    let what = match fault {
        WordFault::NoSlash | WordFault::Absent => "an expression stands between slashes",
        WordFault::Glued => "a blank belongs behind the expression",
        WordFault::Open => return fault_of(check, entry, Kind::Regex, fault),
    };
    check.report(
        LIST_LINE,
        entry.at,
        format!("{}: {what}", shown(entry.keyword)),
    );
}

fn category(check: &mut Check<'_, '_>, entry: &Entry<'_>) {
    let mut words = Words::of(entry.line.body);
    match (words.regex(), words.word(), words.rest()) {
        (Ok(_), Ok(_), "") => {}
        (Err(WordFault::Open), ..) => fault_of(check, entry, Kind::Regex, WordFault::Open),
        _ => {
            let what = "a line is an expression between slashes and a category";
            check.report(WRONG_VALUE, entry.at, what);
        }
    }
}
