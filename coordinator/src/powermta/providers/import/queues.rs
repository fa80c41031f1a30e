//! Queues of several domains: those that MX hosts share, and those that domains are led to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::lint::{Block, Entry};
use super::super::super::schema::Scope;
use super::super::model::Rollup;
use super::Take;
use super::rest::shown_keyword;

/// Shared queues by name, with the places of their lines.
pub(super) type Queues = BTreeMap<String, (Rollup, Vec<(usize, u32)>)>;

/// A `<domain>` with the domains that it is about.
pub(super) struct Tag<'a, 'o> {
    pub(super) block: &'o Block<'a>,
    pub(super) domains: Vec<String>,
}

impl<'a> Tag<'a, '_> {
    /// The line that leads its mail to another queue.
    fn lead(&self) -> Option<&Entry<'a>> {
        let entry = self.block.last("queue-to");
        entry.filter(|entry| !entry.text().is_empty() && !self.domains.iter().any(|d| d == "*"))
    }
}

impl<'a, 'o> Take<'a, 'o> {
    /// Mail of a domain with `queue-to` waits in another queue, and goes as fast as the section of that
    /// queue says: what that section says is taken for the domain. One step, because whether a queue
    /// may lead on is documented nowhere.
    pub(super) fn led(&mut self, mut tags: Vec<Tag<'a, 'o>>) -> Vec<Tag<'a, 'o>> {
        let mut owners = BTreeMap::new();
        for (index, tag) in tags
            .iter()
            .enumerate()
            .filter(|(_, tag)| tag.lead().is_none())
        {
            owners.extend(tag.domains.iter().map(|domain| (domain.clone(), index)));
        }
        let target = |tag: &Tag<'_, '_>| {
            let entry = tag.lead()?;
            let queue = entry.text().to_ascii_lowercase();
            owners.get(&queue).map(|owner| (*owner, queue))
        };
        let moves: Vec<_> = tags.iter().map(target).collect();
        for (index, to) in moves.into_iter().enumerate() {
            if let Some((owner, queue)) = to {
                let domains = std::mem::take(&mut tags[index].domains);
                self.follows(tags[index].block, &queue);
                tags[owner].domains.extend(domains);
            }
        }
        tags.retain(|tag| !tag.domains.is_empty());
        tags
    }

    /// What becomes of the lines of a section whose mail waits in another queue.
    fn follows(&mut self, block: &Block<'_>, queue: &str) {
        let why = "its mail waits in another queue; its domains are with that queue's now";
        self.changed((block.at.file, block.at.line), "<domain>", why);
        for entry in &block.entries {
            let at = (entry.at.file, entry.at.line);
            if entry.is("queue-to") {
                let why =
                    "the mail waits in that queue, so its limits are those of the domains now";
                self.changed(at, &format!("queue-to {queue}"), why);
            } else if entry.is("include") {
                self.include(at);
            } else {
                let why = "the limits of the queue hold, not those of what is led to it";
                self.dropped(at, &shown_keyword(&entry.keyword.to_ascii_lowercase()), why);
            }
        }
    }

    pub(super) fn queues(&mut self) -> Queues {
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

    pub(super) fn queue_is_taken(&mut self, rollup: &Rollup, at: &[(usize, u32)]) -> bool {
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
