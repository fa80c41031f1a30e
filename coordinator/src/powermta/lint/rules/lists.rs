//! Pattern lists: which virtual MTA a message gets.

use std::collections::BTreeSet;

use super::super::super::schema::Scope;
use super::super::super::schema::value::parse_result;
use super::super::super::syntax::Words;
use super::super::check::{Check, shown};
use super::super::codes::{
    FIRST_RECIPIENT, HEADER_ANCHOR, LIST_AFTER_SOURCE, LIST_UNKNOWN, NO_REJECT_LINE,
    UNREACHABLE_LINE,
};
use super::super::outline::{Block, Entry};
use super::identity::{discards, result_of};

pub(super) fn run(check: &mut Check<'_, '_>) {
    used_by_sources(check);
    for (_, list) in check.outline.sections(Scope::PatternList) {
        lines(check, list);
    }
}

fn used_by_sources(check: &mut Check<'_, '_>) {
    let outline = check.outline;
    let mut used = BTreeSet::new();
    for (_, source) in outline.sections(Scope::Source) {
        for entry in source.all("pattern-list").filter(|entry| !entry.verbatim) {
            match check.named(Scope::PatternList, entry.text()) {
                Some(index) if outline.blocks[index].order > entry.order => {
                    let what = format!("{} is defined only after this source", shown(entry.text()));
                    check.report(LIST_AFTER_SOURCE, entry.at, what);
                    used.insert(index);
                }
                Some(index) => drop(used.insert(index)),
                None => unknown(check, entry, entry.text()),
            }
        }
    }
    for index in used {
        rejects(check, &outline.blocks[index]);
    }
}

fn unknown(check: &mut Check<'_, '_>, entry: &Entry<'_>, name: &str) {
    if check.is_unknown(Scope::PatternList, name) {
        check.report(
            LIST_UNKNOWN,
            entry.at,
            format!("there is no pattern list {}", shown(name)),
        );
    }
}

/// No directive refuses a sender that no line knows: only a last line can.
fn rejects(check: &mut Check<'_, '_>, list: &Block<'_>) {
    let last = list.entries.last();
    let at = last.map_or(list.at, |entry| entry.at);
    let name = last.filter(|entry| matches_all(entry)).and_then(result_of);
    let Some(target) = name.and_then(|name| check.named(Scope::VirtualMta, name)) else {
        let what = format!(
            "{} has no last line for senders that no line knows",
            shown(list.name)
        );
        return check.report(NO_REJECT_LINE, at, what);
    };
    let mut domains = check.outline.children(target, Scope::Domain);
    let bounces =
        domains.any(|(_, domain)| domain.name == "*" && domain.says_yes("discard-as-bounce"));
    if !discards(check, target) || !bounces {
        let name = name.unwrap_or_default();
        let what = format!(
            "the last line of {} leads to {}, which sends",
            shown(list.name),
            shown(name)
        );
        check.report(NO_REJECT_LINE, at, what);
    }
}

/// Whether a line of a pattern list takes every message.
fn matches_all(entry: &Entry<'_>) -> bool {
    let over_envelope = entry.is("mail-from") || entry.is("rcpt-to");
    entry.keyword == "*" || over_envelope && expression(entry).is_some_and(is_catch_all)
}

pub(super) fn is_catch_all(expression: &str) -> bool {
    let inner = expression.strip_prefix('^').unwrap_or(expression);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    matches!(inner, ".*" | ".*?") || matches!(expression, "" | "^" | "$")
}

fn expression<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    let mut words = Words::of(entry.value);
    if entry.is("header") {
        words.word().ok()?;
    }
    words.regex().ok().map(|word| word.text)
}

fn lines(check: &mut Check<'_, '_>, list: &Block<'_>) {
    let mut ended = false;
    let mut seen = BTreeSet::new();
    let mut told_recipient = false;
    for entry in list.entries.iter().filter(|entry| !entry.verbatim) {
        let text = expression(entry);
        let header = if entry.is("header") {
            entry.pair().0
        } else {
            ""
        };
        let twice = text.is_some_and(|text| {
            !seen.insert((
                entry.keyword.to_ascii_lowercase(),
                header.to_ascii_lowercase(),
                text,
            ))
        });
        if ended || twice {
            check.report(
                UNREACHABLE_LINE,
                entry.at,
                "an earlier line takes all that this one would",
            );
        }
        ended |= matches_all(entry) && !entry.opens;
        if entry.is("rcpt-to") && !told_recipient {
            told_recipient = true;
            check.report(
                FIRST_RECIPIENT,
                entry.at,
                "the first recipient that matches decides for all",
            );
        }
        if entry.is("header") && text.is_some_and(is_tight) {
            let what = format!(
                "{} does not allow for the blank before the text",
                shown(entry.value)
            );
            check.report(HEADER_ANCHOR, entry.at, what);
        }
        let call = entry.value.rfind("call-to:").map(|at| &entry.value[at..]);
        if let Some(name) = call.and_then(parse_result).and_then(|result| result.list) {
            unknown(check, entry, name);
        }
    }
}

/// Whether an expression is tied to the very first character, which in a header is a blank.
fn is_tight(expression: &str) -> bool {
    expression.strip_prefix('^').is_some_and(|rest| {
        !["\\s", " ", "[", ".", "("]
            .iter()
            .any(|open| rest.starts_with(open))
    })
}
