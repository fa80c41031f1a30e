//! `<domain>` sections with their macros and shared queues.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::lint::Block;
use super::super::super::schema::Scope;
use super::super::super::schema::value::parse_time;
use super::super::check::{SETTINGS, is_domain, setting};
use super::super::model::{EVERYONE, Provider, Rollup};
use super::Take;
use super::lists::Lists;
use super::rest::shown_keyword;

/// How deep macros may name each other.
const DEPTH: usize = 8;
/// Most domains that a tag may stand for.
const MOST: usize = 2_000;
const TWO_HOURS: &str = "2h";

impl Take<'_, '_> {
    pub(super) fn receivers(&mut self, lists: &Lists) {
        let outline = self.outline;
        let macros = macros(outline.global());
        let mut rollups = self.rollups();
        let mut blocks: Vec<&Block<'_>> = outline.sections(Scope::Domain).map(|(_, b)| b).collect();
        // A domain that is named wins over one that a macro holds.
        blocks.sort_by_key(|block| block.name.contains('$'));
        let mut seen = BTreeSet::new();
        for block in blocks {
            let at = (block.at.file, block.at.line);
            if block.parent != 0 || block.verbatim {
                self.dropped(at, "<domain>", "limits of an identity come from its quota");
                continue;
            }
            let mut domains = Vec::new();
            for word in block.argument.split_whitespace() {
                expand(word.trim_matches('"'), &macros, 0, &mut domains);
            }
            let (good, bad): (Vec<_>, Vec<_>) =
                domains.into_iter().partition(|d| d == "*" || is_domain(d));
            if !bad.is_empty() {
                let why = format!("{} of its domains are no domains", bad.len());
                self.changed(at, "<domain>", &why);
            }
            if block.argument.split_whitespace().count() > 1 {
                self.changed(
                    at,
                    "<domain>",
                    "several patterns in one tag; they are a macro now",
                );
            }
            let fresh: Vec<String> = good
                .into_iter()
                .filter(|d| seen.insert(d.clone()))
                .collect();
            if fresh.is_empty() {
                self.dropped(
                    at,
                    "<domain>",
                    "no domain of it is left: it names none, or twice",
                );
                continue;
            }
            self.provider(block, fresh, &mut rollups, lists);
        }
    }

    fn provider(
        &mut self,
        block: &Block<'_>,
        domains: Vec<String>,
        rollups: &mut BTreeMap<String, Rollup>,
        lists: &Lists,
    ) {
        let at = (block.at.file, block.at.line);
        let (everyone, special): (Vec<_>, Vec<_>) = domains.into_iter().partition(|d| d == "*");
        let (queues, domains): (Vec<_>, Vec<_>) = special
            .into_iter()
            .partition(|d| d.ends_with(".rollup") || d.ends_with(".queue"));
        let mut provider = Provider {
            file: String::new(),
            name: self.name(block.name, !everyone.is_empty()),
            title: "Taken over".to_owned(),
            checked: self.today.to_owned(),
            sources: BTreeMap::new(),
            domains: if everyone.is_empty() {
                domains
            } else {
                everyone
            },
            settings: BTreeMap::new(),
            rollups: queues
                .iter()
                .filter_map(|queue| rollups.remove(queue))
                .collect(),
            replies: Vec::new(),
        };
        for rollup in &mut provider.rollups {
            let hosts = block
                .last("smtp-hosts")
                .map(|entry| entry.text().to_owned());
            rollup.hosts =
                hosts.filter(|hosts| setting(Scope::Domain, "smtp-hosts", hosts).is_ok());
        }
        let dangling =
            |r: &Rollup| r.hosts.is_none() && !r.by_ip && r.mx.iter().any(|mx| mx.contains('*'));
        provider.rollups.retain(|rollup| !dangling(rollup));
        if provider.domains.is_empty() && provider.rollups.is_empty() {
            self.dropped(
                at,
                "<domain>",
                "a queue that no MX leads to, or without hosts",
            );
            return;
        }
        self.settings(block, &mut provider);
        if let Some(entry) = block.last("smtp-pattern-list") {
            let replies = lists
                .get(&entry.text().to_ascii_lowercase())
                .into_iter()
                .flatten();
            let prefix = provider.name.replace('_', "-");
            provider.replies = replies.cloned().collect();
            for (index, reply) in provider.replies.iter_mut().enumerate() {
                reply.id = format!("own-{prefix}-{}", index + 1);
            }
        }
        self.way_back(at, &mut provider);
        self.taken(at, &format!("<domain> as provider {}", provider.name));
        self.base.providers.push(provider);
    }

