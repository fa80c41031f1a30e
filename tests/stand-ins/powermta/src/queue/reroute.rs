//! Queues that send their mail on to the queue of another virtual MTA.

use std::sync::Arc;

use super::item::Item;
use super::key::QueueKey;
use super::one::Mode;
use super::queues::Queues;
use crate::config::Config;

impl Queues {
    /// Moves what waits in a queue that names another virtual MTA, or does so in its back-off.
    ///
    /// Where the ways lead round, mail stays in the last queue before the way closes.
    pub(super) fn reroute(&mut self, config: &Config) {
        let with_mail = self.all.iter().filter(|(_, queue)| {
            let mut waiting = queue.items.iter();
            waiting.any(|item| !item.looped)
        });
        let keys: Vec<_> = with_mail.map(|(key, _)| key.clone()).collect();
        for key in keys {
            let Some((to, looped)) = self.way(config, &key) else {
                continue;
            };
            if looped {
                let what = format!("reroutes of queue {key} lead round; its mail stays in {to}");
                self.faults.push(what);
            }
            for item in self.movable(&key) {
                let mut envelope = (*item.envelope).clone();
                envelope.vmta.clone_from(&to.vmta);
                let item = Item {
                    envelope: Arc::new(envelope),
                    looped,
                    ..item
                };
                self.push(config, to.clone(), item);
            }
        }
    }

    fn movable(&mut self, key: &QueueKey) -> Vec<Item> {
        let Some(queue) = self.all.get_mut(key) else {
            return Vec::new();
        };
        let items = std::mem::take(&mut queue.items);
        let (stay, go): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.looped);
        queue.items = stay.into();
        go
    }

    /// Where mail of a queue ends, and whether the way leads round.
    fn way(&self, config: &Config, key: &QueueKey) -> Option<(QueueKey, bool)> {
        let mut passed = vec![key.clone()];
        while let Some(next) = self.onward(config, passed.last()?) {
            if passed.contains(&next) {
                return passed.pop().map(|last| (last, true));
            }
            passed.push(next);
        }
        let end = passed.pop()?;
        (end != *key).then_some((end, false))
    }

    /// A reroute to the queue's own virtual MTA is none.
    fn onward(&self, config: &Config, key: &QueueKey) -> Option<QueueKey> {
        let settings = config.domain_settings(&key.domain, &key.vmta);
        let in_backoff = self
            .all
            .get(key)
            .is_some_and(|queue| queue.mode == Mode::Backoff);
        let named = |name: &str| Some(settings.text(name)).filter(|text| !text.is_empty());
        let name = in_backoff
            .then(|| named("backoff-reroute-to-virtual-mta"))
            .flatten()
            .or_else(|| named("reroute-to-virtual-mta"))?;
        let vmta = config.virtual_mtas.get(&name.to_lowercase())?.name.clone();
        (!vmta.eq_ignore_ascii_case(&key.vmta)).then(|| QueueKey {
            domain: key.domain.clone(),
            vmta,
        })
    }
}
