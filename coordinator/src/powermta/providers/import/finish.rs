//! Puts what was taken into one form, whatever order and sections it came in: then a configuration that
//! was rendered from a base gives the same base again.

use std::collections::BTreeSet;

use super::super::super::render::ALWAYS;
use super::super::super::schema::value::parse_time;
use super::super::model::{EVERYONE, Provider, Reply};
use super::Take;
use super::names::named_after;

const TWO_HOURS: &str = "2h";

/// A provider with the place that it comes from.
pub(super) struct Found {
    pub(super) at: (usize, u32),
    pub(super) provider: Provider,
    /// Whether it has a section.
    pub(super) tagged: bool,
}

impl Take<'_, '_> {
    pub(super) fn finish(&mut self, mut found: Vec<Found>) {
        // Everyone's rules stand behind those of each provider, so it comes first.
        found.sort_by_key(|found| found.provider.name != EVERYONE);
        let mut everyone = Provider {
            name: EVERYONE.to_owned(),
            ..Provider::default()
        };
        for Found {
            at,
            provider,
            tagged,
        } in &mut found
        {
            let shared = everyone.replies.clone();
            if !provider.is_everyone() {
                provider.replies = without_shared(std::mem::take(&mut provider.replies), &shared);
            }
            self.way_back(*at, provider, &everyone);
            self.named(*at, provider, *tagged);
            if provider.is_everyone() {
                everyone = provider.clone();
            }
        }
        let mut providers: Vec<Provider> = found.into_iter().map(|found| found.provider).collect();
        providers = join_queues(providers);
        for provider in &mut providers {
            if provider.is_everyone() {
                let said = |keyword: &str, value: &str| ALWAYS.contains(&(keyword, value));
                provider
                    .settings
                    .retain(|keyword, value| !said(keyword, value));
            }
            let prefix = provider.name.replace('_', "-");
            for (index, reply) in provider.replies.iter_mut().enumerate() {
                reply.id = format!("own-{prefix}-{}", index + 1);
            }
        }
        providers.retain(|p| !(p.is_everyone() && p.settings.is_empty() && p.replies.is_empty()));
        providers.sort_by(|a, b| a.name.cmp(&b.name));
        self.base.providers = providers;
    }

    /// A provider that says nothing would take its domains out of the catalogue, and with them what is
    /// known of their receiver: such domains are not taken.
    fn named(&mut self, at: (usize, u32), provider: &mut Provider, tagged: bool) {
        let silent = provider.settings.is_empty() && provider.replies.is_empty();
        if silent && !provider.is_everyone() && !provider.domains.is_empty() {
            let why = "nothing of it is left that everyone's rules do not say; what the catalogue \
                       knows of its domains holds";
            self.dropped(at, "<domain>", why);
            provider.domains.clear();
        } else if tagged {
            self.taken(at, &format!("<domain> as provider {}", provider.name));
        }
    }

    /// What goes into back-off comes out again.
    fn way_back(&mut self, at: (usize, u32), provider: &mut Provider, everyone: &Provider) {
        let replies = provider.replies.iter().chain(&everyone.replies);
        let actions: Vec<_> = replies.filter_map(|reply| reply.action.parsed()).collect();
        let value = |keyword: &str| {
            let own = provider.settings.get(keyword);
            own.or_else(|| everyone.settings.get(keyword))
        };
        let ends = |keyword: &str| value(keyword).and_then(|text| parse_time(text)).is_some();
        let delivery = value("backoff-to-normal-after-delivery")
            .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "yes" | "true"));
        let stuck = actions.iter().any(|a| a.backoff)
            && !actions.iter().any(|a| a.normal)
            && !delivery
            && !ends("backoff-to-normal-after");
        let disabled = actions.iter().any(|a| a.disable_source && a.reenable == 0)
            && !ends("reenable-source-ip-after");
        let mut set = |keyword: &str, why: &str| {
            self.changed(at, &format!("{keyword} {TWO_HOURS}"), why);
            let settings = &mut provider.settings;
            settings.insert(keyword.to_owned(), TWO_HOURS.to_owned());
        };
        if stuck {
            let why = "queues went into back-off and stayed there";
            set("backoff-to-normal-after", why);
        }
        if disabled {
            set(
                "reenable-source-ip-after",
                "disabled addresses stayed disabled",
            );
        }
    }
}

fn same(a: &Reply, b: &Reply) -> bool {
    a.pattern == b.pattern && a.action == b.action
}

/// The shortest list that is the same with everyone's rules behind it, of which none is said twice.
fn without_shared(mut list: Vec<Reply>, shared: &[Reply]) -> Vec<Reply> {
    let missing = |list: &[Reply]| -> Vec<Reply> {
        let said: BTreeSet<&str> = list.iter().map(|reply| reply.pattern.as_str()).collect();
        let rest = shared
            .iter()
            .filter(|reply| !said.contains(reply.pattern.as_str()));
        rest.cloned().collect()
    };
    let behind = missing(&list);
    list.extend(behind);
    let mut shortest = list.len();
    for length in (0..list.len()).rev() {
        if !shared.iter().any(|reply| same(reply, &list[length])) {
            break;
        }
        let rest = missing(&list[..length]);
        let whole = rest.len() == list.len() - length;
        if whole && rest.iter().zip(&list[length..]).all(|(a, b)| same(a, b)) {
            shortest = length;
        }
    }
    let whole = missing(&list[..shortest]).len() == list.len() - shortest;
    debug_assert!(whole, "what is left out is said behind it");
    list.truncate(shortest);
    list
}

/// A shared queue belongs to the provider that is treated alike: the one of its name, or the first.
fn join_queues(mut providers: Vec<Provider>) -> Vec<Provider> {
    providers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut loose = Vec::new();
    for provider in &mut providers {
        for rollup in std::mem::take(&mut provider.rollups) {
            loose.push(Provider {
                name: named_after(&rollup.queue),
                domains: Vec::new(),
                rollups: vec![rollup],
                ..provider.clone()
            });
        }
    }
    providers.retain(|provider| !provider.domains.is_empty());
    loose.sort_by(|a, b| a.name.cmp(&b.name));
    for queue in loose {
        let alike = |provider: &Provider| {
            !provider.is_everyone()
                && provider.settings == queue.settings
                && provider.replies.len() == queue.replies.len()
                && provider
                    .replies
                    .iter()
                    .zip(&queue.replies)
                    .all(|(a, b)| same(a, b))
        };
        let stem = queue.name.trim_end_matches("_rollup");
        let place = providers
            .iter()
            .position(|provider| provider.name == stem && alike(provider))
            .or_else(|| providers.iter().position(alike));
        match place {
            Some(place) => providers[place].rollups.extend(queue.rollups),
            None => providers.push(queue),
        }
    }
    let mut names = BTreeSet::new();
    for provider in &mut providers {
        let mut number = 2;
        let stem = provider.name.get(..33).unwrap_or(&provider.name).to_owned();
        while !names.insert(provider.name.clone()) {
            provider.name = format!("{stem}_{number}");
            number += 1;
        }
    }
    providers
}