    fn settings(&mut self, block: &Block<'_>, provider: &mut Provider) {
        for entry in &block.entries {
            let at = (entry.at.file, entry.at.line);
            let mut keyword = entry.keyword.to_ascii_lowercase();
            let mut value = entry.text().to_owned();
            if matches!(keyword.as_str(), "smtp-pattern-list" | "include")
                || keyword == "smtp-hosts" && !provider.rollups.is_empty()
            {
                continue;
            }
            let older = keyword.clone();
            if let Some(rate) = older.strip_suffix("max-msg-per-hour") {
                keyword = format!("{rate}max-msg-rate");
                value = if value == "unlimited" {
                    value
                } else {
                    format!("{value}/h")
                };
            } else if older == "max-rcpt-per-message" {
                "max-rcpt-per-transaction".clone_into(&mut keyword);
            }
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

    /// What goes into back-off comes out again.
    fn way_back(&mut self, at: (usize, u32), provider: &mut Provider) {
        let actions: Vec<_> = provider
            .replies
            .iter()
            .filter_map(|r| r.action.parsed())
            .collect();
        let ends = |provider: &Provider, keyword: &str| {
            provider
                .settings
                .get(keyword)
                .and_then(|text| parse_time(text))
                .is_some()
        };
        let delivery = provider
            .settings
            .get("backoff-to-normal-after-delivery")
            .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "yes" | "true"));
        let stuck = actions.iter().any(|a| a.backoff) && !actions.iter().any(|a| a.normal);
        if stuck && !delivery && !ends(provider, "backoff-to-normal-after") {
            let why = "queues went into back-off and stayed there";
            self.changed(at, "backoff-to-normal-after 2h", why);
            provider
                .settings
                .insert("backoff-to-normal-after".to_owned(), TWO_HOURS.to_owned());
        }
        let disabled = actions.iter().any(|a| a.disable_source && a.reenable == 0);
        if disabled && !ends(provider, "reenable-source-ip-after") {
            let why = "disabled addresses stayed disabled";
            self.changed(at, "reenable-source-ip-after 2h", why);
            provider
                .settings
                .insert("reenable-source-ip-after".to_owned(), TWO_HOURS.to_owned());
        }
    }

    fn rollups(&mut self) -> BTreeMap<String, Rollup> {
        let outline = self.outline;
        let mut rollups = BTreeMap::<String, Rollup>::new();
        for (_, block) in outline.sections(Scope::MxRollupList) {
            for entry in &block.entries {
                let at = (entry.at.file, entry.at.line);
                let (mx, queue) = entry.pair();
                let (mx, queue) = (mx.to_ascii_lowercase(), queue.to_ascii_lowercase());
                if !is_domain(&mx) || !queue.ends_with(".rollup") || !is_domain(&queue) {
                    self.dropped(at, "mx", "no host, or a queue that does not end in .rollup");
                    continue;
                }
                self.taken(at, &format!("mx {mx} {queue}"));
                let rollup = rollups.entry(queue.clone()).or_insert_with(|| Rollup {
                    queue,
                    mx: Vec::new(),
                    hosts: None,
                    by_ip: false,
                });
                rollup.by_ip |= entry.value.ends_with("rollup-by-ip");
                rollup.mx.push(mx);
            }
        }
        rollups
    }

    /// A name that no other provider of the base has.
    fn name(&self, tag: &str, everyone: bool) -> String {
        if everyone {
            return EVERYONE.to_owned();
        }
        let first = tag.split_whitespace().next().unwrap_or_default();
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        };
        let name: String = first
            .trim_matches(['$', '"'])
            .chars()
            .take(30)
            .map(plain)
            .collect();
        let taken =
            |name: &str| name == EVERYONE || self.base.providers.iter().any(|p| p.name == name);
        let mut unique = name.clone();
        let mut number = 2;
        while taken(&unique) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        unique
    }
}

fn macros<'a>(global: &Block<'a>) -> BTreeMap<&'a str, &'a str> {
    let cut = |value: &'a str| value.split_once(char::is_whitespace);
    global
        .all("domain-macro")
        .filter_map(|entry| cut(entry.value))
        .collect()
}

/// The domains that a pattern with macros stands for.
fn expand(word: &str, macros: &BTreeMap<&str, &str>, depth: usize, domains: &mut Vec<String>) {
    let Some((before, rest)) = word.split_once('$').filter(|_| depth < DEPTH) else {
        domains.push(word.to_lowercase());
        return;
    };
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let Some(list) = macros.get(name) else {
        domains.push(word.to_lowercase());
        return;
    };
    for part in list.split(',').map(str::trim) {
        if domains.len() >= MOST {
            return;
        }
        expand(
            &format!("{before}{part}{after}"),
            macros,
            depth + 1,
            domains,
        );
    }
}
