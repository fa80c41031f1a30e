//! Lines of lists of replies: actions that exclude each other, lines that never act, lines that act
//! on far more than is meant.

pub(super) mod backoff;
mod forms;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use fancy_regex::Regex;

use super::super::super::providers::{compile, ordinary_taken, takes};
use super::super::super::schema::Scope;
use super::super::super::schema::value::parse_actions;
use super::super::super::syntax::Words;
use super::super::check::{Check, shown};
use super::super::codes::{ACTIONS_CONFLICT, REPLY_SHADOWED, REPLY_TOO_BROAD};
use super::super::outline::{Block, Entry};
use super::lists::is_catch_all;
use forms::{Form, forms};

/// Expressions of copied lists that also match greylisting, one full mailbox, or a refused text,
/// whatever is done then.
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
/// Pairs of lines of a configuration whose expressions are tried.
const TRIALS: usize = 100_000;

pub(super) fn run(check: &mut Check<'_, '_>) {
    let mut trials = TRIALS;
    for (_, list) in check.outline.sections(Scope::SmtpPatternList) {
        conflicts(check, list);
        shadows(check, list, &mut trials);
        broad(check, list);
    }
}

/// Expression and actions of a line.
pub(super) fn reply<'a>(entry: &Entry<'a>) -> (Option<&'a str>, Option<&'a str>) {
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

/// A line that those behind it are held against.
struct Earlier<'a> {
    expression: &'a str,
    actions: &'a str,
    line: u32,
    compiled: OnceCell<Option<Regex>>,
}

impl Earlier<'_> {
    /// Whether it takes a reply in every form that the other expression stands for.
    fn covers(&self, forms: &[Form]) -> bool {
        // To compile an expression costs far more than to try it.
        if forms.is_empty() {
            return false;
        }
        let compiled = self.compiled.get_or_init(|| compile(self.expression).ok());
        compiled.as_ref().is_some_and(|compiled| {
            let taken = |form: &Form| form.replies().all(|reply| takes(compiled, &reply));
            forms.iter().all(taken)
        })
    }
}

/// The first of conflicting lines wins.
fn shadows(check: &mut Check<'_, '_>, list: &Block<'_>, trials: &mut usize) {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut earlier: Vec<Earlier<'_>> = Vec::new();
    for entry in list.all("reply") {
        let (Some(expression), Some(actions)) = reply(entry) else {
            continue;
        };
        let forms = forms(expression);
        let mut others = earlier.iter().filter(|earlier| earlier.actions != actions);
        let covering = others.find(|earlier| {
            let left = *trials > 0;
            *trials = trials.saturating_sub(1);
            left && earlier.covers(&forms)
        });
        let covering = covering.map(|earlier| earlier.line);
        if let Some(line) = seen.get(expression).copied().or(covering) {
            let what = format!("{} is taken by line {line} already", shown(expression));
            check.report(REPLY_SHADOWED, entry.at, what);
        }
        seen.entry(expression).or_insert(entry.at.line);
        if earlier.len() < COMPARED {
            earlier.push(Earlier {
                expression,
                actions,
                line: entry.at.line,
                compiled: OnceCell::new(),
            });
        }
    }
}

/// Whether an expression of a list of replies takes far more than is meant. What else it takes is
/// tried by [`ordinary_taken`]; this runs no expression.
pub(in crate::powermta) fn is_broad(expression: &str) -> bool {
    let bare = expression.trim_matches(['^', '$']).to_ascii_lowercase();
    BROAD.contains(&bare.as_str()) || is_catch_all(expression)
}

fn broad(check: &mut Check<'_, '_>, list: &Block<'_>) {
    for entry in list.all("reply") {
        let (Some(expression), Some(actions)) = reply(entry) else {
            continue;
        };
        let what = if is_broad(expression) {
            "takes far more than meant".to_owned()
        } else if parse_actions(actions).is_some_and(|actions| actions.strikes())
            && let Some(taken) = ordinary_taken(expression)
        {
            format!("also takes `{taken}`, which says nothing of the sender")
        } else {
            continue;
        };
        let what = format!("{} {what}", shown(expression));
        check.report(REPLY_TOO_BROAD, entry.at, what);
    }
}
