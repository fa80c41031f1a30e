//! Replies that change a queue, and the way back.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::schema::Scope;
use super::super::super::schema::value::parse_actions;
use super::super::super::syntax::Words;
use super::super::check::{Check, shown};
use super::super::codes::{
    ACTIONS_CONFLICT, NO_WAY_BACK, REPLY_LIST_UNKNOWN, REPLY_SHADOWED, REPLY_TOO_BROAD,
};
use super::super::outline::{Block, Entry};
use super::lists::is_catch_all;

/// Expressions of copied lists that also match greylisting, one full mailbox, or a refused text.
const BROAD: [&str; 6] = [
    "too many",
    "try again later",
    "451 rejected",
    "message rejected",
    "421.*closing connection",
    "closing connection",
];

/// Up to so many lines of a list are held against those behind them.
const COMPARED: usize = 500;

pub(super) fn run(check: &mut Check<'_, '_>) {
    let mut for_everyone = BTreeSet::new();
    let mut general = BTreeMap::new();
    for (index, domain) in check.outline.sections(Scope::Domain) {
        if domain.name == "*" {
            general.entry(domain.parent).or_insert(index);
        }
    }
    for (_, domain) in check.outline.sections(Scope::Domain) {
        bound(check, domain, &general, &mut for_everyone);
    }
    for (index, list) in check.outline.sections(Scope::SmtpPatternList) {
        conflicts(check, list);
        shadows(check, list);
        if for_everyone.contains(&index) {
            broad(check, list);
        }
    }
}

/// `general` has the `<domain *>` of each level.
fn bound(
    check: &mut Check<'_, '_>,
    domain: &Block<'_>,
    general: &BTreeMap<usize, usize>,
    for_everyone: &mut BTreeSet<usize>,
) {
    let mut enters = domain.says_yes("backoff-upon-all-sources-disabled");
    let mut returns = false;
    let mut at = domain.at;
    if let Some(entry) = domain
        .last("smtp-pattern-list")
        .filter(|entry| !entry.text().is_empty())
    {
        at = entry.at;
        match check.named(Scope::SmtpPatternList, entry.text()) {
            None if check.is_unknown(Scope::SmtpPatternList, entry.text()) => {
                let what = format!("there is no list {}", shown(entry.text()));
                check.report(REPLY_LIST_UNKNOWN, entry.at, what);
            }
            None => {}
            Some(index) => {
                let list = &check.outline.blocks[index];
                let actions: Vec<_> = list.all("reply").filter_map(|e| reply(e).1).collect();
                enters |= actions
                    .iter()
                    .any(|actions| actions.contains("mode=backoff"));
                returns |= actions
                    .iter()
                    .any(|actions| actions.contains("mode=normal"));
                if domain.name == "*" {
                    for_everyone.insert(index);
                }
            }
        }
    }
    if enters && !returns && !has_way_back(check, domain, general) {
        let what = format!(
            "queues of {} go into back-off and stay there",
            shown(domain.name)
        );
        check.report(NO_WAY_BACK, at, what);
    }
}

/// What a domain does not say, the general one of its level says, and then the global one.
fn has_way_back(
    check: &Check<'_, '_>,
    domain: &Block<'_>,
    general: &BTreeMap<usize, usize>,
) -> bool {
    let general = |parent: usize| general.get(&parent).map(|at| &check.outline.blocks[*at]);
    let chain = [Some(domain), general(domain.parent), general(0)];
    let first = |keyword| chain.iter().flatten().find_map(|block| block.last(keyword));
    let after = first("backoff-to-normal-after").is_some_and(|entry| entry.text() != "never");
    after || first("backoff-to-normal-after-delivery").is_some_and(Entry::is_yes)
}

/// Expression and actions of a line.
fn reply<'a>(entry: &Entry<'a>) -> (Option<&'a str>, Option<&'a str>) {
    let mut words = Words::of(entry.value);
    match words.regex() {
        Ok(word) => (Some(word.text), Some(words.rest())),
        Err(_) => (None, None),
    }
}

fn conflicts(check: &mut Check<'_, '_>, list: &Block<'_>) {
    for entry in list.all("reply") {
        let Some(actions) = reply(entry).1.and_then(parse_actions) else {
            continue;
        };
        let what = if actions.backoff && actions.normal {
            "both modes"
        } else if actions.skip_mx && actions.bounce_queue {
            "skip-mx with bounce-queue"
        } else if actions.reenable_alone {
            "reenable-after without disable-source-ip before it"
        } else if actions.reenable > 1 {
            "reenable-after twice"
        } else {
            continue;
        };
        check.report(ACTIONS_CONFLICT, entry.at, format!("{what} in one line"));
    }
}

/// The first of conflicting lines wins.
fn shadows(check: &mut Check<'_, '_>, list: &Block<'_>) {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut literals: Vec<(String, &str, u32)> = Vec::new();
    for entry in list.all("reply") {
        let (Some(expression), Some(actions)) = reply(entry) else {
            continue;
        };
        let text = literal(expression);
        let covering = literals.iter().find(|(earlier, other, _)| {
            *other != actions
                && text
                    .as_ref()
                    .is_some_and(|text| text.contains(earlier.as_str()))
        });
        let covering = covering.map(|(_, _, line)| *line);
        let line = seen.get(expression).copied().or(covering);
        if let Some(line) = line {
            let what = format!("{} is taken by line {line} already", shown(expression));
            check.report(REPLY_SHADOWED, entry.at, what);
        }
        seen.entry(expression).or_insert(entry.at.line);
        if let Some(text) = text.filter(|text| !text.is_empty() && literals.len() < COMPARED) {
            literals.push((text, actions, entry.at.line));
        }
    }
}

/// The text that an expression stands for, when it stands for one. Case does not count.
fn literal(expression: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = expression.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(c) if !c.is_ascii_alphanumeric() => text.push(c),
                _ => return None,
            },
            c if "^$.|?*+()[]{}".contains(c) => return None,
            c => text.extend(c.to_lowercase()),
        }
    }
    Some(text)
}

/// Whether an expression of a list of replies takes far more than is meant.
pub(in crate::powermta) fn is_broad(expression: &str) -> bool {
    let bare = expression.trim_matches(['^', '$']).to_ascii_lowercase();
    BROAD.contains(&bare.as_str()) || is_catch_all(expression)
}

fn broad(check: &mut Check<'_, '_>, list: &Block<'_>) {
    for entry in list.all("reply") {
        let Some(expression) = reply(entry).0 else {
            continue;
        };
        if is_broad(expression) {
            let what = format!(
                "{} holds for every receiver and for far more than meant",
                shown(expression)
            );
            check.report(REPLY_TOO_BROAD, entry.at, what);
        }
    }
}
