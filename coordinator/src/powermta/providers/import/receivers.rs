//! `<domain>` sections with their macros and shared queues.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::lint::Block;
use super::super::super::schema::Scope;
use super::super::check::{SETTINGS, is_domain, setting};
use super::super::model::{EVERYONE, Provider};
use super::Take;
use super::finish::Found;
use super::lists::Lists;
use super::names::{expand, macros, named_after, unique};
use super::queues::{Queues, Tag};
use super::rest::shown_keyword;

impl<'a, 'o> Take<'a, 'o> {
    pub(super) fn receivers(&mut self, lists: &Lists) {
        let mut queues = self.queues();
        let tags = self.tags();
        let mut names = BTreeMap::new();
        let mut found = Vec::new();
        for tag in self.led(tags) {
            let at = (tag.block.at.file, tag.block.at.line);
            let provider = self.provider(tag.block, tag.domains, &mut queues, &mut names, lists);
            found.extend(provider.map(|provider| Found {
                at,
                provider,
                tagged: true,
            }));
        }
        // Queues that no section is about are treated as everyone is.
        for (queue, (rollup, at)) in queues {
            let place = at[0];
            if self.queue_is_taken(&rollup, &at) {
                let mut provider = self.fresh(named_after(&queue));
                provider.rollups = vec![rollup];
                found.push(Found {
                    at: place,
                    provider,
                    tagged: false,
                });
            }
        }
        self.finish(found);
    }

    /// The sections with the domains that each is about.
    fn tags(&mut self) -> Vec<Tag<'a, 'o>> {
        let outline = self.outline;
        let macros = macros(outline.global());
        let mut blocks: Vec<&'o Block<'a>> =
            outline.sections(Scope::Domain).map(|(_, b)| b).collect();
        // A domain that is named wins over one that a macro holds.
        blocks.sort_by_key(|block| block.name.contains('$'));
        let mut seen = BTreeSet::new();
        let mut expanded = 0;
        let mut tags = Vec::new();
        for block in blocks {
            let at = (block.at.file, block.at.line);
            if block.parent != 0 || block.verbatim {
                self.dropped(at, "<domain>", "limits of an identity come from its quota");
                continue;
            }
            let mut domains = Vec::new();
            for word in block.argument.split_whitespace() {
                let word = word.trim_matches('"');
                expand(word, &macros, 0, &mut domains, &mut expanded);
            }
            let domains = self.domains(block, domains, &mut seen);
            if domains.is_empty() {
                let why = "no domain of it is left: it names none, or twice, or too many";
                self.dropped(at, "<domain>", why);
                continue;
            }
            tags.push(Tag { block, domains });
        }
        tags
    }

    /// The domains of a tag that can be written and that no earlier tag has.
    fn domains(
        &mut self,
        block: &Block<'_>,
        domains: Vec<String>,
        seen: &mut BTreeSet<String>,
    ) -> Vec<String> {
        let at = (block.at.file, block.at.line);
        let (good, bad): (Vec<_>, Vec<_>) = domains
            .into_iter()
            .partition(|d| d == "*" || self.may_name(d));
        if !bad.is_empty() {
            let why = format!("{} of its domains are no domains", bad.len());
            self.changed(at, "<domain>", &why);
        }
        if block.argument.split_whitespace().count() > 1 {
            let why = "several patterns in one tag; they are a macro now";
            self.changed(at, "<domain>", why);
        }
        let fresh = good.into_iter().filter(|d| seen.insert(d.clone()));
        fresh.collect()
    }

    pub(super) fn may_name(&self, domain: &str) -> bool {
        is_domain(domain) && self.scrub.refusal(domain).is_none()
    }

    fn fresh(&self, name: String) -> Provider {
        Provider {
            name,
            title: "Taken over".to_owned(),
            checked: self.today.to_owned(),
            ..Provider::default()
        }
    }

    fn provider(
        &mut self,
        block: &Block<'_>,
        domains: Vec<String>,
        queues: &mut Queues,
        names: &mut BTreeMap<String, usize>,
        lists: &Lists,
    ) -> Option<Provider> {
        let at = (block.at.file, block.at.line);
        let (everyone, special): (Vec<_>, Vec<_>) = domains.into_iter().partition(|d| d == "*");
        let (shared, own): (Vec<_>, Vec<_>) = special
            .into_iter()
            .partition(|d| d.ends_with(".rollup") || d.ends_with(".queue"));
        let mut provider = self.fresh(String::new());
        for (mut rollup, at) in shared.iter().filter_map(|queue| queues.remove(queue)) {
            let hosts = block.last("smtp-hosts").map(|entry| entry.text());
            let hosts = hosts.filter(|hosts| {
                setting(Scope::Domain, "smtp-hosts", hosts).is_ok()
                    && self.scrub.refusal(hosts).is_none()
            });
            rollup.hosts = hosts.map(str::to_owned);
            if self.queue_is_taken(&rollup, &at) {
                provider.rollups.push(rollup);
            }
        }
        provider.domains = if everyone.is_empty() { own } else { everyone };
        if provider.domains.is_empty() && provider.rollups.is_empty() {
            let why = "a queue that no MX leads to, or without hosts";
            self.dropped(at, "<domain>", why);
            return None;
        }
        provider.name = match provider.domains.first().map(String::as_str) {
            Some("*") => EVERYONE.to_owned(),
            _ if self.scrub.refusal(block.name).is_some() => unique("unnamed", names),
            _ => unique(&named_after(block.name), names),
        };
        self.settings(block, &mut provider);
        if let Some(entry) = block.last("smtp-pattern-list") {
            let list = lists.get(&entry.text().to_ascii_lowercase());
            if list.is_none() {
                let why = "there is no such list; everyone's rules hold";
                self.changed(at, "smtp-pattern-list", why);
            }
            provider.replies = list.cloned().unwrap_or_default();
        }
        Some(provider)
    }

    fn settings(&mut self, block: &Block<'_>, provider: &mut Provider) {
        for entry in &block.entries {
            let at = (entry.at.file, entry.at.line);
            let older = entry.keyword.to_ascii_lowercase();
            let routed = older == "smtp-hosts" && !provider.rollups.is_empty();
            if older == "include" {
                self.include(at);
                continue;
            }
            if routed || older == "smtp-pattern-list" {
                continue;
            }
            let (keyword, value) = newer(&older, entry.text());
            if !SETTINGS.contains(&keyword.as_str()) {
                let why = if older == "queue-to" {
                    "no section says how fast that queue goes, so the domain's own limits hold"
                } else {
                    "no limit of a receiver"
                };
                self.dropped(at, &shown_keyword(&older), why);
            } else if let Err(accepted) = setting(Scope::Domain, &keyword, &value) {
                self.dropped(at, &older, &format!("the value is not {accepted}"));
            } else {
                let what = format!("{keyword} {value}");
                if keyword == older {
                    self.taken(at, &what);
                } else {
                    self.changed(at, &what, &format!("{older} is the older name"));
                }
                provider.settings.insert(keyword, value);
            }
        }
    }
}

/// A directive by the name that it has today.
fn newer(keyword: &str, value: &str) -> (String, String) {
    match keyword.strip_suffix("max-msg-per-hour") {
        Some(rate) if value == "unlimited" => (format!("{rate}max-msg-rate"), value.to_owned()),
        Some(rate) => (format!("{rate}max-msg-rate"), format!("{value}/h")),
        None if keyword == "max-rcpt-per-message" => {
            ("max-rcpt-per-transaction".to_owned(), value.to_owned())
        }
        None => (keyword.to_owned(), value.to_owned()),
    }
}
