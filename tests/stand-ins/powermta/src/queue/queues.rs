//! All queues, and which of them gets a connection next.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::item::{Batch, Item};
use super::key::QueueKey;
use super::limits;
use super::one::{Mode, Queue, millis};
use super::window::Window;
use crate::config::{Config, Layered, Rate};
use crate::spool::Envelope;

/// A connection to be opened for a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) key: QueueKey,
    /// Absent when nothing but the system's own choice is left.
    pub(crate) source: Option<IpAddr>,
    /// What is said in EHLO.
    pub(crate) helo: String,
}

/// What a connection gets when it asks for more.
#[derive(Debug)]
pub(crate) enum Taken {
    Batch(Batch),
    /// Nothing to do on this connection.
    Nothing,
}

/// Every queue, and the limits that span them.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    pub(crate) all: BTreeMap<QueueKey, Queue>,
    vmta_messages: BTreeMap<String, Window>,
    vmta_volume: BTreeMap<String, Window>,
}

impl Queues {
    /// Puts every recipient that is not done into its queue.
    pub(crate) fn enqueue(&mut self, config: &Config, envelope: &Arc<Envelope>, now: i64) {
        for (index, recipient) in envelope.recipients.iter().enumerate() {
            if recipient.done {
                continue;
            }
            let key = QueueKey {
                domain: recipient.queue.clone(),
                vmta: envelope.vmta.clone(),
            };
            let kind = config.domain_settings(&key.domain, &key.vmta).text("type");
            let queue = self.all.entry(key).or_default();
            if queue.recipients() == 0 {
                queue.kind = kind;
            }
            queue.items.push_back(Item {
                envelope: Arc::clone(envelope),
                index,
                due: now,
                attempts: recipient.attempts,
            });
        }
    }

    /// Connections to open now, and when to look again.
    pub(crate) fn assign(&mut self, config: &Config, now: i64) -> (Vec<Assignment>, Option<i64>) {
        let mut assigned = Vec::new();
        let mut wake: Option<i64> = None;
        let mut later = |at: i64| wake = Some(wake.map_or(at, |earlier| earlier.min(at)));
        let most = config
            .settings
            .count("total-max-smtp-out")
            .flatten()
            .unwrap_or(1_200);
        let mut total = self.connections(|_| true);
        let keys: Vec<_> = self.all.keys().cloned().collect();
        for key in keys {
            let per_vmta = self.connections(|other| other.vmta == key.vmta);
            let vmta_limit = config
                .virtual_mtas
                .get(&key.vmta.to_lowercase())
                .and_then(|vmta| vmta.settings.count("max-smtp-out").flatten());
            let full = u64::try_from(total).unwrap_or(u64::MAX) >= most
                || vmta_limit.is_some_and(|limit| per_vmta as u64 >= limit);
            let settings = config.domain_settings(&key.domain, &key.vmta);
            let free = self.vmta_free_at(config, &key.vmta, now);
            let Some(queue) = self.all.get_mut(&key) else {
                continue;
            };
            queue.refresh(&settings, now);
            let Some(due) = queue.due_at() else { continue };
            if due.max(free) > now {
                later(due.max(free));
                continue;
            }
            let most_here = limits::most_connections(queue, &settings).min(queue.messages_due(now));
            if full || queue.connections >= most_here {
                continue;
            }
            match next_source(queue, &settings, config, &key, now) {
                Ok((source, helo)) => {
                    queue.connections += 1;
                    queue.connects.note(now, 1);
                    total += 1;
                    assigned.push(Assignment { key, source, helo });
                }
                Err(Some(at)) => later(at),
                Err(None) => {}
            }
        }
        (assigned, wake)
    }

    fn connections(&self, meant: impl Fn(&QueueKey) -> bool) -> usize {
        let counted = self.all.iter().filter(|(key, _)| meant(key));
        counted.map(|(_, queue)| queue.connections).sum()
    }

