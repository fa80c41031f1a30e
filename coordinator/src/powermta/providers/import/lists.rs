//! Lists of replies.

use std::collections::BTreeMap;

use super::super::super::lint::is_broad;
use super::super::super::schema::Scope;
use super::super::super::syntax::Words;
use super::super::check::action as check_action;
use super::super::expression::{compile, unwritable};
use super::super::model::{Action, Reply};
use super::Take;

/// Replies by the name of their list, without case. Their ids are those of a provider later.
pub(super) type Lists = BTreeMap<String, Vec<Reply>>;

impl Take<'_, '_> {
    pub(super) fn lists(&mut self) -> Lists {
        let outline = self.outline;
        let mut lists = Lists::new();
        for (_, block) in outline.sections(Scope::SmtpPatternList) {
            let mut replies: Vec<Reply> = Vec::new();
            for entry in block.entries.iter().filter(|entry| !entry.is("include")) {
                let at = (entry.at.file, entry.at.line);
                // What looks like a comment may be the rest of the expression.
                let whole = format!("{}{}", entry.value, entry.line.trail).replace('#', "\\x23");
                let cut = Words::of(entry.value).regex().is_err();
                let text = if cut { whole.trim_end() } else { entry.value };
                let mut words = Words::of(text);
                let Ok(pattern) = words.regex() else {
                    self.dropped(at, "a reply", "the line is no /EXPRESSION/ with actions");
                    continue;
                };
                let actions = words
                    .rest()
                    .split(',')
                    .map(str::trim)
                    .collect::<Vec<_>>()
                    .join(",");
                let action = Action::Take(actions);
                let earlier = replies.iter().any(|reply| reply.pattern == pattern.text);
                if let Some(why) = refusal(pattern.text, &action, earlier) {
                    self.dropped(at, &format!("reply /{}/", pattern.text), why);
                    continue;
                }
                let what = format!("reply /{}/ {action}", pattern.text);
                if cut {
                    let why = "a # begins a comment even in an expression; it is \\x23 now";
                    self.changed(at, &what, why);
                } else {
                    self.taken(at, &what);
                }
                replies.push(Reply {
                    id: String::new(),
                    meaning: format!(
                        "line {} of {}",
                        at.1,
                        self.file(at.0).replace(['\n', '\r'], " ")
                    ),
                    action,
                    pattern: pattern.text.to_owned(),
                    source: String::new(),
                    samples: Vec::new(),
                    near: Vec::new(),
                });
            }
            lists
                .entry(block.name.to_ascii_lowercase())
                .or_insert(replies);
        }
        lists
    }
}

fn refusal(pattern: &str, action: &Action, earlier: bool) -> Option<&'static str> {
    if is_broad(pattern) {
        return Some("it also takes greylisting, one full mailbox or one refused text");
    }
    if unwritable(pattern).is_some() || compile(pattern).is_err() {
        return Some("the expression is none");
    }
    if check_action(action).is_err() || *action == Action::Leave {
        return Some("the actions are none, or cannot stand together");
    }
    earlier.then_some("an earlier line of the list has the expression already")
}
