//! Log, spool, categories, and what is not taken.

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

const NOT_IN_BASE: &str = "not part of a base: the planner writes it, or powermta/extra.conf may";

impl Take<'_, '_> {
    pub(super) fn globals(&mut self) {
        let outline = self.outline;
        for entry in &outline.global().entries {
            let keyword = entry.keyword.to_ascii_lowercase();
            let at = (entry.at.file, entry.at.line);
            if entry.verbatim {
                self.dropped(at, "a verbatim line", "neither known nor checked");
            } else if matches!(keyword.as_str(), "domain-macro" | "include") {
                // Macros are taken where they are used; included files are read in their place.
            } else if GLOBAL.contains(&keyword.as_str()) {
                let fits = setting(Scope::Global, &keyword, entry.text()).and_then(|()| {
                    match keyword.as_str() {
                        "log-file" if !is_file_path(entry.text()) => Err("a plain path".to_owned()),
                        _ => Ok(()),
                    }
                });
                match fits {
                    Ok(()) => {
                        self.taken(at, &format!("{keyword} {}", entry.text()));
                        self.base.global.insert(keyword, entry.text().to_owned());
                    }
                    Err(accepted) => {
                        self.dropped(at, &keyword, &format!("the value is not {accepted}"));
                    }
                }
            } else if keyword == "spool" && is_file_path(entry.text()) {
                self.changed(
                    at,
                    "spool",
                    "the bare form is deprecated; it is a section now",
                );
                let path = entry.text().to_owned();
                self.base.spools.push(Spool {
                    path,
                    settings: std::collections::BTreeMap::new(),
                });
            } else {
                self.dropped(at, &shown_keyword(&keyword), reason(&keyword));
            }
        }
    }

    pub(super) fn spools(&mut self) {
        let outline = self.outline;
        for (_, block) in outline.sections(Scope::Spool) {
            let at = (block.at.file, block.at.line);
            if block.verbatim || !is_file_path(block.name) {
                self.dropped(at, "<spool>", "its folder is no plain absolute path");
                continue;
            }
            let mut spool = Spool {
                path: block.name.to_owned(),
                settings: std::collections::BTreeMap::new(),
            };
            for entry in &block.entries {
                let keyword = entry.keyword.to_ascii_lowercase();
                let at = (entry.at.file, entry.at.line);
                if SPOOL.contains(&keyword.as_str())
                    && setting(Scope::Spool, &keyword, entry.text()).is_ok()
                {
                    self.taken(at, &format!("{keyword} {}", entry.text()));
                    spool.settings.insert(keyword, entry.text().to_owned());
                } else {
                    self.dropped(at, &shown_keyword(&keyword), "nothing that a spool takes");
                }
            }
            self.taken(at, &format!("<spool {}>", spool.path));
            self.base.spools.push(spool);
        }
    }

    pub(super) fn categories(&mut self) {
        let outline = self.outline;
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
                self.category(at, pattern.text, name.text);
            }
        }
    }

    fn category(&mut self, at: (usize, u32), pattern: &str, name: &str) {
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
        } else if unwritable(pattern).is_some() || compile(pattern).is_err() {
            self.dropped(at, "a category", "the expression is none");
        } else if let Some(own) = own {
            if synonym.is_some() {
                let why = format!("no category of the product; MailWizz knows it as {own}");
                self.changed(at, &what, &why);
            } else {
                self.taken(at, &format!("{what} {own}"));
            }
            let patterns = vec![pattern.to_owned()];
            let (file, name) = (String::new(), own.to_owned());
            self.base.categories.push(Category {
                file,
                name,
                patterns,
                samples: Vec::new(),
            });
        } else {
            self.dropped(
                at,
                &what,
                "no category of the product, so MailWizz would miss it",
            );
        }
    }

    /// Sections that are taken nowhere: each is one note, without what it holds.
    pub(super) fn dropped_sections(&mut self) {
        let outline = self.outline;
        for block in outline
            .blocks
            .iter()
            .skip(1)
            .filter(|block| block.parent == 0)
        {
            let why = match block.scope {
                Some(
                    Scope::Domain
                    | Scope::SmtpPatternList
                    | Scope::MxRollupList
                    | Scope::BounceCategoryPatterns
                    | Scope::Spool,
                ) => continue,
                Some(Scope::SmtpUser) => "users and passwords are not taken over",
                Some(Scope::DomainKeyList) => "keys are not taken over",
                Some(Scope::VirtualMta | Scope::VirtualMtaPool) => {
                    "addresses, keys and pools are those of the fleet's identities"
                }
                Some(Scope::Source | Scope::SourceGroup | Scope::SmtpListener) => {
                    "who may submit is planned from the fleet's hosts"
                }
                Some(Scope::PatternList) => "senders are planned from the tenants' identities",
                Some(Scope::AcctFile) => "accounting files are those that the agent reads",
                Some(
                    Scope::BounceProcessor
                    | Scope::FeedbackLoopProcessor
                    | Scope::AddressList
                    | Scope::EmailPatterns
                    | Scope::Aliases,
                ) => "mail from outside is planned per tenant",
                Some(_) => NOT_IN_BASE,
                None => "the product has no such section",
            };
            let known = block.scope.map_or("an unknown section", Scope::name);
            self.dropped((block.at.file, block.at.line), &format!("<{known}>"), why);
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
