//! Log, spool, categories, and what is not taken.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::render::{LOG_FILE, SPOOL_PATH};
use super::super::super::schema::Scope;
use super::super::super::syntax::Words;
use super::super::check::{GLOBAL, SPOOL, setting};
use super::super::expression::{compile, unwritable};
use super::super::model::{CATEGORIES, Category, Spool};
use super::Take;
use crate::powermta::is_file_path;

/// Names of copied lists that mean one of the product's own categories.
const SYNONYMS: [(&str, &str); 6] = [
    ("invalid-mailbox", "bad-mailbox"),
    ("mailbox-full", "quota-issues"),
    ("over-quota", "quota-issues"),
    ("spam", "spam-related"),
    ("unknown-user", "bad-mailbox"),
    ("user-unknown", "bad-mailbox"),
];

pub(super) const NOT_IN_BASE: &str =
    "not part of a base: the planner writes it, or powermta/extra.conf may";

impl Take<'_, '_> {
    pub(super) fn globals(&mut self) {
        let outline = self.outline;
        for entry in &outline.global().entries {
            let keyword = entry.keyword.to_ascii_lowercase();
            let at = (entry.at.file, entry.at.line);
            if entry.verbatim {
                self.dropped(at, "a verbatim line", "neither known nor checked");
            } else if keyword == "include" {
                self.include(at);
            } else if keyword == "domain-macro" {
                // Macros are taken where they are used.
            } else if GLOBAL.contains(&keyword.as_str()) {
                self.global(at, &keyword, entry.text());
            } else if keyword == "spool" && self.is_path(entry.text()) {
                let why = "the bare form is deprecated; it is a section now";
                self.changed(at, "spool", why);
                self.spool(at, entry.text(), BTreeMap::new());
            } else {
                self.dropped(at, &shown_keyword(&keyword), reason(&keyword));
            }
        }
    }

    fn is_path(&self, text: &str) -> bool {
        is_file_path(text) && self.scrub.refusal(text).is_none()
    }

    fn global(&mut self, at: (usize, u32), keyword: &str, value: &str) {
        let fits = setting(Scope::Global, keyword, value).and_then(|()| match keyword {
            "log-file" if !self.is_path(value) => Err("a plain path".to_owned()),
            _ => Ok(()),
        });
        match fits {
            Ok(()) => {
                self.taken(at, &format!("{keyword} {value}"));
                let global = &mut self.base.global;
                if (keyword, value) == ("log-file", LOG_FILE) {
                    global.remove(keyword);
                } else {
                    global.insert(keyword.to_owned(), value.to_owned());
                }
            }
            Err(accepted) => self.dropped(at, keyword, &format!("the value is not {accepted}")),
        }
    }

    pub(super) fn spools(&mut self) {
        let outline = self.outline;
        for (_, block) in outline.sections(Scope::Spool) {
            let at = (block.at.file, block.at.line);
            if block.verbatim || !self.is_path(block.name) {
                self.dropped(at, "<spool>", "its folder is no plain absolute path");
                continue;
            }
            let mut settings = BTreeMap::new();
            for entry in &block.entries {
                let keyword = entry.keyword.to_ascii_lowercase();
                let at = (entry.at.file, entry.at.line);
                let fits = setting(Scope::Spool, &keyword, entry.text()).is_ok();
                if SPOOL.contains(&keyword.as_str()) && fits {
                    self.taken(at, &format!("{keyword} {}", entry.text()));
                    settings.insert(keyword, entry.text().to_owned());
                } else {
                    self.dropped(at, &shown_keyword(&keyword), "nothing that a spool takes");
                }
            }
            self.spool(at, block.name, settings);
        }
        let usual = |spool: &Spool| spool.path == SPOOL_PATH && spool.settings.is_empty();
        if self.base.spools.len() == 1 && self.base.spools.iter().all(usual) {
            self.base.spools.clear();
        }
    }

    fn spool(&mut self, at: (usize, u32), path: &str, settings: BTreeMap<String, String>) {
        if self.base.spools.iter().any(|spool| spool.path == path) {
            self.dropped(at, "<spool>", "an earlier one has the folder already");
            return;
        }
        self.taken(at, &format!("<spool {path}>"));
        self.base.spools.push(Spool {
            path: path.to_owned(),
            settings,
        });
    }

    pub(super) fn categories(&mut self) {
        let outline = self.outline;
        let mut seen = BTreeSet::new();
        for (_, block) in outline.sections(Scope::BounceCategoryPatterns) {
            for entry in &block.entries {
                let at = (entry.at.file, entry.at.line);
                let mut words = Words::of(entry.line.body);
                let (Ok(pattern), Ok(name)) = (words.regex(), words.word()) else {
                    self.dropped(
                        at,
                        "a category",
                        "the line is no /EXPRESSION/ with a category",
                    );
                    continue;
                };
                self.category(at, pattern.text, name.text, &mut seen);
            }
        }
    }

    fn category(
        &mut self,
        at: (usize, u32),
        pattern: &str,
        name: &str,
        seen: &mut BTreeSet<String>,
    ) {
        let lower = name.to_ascii_lowercase();
        let synonym = SYNONYMS
            .iter()
            .find(|(known, _)| *known == lower)
            .map(|(_, own)| *own);
        let own = CATEGORIES
            .iter()
            .find(|own| **own == lower)
            .copied()
            .or(synonym);
        let what = format!("category /{pattern}/");
        if pattern.is_empty() {
            let why = "the catalogue's own categories stand behind these, and end so themselves";
            self.dropped(at, "category //", why);
        } else if let Some(why) = self.scrub.refusal(pattern) {
            self.dropped(at, "a category", why);
        } else if unwritable(pattern).is_some() || compile(pattern).is_err() {
            self.dropped(at, "a category", "the expression is none");
        } else if !seen.insert(pattern.to_owned()) {
            self.dropped(at, &what, "an earlier line has the expression already");
        } else if let Some(own) = own {
            if synonym.is_some() {
                let why = format!("no category of the product; MailWizz knows it as {own}");
                self.changed(at, &what, &why);
            } else {
                self.taken(at, &format!("{what} {own}"));
            }
            match self.base.categories.last_mut() {
                Some(last) if last.name == own => last.patterns.push(pattern.to_owned()),
                _ => self.base.categories.push(Category {
                    file: String::new(),
                    name: own.to_owned(),
                    patterns: vec![pattern.to_owned()],
                    samples: Vec::new(),
                }),
            }
        } else {
            self.dropped(
                at,
                &what,
                "no category of the product, so MailWizz would miss it",
            );
        }
    }
}

/// A keyword as it may be shown: a line that is none may be anything, a password too.
pub(super) fn shown_keyword(keyword: &str) -> String {
    use crate::powermta::schema::{invention, scopes_of};
    if scopes_of(keyword).is_empty() && invention(keyword).is_none() {
        return "an unknown directive".to_owned();
    }
    keyword.to_owned()
}

fn reason(keyword: &str) -> &'static str {
    let holds = |parts: &[&str]| parts.iter().any(|part| keyword.contains(part));
    if holds(&["key", "password", "certificate", "auth"]) {
        "keys and passwords are not taken over"
    } else if keyword.ends_with("-connection-limit") {
        "a base limits receivers and the queues that MX hosts share, not single hosts"
    } else if holds(&[
        "host",
        "listener",
        "-ip",
        "relay",
        "postmaster",
        "access",
        "source",
    ]) {
        "addresses and who may reach them are planned from the fleet's hosts"
    } else {
        NOT_IN_BASE
    }
}