    fn vmta_free_at(&mut self, config: &Config, vmta: &str, now: i64) -> i64 {
        let Some(own) = config.virtual_mtas.get(&vmta.to_lowercase()) else {
            return now;
        };
        let messages = own
            .settings
            .rate("max-smtp-msg-rate")
            .unwrap_or(Rate::UNLIMITED);
        let volume = own
            .settings
            .rate("max-smtp-data-volume-rate")
            .unwrap_or(Rate::UNLIMITED);
        let first = self
            .vmta_messages
            .entry(own.name.clone())
            .or_default()
            .free_at(messages, now);
        let second = self
            .vmta_volume
            .entry(own.name.clone())
            .or_default()
            .free_at(volume, now);
        first.max(second)
    }

    /// The next message for a connection of this queue.
    pub(crate) fn take(
        &mut self,
        config: &Config,
        key: &QueueKey,
        source: Option<IpAddr>,
        now: i64,
    ) -> Taken {
        let settings = config.domain_settings(&key.domain, &key.vmta);
        let vmta_free = self.vmta_free_at(config, &key.vmta, now);
        let Some(queue) = self.all.get_mut(key) else {
            return Taken::Nothing;
        };
        queue.refresh(&settings, now);
        let off = queue.paused
            || queue.retry_at.is_some_and(|at| at > now)
            || source.is_some_and(|source| queue.disabled.contains_key(&source));
        let rate = limits::rate(queue, &settings, "max-msg-rate");
        if off || vmta_free > now || queue.messages.free_at(rate, now) > now {
            return Taken::Nothing;
        }
        let most = settings
            .count("max-rcpt-per-message")
            .filter(|&count| count > 0)
            .map_or(usize::MAX, |count| {
                usize::try_from(count).unwrap_or(usize::MAX)
            })
            // Attempts count: a batch never takes more than the rate leaves.
            .min(if rate.limit.is_some() { 1 } else { usize::MAX });
        let Some(batch) = queue.take(now, most) else {
            return Taken::Nothing;
        };
        let count = batch.items.len() as u64;
        queue.messages.note(now, count);
        if let Some(source) = source {
            queue.by_source.entry(source).or_default().note(now, count);
        }
        self.vmta_messages
            .entry(vmta_name(config, key))
            .or_default()
            .note(now, count);
        Taken::Batch(batch)
    }

    /// Counts what was transferred.
    pub(crate) fn transferred(&mut self, config: &Config, key: &QueueKey, bytes: u64, now: i64) {
        if let Some(queue) = self.all.get_mut(key) {
            queue.volume.note(now, bytes);
        }
        self.vmta_volume
            .entry(vmta_name(config, key))
            .or_default()
            .note(now, bytes);
    }

    /// Puts an undecided recipient back.
    pub(crate) fn put_back(&mut self, key: &QueueKey, mut item: Item, due: i64, attempted: bool) {
        let queue = self.all.entry(key.clone()).or_default();
        queue.in_flight = queue.in_flight.saturating_sub(1);
        item.due = due;
        item.attempts += u32::from(attempted);
        queue.items.push_back(item);
    }

    /// A recipient is done.
    pub(crate) fn done(&mut self, key: &QueueKey) {
        if let Some(queue) = self.all.get_mut(key) {
            queue.in_flight = queue.in_flight.saturating_sub(1);
        }
    }

    /// A connection is over.
    pub(crate) fn closed(&mut self, key: &QueueKey) {
        if let Some(queue) = self.all.get_mut(key) {
            queue.connections = queue.connections.saturating_sub(1);
        }
    }

