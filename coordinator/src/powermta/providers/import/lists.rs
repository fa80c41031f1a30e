//! Lists of replies.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::lint::{Entry, is_broad};
use super::super::super::schema::Scope;
use super::super::super::syntax::Words;
use super::super::check::action as check_action;
use super::super::expression::{compile, unwritable};
use super::super::model::{Action, Reply};
use super::super::ordinary::ordinary_taken;
use super::Take;

/// Replies by the name of their list, without case. Their ids are those of a provider later.
pub(super) type Lists = BTreeMap<String, Vec<Reply>>;

/// Most replies that are taken.
const MOST: usize = 10_000;

impl Take<'_, '_> {
    pub(super) fn lists(&mut self) -> Lists {
        let outline = self.outline;
        let mut lists = Lists::new();
        let mut left = MOST;
        for (_, block) in outline.sections(Scope::SmtpPatternList) {
            let mut seen = BTreeSet::new();
            let mut replies = Vec::new();
            for entry in &block.entries {
                let at = (entry.at.file, entry.at.line);
                if entry.is("include") {
                    self.include(at);
                    continue;
                }
                if left == 0 {
                    self.dropped(at, "a reply", "so many replies are more than are taken");
                    continue;
                }
                if let Some(reply) = self.reply(entry, at, &mut seen) {
                    left -= 1;
                    replies.push(reply);
                }
            }
            lists
                .entry(block.name.to_ascii_lowercase())
                .or_insert(replies);
        }
        lists
    }

    fn reply(
        &mut self,
        entry: &Entry<'_>,
        at: (usize, u32),
        seen: &mut BTreeSet<String>,
    ) -> Option<Reply> {
        // What looks like a comment may be the rest of the expression, when it is glued to it.
        let cut = Words::of(entry.value).regex().is_err() && glued(entry.line.trail);
        let whole = format!("{}{}", entry.value, entry.line.trail).replace('#', "\\x23");
        let mut words = Words::of(if cut { whole.trim_end() } else { entry.value });
        let Ok(pattern) = words.regex() else {
            self.dropped(at, "a reply", "the line is no /EXPRESSION/ with actions");
            return None;
        };
        let actions: Vec<_> = words.rest().split(',').map(str::trim).collect();
        let action = Action::Take(actions.join(","));
        if let Some(why) = self.scrub.refusal(pattern.text) {
            self.dropped(at, "a reply", why);
            return None;
        }
        let refusal = refusal(pattern.text, &action);
        let earlier = || seen.contains(pattern.text);
        let refusal = refusal.or_else(|| {
            earlier().then(|| "an earlier line of the list has the expression already".to_owned())
        });
        if let Some(why) = refusal {
            self.dropped(at, &format!("reply /{}/", pattern.text), &why);
            return None;
        }
        seen.insert(pattern.text.to_owned());
        let what = format!("reply /{}/ {action}", pattern.text);
        if cut {
            let why = "a # begins a comment even in an expression; it is \\x23 now";
            self.changed(at, &what, why);
        } else {
            self.taken(at, &what);
        }
        Some(Reply {
            file: String::new(),
            id: String::new(),
            meaning: "as in the earlier configuration".to_owned(),
            confidence: None,
            action,
            pattern: pattern.text.to_owned(),
            source: String::new(),
            samples: Vec::new(),
            near: Vec::new(),
        })
    }
}

/// Whether a comment begins right behind a sign and goes on with one.
fn glued(trail: &str) -> bool {
    let mut rest = trail.strip_prefix('#').unwrap_or_default().chars();
    rest.next().is_some_and(|c| !c.is_whitespace())
}

fn refusal(pattern: &str, action: &Action) -> Option<String> {
    let why = if is_broad(pattern) {
        "it also takes greylisting, one full mailbox or one refused text"
    } else if unwritable(pattern).is_some() || compile(pattern).is_err() {
        "the expression is none"
    } else if check_action(action).is_err() || *action == Action::Leave {
        "the actions are none, or cannot stand together"
    } else {
        let strikes = action.parsed().is_some_and(|actions| actions.strikes());
        let taken = ordinary_taken(pattern).filter(|_| strikes)?;
        return Some(format!(
            "it also takes {taken:?}, which says nothing of the sender"
        ));
    };
    Some(why.to_owned())
}
