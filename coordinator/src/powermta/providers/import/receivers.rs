//! `<domain>` sections with their macros and shared queues.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::lint::Block;
use super::super::super::schema::Scope;
use super::super::check::{SETTINGS, is_domain, setting};
use super::super::model::{EVERYONE, Provider, Rollup};
use super::Take;
use super::finish::Found;
use super::lists::Lists;
use super::names::{expand, macros, named_after, unique};
use super::rest::shown_keyword;

/// Shared queues by name, with the places of their lines.
type Queues = BTreeMap<String, (Rollup, Vec<(usize, u32)>)>;

impl Take<'_, '_> {
    pub(super) fn receivers(&mut self, lists: &Lists) {
        let outline = self.outline;
        let macros = macros(outline.global());
        let mut queues = self.queues();
        let mut blocks: Vec<&Block<'_>> = outline.sections(Scope::Domain).map(|(_, b)| b).collect();
        // A domain that is named wins over one that a macro holds.
        blocks.sort_by_key(|block| block.name.contains('$'));
        let mut seen = BTreeSet::new();
        let mut names = BTreeMap::new();
        let mut found = Vec::new();
        let mut expanded = 0;
        for block in blocks {
            let at = (block.at.file, block.at.line);
            if block.parent != 0 || block.verbatim {
                self.dropped(at, "<domain>", "limits of an identity come from its quota");
                continue;
            }
            let mut domains = Vec::new();
            for word in block.argument.split_whitespace() {
                expand(
                    word.trim_matches('"'),
                    &macros,
                    0,
                    &mut domains,
                    &mut expanded,
                );
            }
            let domains = self.domains(block, domains, &mut seen);
            if domains.is_empty() {
                let why = "no domain of it is left: it names none, or twice, or too many";
                self.dropped(at, "<domain>", why);
                continue;
            }
            let provider = self.provider(block, domains, &mut queues, &mut names, lists);
            found.extend(provider.map(|provider| Found { at, provider }));
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
                });
            }
        }
        self.finish(found);
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

    fn may_name(&self, domain: &str) -> bool {
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
        self.taken(at, &format!("<domain> as provider {}", provider.name));
        Some(provider)
    }

    fn settings(&mut self, block: &Block<'_>, provider: &mut Provider) {
        for entry in &block.entries {
            let at = (entry.at.file, entry.at.line);
            let older = entry.keyword.to_ascii_lowercase();
            let routed = older == "smtp-hosts" && !provider.rollups.is_empty();
            if routed || matches!(older.as_str(), "smtp-pattern-list" | "include") {
                continue;
            }
            let (keyword, value) = newer(&older, entry.text());
            if !SETTINGS.contains(&keyword.as_str()) {
                self.dropped(at, &shown_keyword(&older), "no limit of a receiver");
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

    fn queues(&mut self) -> Queues {
        let outline = self.outline;
        let mut queues = Queues::new();
        let mut hosts = BTreeSet::new();
        for (_, block) in outline.sections(Scope::MxRollupList) {
            for entry in &block.entries {
                let at = (entry.at.file, entry.at.line);
                let (mx, queue) = entry.pair();
                let (mx, queue) = (mx.to_ascii_lowercase(), queue.to_ascii_lowercase());
                if !self.may_name(&mx) || !queue.ends_with(".rollup") || !self.may_name(&queue) {
                    self.dropped(at, "mx", "no host, or a queue that does not end in .rollup");
                } else if !hosts.insert(mx.clone()) {
                    self.dropped(at, "mx", "an earlier line has the host already");
                } else {
                    let empty = Rollup {
                        queue: queue.clone(),
                        mx: Vec::new(),
                        hosts: None,
                        by_ip: false,
                    };
                    let (rollup, places) = queues.entry(queue).or_insert((empty, Vec::new()));
                    rollup.by_ip |= entry.value.ends_with("rollup-by-ip");
                    rollup.mx.push(mx);
                    places.push(at);
                }
            }
        }
        queues
    }

    fn queue_is_taken(&mut self, rollup: &Rollup, at: &[(usize, u32)]) -> bool {
        let dangling = rollup.dangling().is_some();
        for (at, mx) in at.iter().zip(&rollup.mx) {
            if dangling {
                let why =
                    "a pattern needs smtp-hosts that name no address, in the queue's <domain>";
                self.dropped(*at, "mx", why);
            } else {
                self.taken(*at, &format!("mx {mx} {}", rollup.queue));
            }
        }
        !dangling
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