    /// The whole queue waits: no connection could be had, or the receiver said so.
    pub(crate) fn defer(&mut self, config: &Config, key: &QueueKey, error: &str, now: i64) {
        let settings = config.domain_settings(&key.domain, &key.vmta);
        let Some(queue) = self.all.get_mut(key) else {
            return;
        };
        let steps = settings.times(match queue.mode {
            Mode::Normal => "retry-after",
            Mode::Backoff => "backoff-retry-after",
        });
        let step = steps
            .get(queue.retries)
            .or_else(|| steps.last())
            .copied()
            .unwrap_or_default();
        queue.retries += 1;
        queue.retry_at = Some(now.saturating_add(millis(step)));
        error.clone_into(&mut queue.last_error);
    }

    /// Something arrived: the queue's own patience starts anew.
    pub(crate) fn delivered(&mut self, config: &Config, key: &QueueKey, now: i64) {
        let settings = config.domain_settings(&key.domain, &key.vmta);
        let Some(queue) = self.all.get_mut(key) else {
            return;
        };
        queue.retries = 0;
        queue.retry_at = None;
        queue.last_error.clear();
        if queue.mode == Mode::Backoff && settings.flag("backoff-to-normal-after-delivery") {
            queue.set_mode(Mode::Normal, now);
        }
    }

    /// Puts one recipient into a queue.
    pub(crate) fn push(&mut self, key: QueueKey, item: Item) {
        self.all.entry(key).or_default().items.push_back(item);
    }

    /// Takes everything that waits out of the queues that are meant; each is then as if a
    /// connection had taken it, to be decided or put back.
    pub(crate) fn drain(
        &mut self,
        meant: impl Fn(&QueueKey, &Item) -> bool,
    ) -> Vec<(QueueKey, Item)> {
        let mut taken = Vec::new();
        for (key, queue) in &mut self.all {
            let (out, stay): (Vec<Item>, Vec<Item>) =
                queue.items.drain(..).partition(|item| meant(key, item));
            queue.items = stay.into();
            queue.in_flight += out.len();
            taken.extend(out.into_iter().map(|item| (key.clone(), item)));
        }
        taken
    }
}

fn vmta_name(config: &Config, key: &QueueKey) -> String {
    config
        .virtual_mtas
        .get(&key.vmta.to_lowercase())
        .map_or_else(|| key.vmta.clone(), |vmta| vmta.name.clone())
}

/// Round robin over the addresses that are on and within their own limits; else when to look again.
fn next_source(
    queue: &mut Queue,
    settings: &Layered<'_>,
    config: &Config,
    key: &QueueKey,
    now: i64,
) -> Result<(Option<IpAddr>, String), Option<i64>> {
    let own_name = || {
        config
            .host_names
            .first()
            .cloned()
            .unwrap_or_else(|| "localhost".to_owned())
    };
    let connect_rate = limits::rate(queue, settings, "max-connect-rate");
    let message_rate = limits::rate(queue, settings, "max-msg-rate");
    let volume_rate = limits::rate(queue, settings, "max-data-volume-rate");
    let free = queue
        .connects
        .free_at(connect_rate, now)
        .max(queue.messages.free_at(message_rate, now))
        .max(queue.volume.free_at(volume_rate, now));
    if free > now {
        return Err(Some(free));
    }
    let addresses = limits::addresses(limits::sources(config, &key.vmta));
    if addresses.is_empty() {
        return Ok((None, own_name()));
    }
    let mut earliest: Option<i64> = queue.disabled.values().flatten().min().copied();
    for step in 0..addresses.len() {
        let (address, host) = addresses[(queue.cursor + step) % addresses.len()];
        if queue.disabled.contains_key(&address) {
            continue;
        }
        let rate = settings
            .rate_of_source("source-ip-max-msg-rate", address)
            .unwrap_or(Rate::UNLIMITED);
        let at = queue
            .by_source
            .entry(address)
            .or_default()
            .free_at(rate, now);
        if at > now {
            earliest = Some(earliest.map_or(at, |known| known.min(at)));
            continue;
        }
        queue.cursor = (queue.cursor + step + 1) % addresses.len();
        return Ok((Some(address), host.host.clone()));
    }
    Err(earliest)
}
