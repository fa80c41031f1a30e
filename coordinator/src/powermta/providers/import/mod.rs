//! Takes what an earlier configuration knows of receivers over as a [`Base`].
//!
//! Taken are rules per receiver, lists of replies, categories of bounces, spool and log. What names
//! addresses, mailboxes, keys, users or passwords is dropped, and a note on it never shows a value.
//!
//! A base says only what differs from what is written anyway, in one order; so a configuration that was
//! rendered from a base gives the same base again.

mod finish;
mod lists;
mod names;
mod queues;
mod receivers;
mod rest;
mod scrub;
mod sections;

use std::collections::BTreeMap;

use super::super::lint::{Code, Extent, Options, Outline, REPLY_SHADOWED, lint};
use super::super::schema::Version;
use super::super::syntax::{Include, Limits, Parsed, Sources};
use super::base::Base;
use scrub::Scrub;

/// What became of a line or a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It was wrong, and is taken otherwise.
    Changed,
    /// It is not taken.
    Dropped,
    /// It is taken as it is.
    Taken,
}

/// What became of a line or a section, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What became of it.
    pub verdict: Verdict,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What it is; of what is dropped the keyword alone.
    pub what: String,
    /// Why; empty for what is taken.
    pub why: String,
    /// What the linter says of the line.
    pub code: Option<Code>,
}

/// What was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// To be put into a bundle as `powermta/base.toml`.
    pub base: Base,
    /// What became of every line, in order of place.
    pub notes: Vec<Note>,
    /// Places that are not well formed: what was meant there is not known, and not taken.
    pub malformed: usize,
}

/// Takes a configuration over. `today` is a day as `YYYY-MM-DD`, `origin` a name for what it was.
#[must_use]
pub fn import(sources: &Sources, version: Version, origin: &str, today: &str) -> Imported {
    let options = Options {
        version,
        extent: Extent::Part,
        before: None,
    };
    let mut codes = BTreeMap::new();
    for finding in lint(sources, &options).findings {
        codes
            .entry((finding.at.file, finding.at.line))
            .or_insert_with(Vec::new)
            .push(finding.code);
    }
    let parsed = sources.parse(Limits::default());
    let outline = Outline::of(sources, &parsed);
    let scrub = Scrub::of(&outline);
    let origin = match scrub.refusal(origin) {
        None => origin,
        Some(_) => "an earlier configuration",
    };
    let mut take = Take {
        sources,
        outline: &outline,
        scrub: &scrub,
        codes,
        today,
        base: Base {
            checked: today.to_owned(),
            origin: origin.to_owned(),
            ..Base::default()
        },
        notes: Vec::new(),
    };
    take.globals();
    take.spools();
    let lists = take.lists();
    take.receivers(&lists);
    take.categories();
    take.dropped_sections();
    let malformed = take.malformed(&parsed);
    let Take {
        base, mut notes, ..
    } = take;
    notes.sort_by(|a, b| (&a.file, a.line, &a.what).cmp(&(&b.file, b.line, &b.what)));
    Imported {
        base,
        notes,
        malformed,
    }
}

/// An import under way.
struct Take<'a, 'o> {
    sources: &'o Sources,
    outline: &'o Outline<'a>,
    scrub: &'o Scrub,
    codes: BTreeMap<(String, u32), Vec<Code>>,
    today: &'o str,
    base: Base,
    notes: Vec<Note>,
}

impl Take<'_, '_> {
    /// Name of a file, unless it says more than it should.
    fn file(&self, index: usize) -> String {
        let name = self.name(index);
        match self.scrub.refusal(name) {
            None => name.to_owned(),
            Some(_) => format!("file {}", index + 1),
        }
    }

    fn name(&self, index: usize) -> &str {
        let file = self.sources.files().get(index);
        file.map(|file| file.name.as_str()).unwrap_or_default()
    }

    /// The linter's codes for a place.
    fn codes_at(&self, at: (usize, u32)) -> &[Code] {
        self.codes
            .get(&(self.name(at.0).to_owned(), at.1))
            .map_or(&[], Vec::as_slice)
    }

    fn note(&mut self, verdict: Verdict, at: (usize, u32), what: &str, why: &str) {
        let codes = self.codes_at(at);
        let code = match verdict {
            // It is taken as it is, and never acts.
            Verdict::Taken => codes.iter().find(|code| **code == REPLY_SHADOWED),
            _ => codes.first(),
        };
        let code = code.copied();
        self.notes.push(Note {
            verdict,
            file: self.file(at.0),
            line: at.1,
            what: what.to_owned(),
            why: why.to_owned(),
            code,
        });
    }

    /// Places that are not well formed, each noted without its text.
    fn malformed(&mut self, parsed: &[Parsed<'_>]) -> usize {
        let errors = parsed.iter().enumerate();
        let places: Vec<(usize, u32)> = errors
            .flat_map(|(file, parsed)| {
                let errors = parsed.errors.iter();
                errors.map(move |error| (file, error.at.line))
            })
            .collect();
        for at in &places {
            self.dropped(*at, "line", "it is not well formed: `pmta lint` says how");
        }
        places.len()
    }

    /// An `include`: what it names was read in its place, or is missing here.
    fn include(&mut self, at: (usize, u32)) {
        let why = match self.sources.include(at.0, at.1) {
            Some(Include::Files(_)) => return,
            Some(Include::Nothing) => "its wildcards match no file",
            Some(Include::Unread(reason)) => match self.scrub.refusal(reason) {
                None => reason,
                Some(_) => "it was not read",
            },
            None => "it was not read: includes are followed below --root only",
        };
        self.dropped(at, "include", why);
    }

    fn taken(&mut self, at: (usize, u32), what: &str) {
        self.note(Verdict::Taken, at, what, "");
    }

    fn changed(&mut self, at: (usize, u32), what: &str, why: &str) {
        self.note(Verdict::Changed, at, what, why);
    }

    fn dropped(&mut self, at: (usize, u32), what: &str, why: &str) {
        self.note(Verdict::Dropped, at, what, why);
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod shapes;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::model::Catalogue;
    use super::super::{BASE_PATH, EVERYONE};
    use super::*;
    use crate::planner::builtin_bundle;

    const EARLIER: &str = "\
host-name mta.example.com
postmaster boss-sekrit@example.com
http-api-key sekrit_0123456789_sekrit_0123456789
log-file /var/log/pmta/log
log-rotate 30
sekrit-directive sekrit
domain-macro hotmail hotmail.com, live.com
domain-macro big $hotmail, msn.com
<spool /var/spool/pmta>
  deliver-only no
  min-free-space 1G
</spool>
<smtp-user sekrit>
  password sekrit
</smtp-user>
<virtual-mta sekrit>
  smtp-source-host 192.0.2.7 sekrit.example.com
  domain-key sekrit,example.com,/etc/sekrit.pem
  <domain *>
    max-msg-rate 1/h
  </domain>
</virtual-mta>
<smtp-pattern-list blocks>
  reply /too many/ mode=backoff
  reply /RP-001/ mode=backoff
  reply /RP-001/ mode=normal
  reply /S3140/ disable-source-ip
  reply /code#5/ mode=backoff
  reply /x/ mode=backoff,mode=normal
</smtp-pattern-list>
<domain $big>
  max-smtp-out 7
  max-msg-per-hour 250
  auth-password sekrit
  smtp-pattern-list blocks
</domain>
<domain *>
  retry-after 15m
  max-smtp-out many
</domain>
<bounce-category-patterns>
  /no such one here/ invalid-mailbox
  /spammy/ spam-related
  /odd/ my-own
  // other
</bounce-category-patterns>
";

    fn imported() -> Imported {
        import(
            &Sources::single("config", EARLIER),
            Version::V5_0,
            "config",
            "2026-11-21",
        )
    }

    fn verdict(imported: &Imported, line: u32) -> Vec<(Verdict, String)> {
        let notes = imported.notes.iter().filter(|note| note.line == line);
        notes
            .map(|note| (note.verdict, note.what.clone()))
            .collect()
    }

    #[test]
    fn rules_of_receivers_spool_and_log_are_taken() {
        let base = imported().base;
        assert_eq!(base.global["log-rotate"], "30");
        assert_eq!(base.spools[0].settings["min-free-space"], "1G");
        let big = base.providers.iter().find(|p| p.name == "big").unwrap();
        assert_eq!(big.domains, ["hotmail.com", "live.com", "msn.com"]);
        assert_eq!(big.settings["max-smtp-out"], "7");
        assert_eq!(big.settings["max-msg-rate"], "250/h");
        assert_eq!(big.settings["backoff-to-normal-after"], "2h");
        assert_eq!(big.settings["reenable-source-ip-after"], "2h");
        let patterns: Vec<_> = big.replies.iter().map(|r| r.pattern.as_str()).collect();
        assert_eq!(patterns, ["RP-001", "S3140", "code\\x235"]);
        let everyone = base.providers.iter().find(|p| p.name == EVERYONE).unwrap();
        assert_eq!(
            everyone.settings,
            BTreeMap::from([("retry-after".into(), "15m".into())])
        );
        let categories: Vec<_> = base.categories.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(categories, ["bad-mailbox", "spam-related"]);
    }

    #[test]
    fn secrets_and_addresses_are_dropped_and_never_shown() {
        let imported = imported();
        let text = imported.base.to_toml().unwrap();
        assert!(
            !text.contains("sekrit") && !text.contains("192.0.2.7"),
            "{text}"
        );
        for note in &imported.notes {
            let shown = format!("{} {} {}", note.file, note.what, note.why);
            assert!(
                !shown.contains("sekrit") && !shown.contains("192.0.2.7"),
                "{shown}"
            );
        }
        for line in [1, 2, 3, 6, 13, 16] {
            assert!(
                verdict(&imported, line)
                    .iter()
                    .all(|(verdict, _)| *verdict == Verdict::Dropped)
                    && !verdict(&imported, line).is_empty(),
                "line {line}"
            );
        }
    }

    #[test]
    fn what_was_wrong_is_told_with_the_reason() {
        let imported = imported();
        let why = |line| {
            let notes = imported.notes.iter().filter(|note| note.line == line);
            notes
                .map(|note| (note.verdict, note.why.as_str()))
                .collect::<Vec<_>>()
        };
        assert!(why(24)[0].1.contains("greylisting"));
        assert!(why(26)[0].1.contains("earlier line"));
        assert_eq!(why(28)[0].0, Verdict::Changed);
        assert!(why(29)[0].1.contains("cannot stand together"));
        assert!(why(31).iter().any(|(_, why)| why.contains("stayed there")));
        assert!(why(33)[0].1.contains("older name"));
        assert!(why(42)[0].1.contains("bad-mailbox"));
        assert!(why(44)[0].1.contains("MailWizz"));
    }

    #[test]
    fn what_was_taken_over_is_a_base_that_loads() {
        let mut files = builtin_bundle();
        files.insert(BASE_PATH.to_owned(), imported().base.to_toml().unwrap());
        let catalogue = Catalogue::load(&files).unwrap();
        catalogue.examine().unwrap();
        let big = catalogue
            .providers
            .iter()
            .find(|p| p.name == "big")
            .unwrap();
        let rule = catalogue.judge(big, "421 RP-001 slow").unwrap().unwrap();
        assert_eq!(rule.id, "own-big-1");
    }
}
