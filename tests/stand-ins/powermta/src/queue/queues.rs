//! All queues, and which of them gets a connection next.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::item::{Batch, Item, ORDINARY};
use super::key::QueueKey;
use super::limits;
use super::one::{Mode, Queue, millis};
use super::window::Flow;
use crate::config::{Config, Layered};
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
    /// What goes wrong without anybody to tell it to; the log's.
    pub(crate) faults: Vec<String>,
    vmtas: BTreeMap<String, Flow>,
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
            let settings = config.domain_settings(&key.domain, &key.vmta);
            let at_once = settings.flag("retry-upon-new-mail");
            let item = Item {
                envelope: Arc::clone(envelope),
                index,
                due: now,
                attempts: recipient.attempts,
                priority: ORDINARY,
                looped: false,
            };
            let queue = self.push(config, key, item);
            if at_once {
                queue.retry_at = None;
            }
        }
    }

    /// Puts one recipient into a queue, which gets its type with its first mail.
    pub(crate) fn push(&mut self, config: &Config, key: QueueKey, item: Item) -> &mut Queue {
        let kind = config.domain_settings(&key.domain, &key.vmta).text("type");
        let queue = self.all.entry(key).or_default();
        if queue.recipients() == 0 {
            queue.kind = kind;
        }
        queue.items.push_back(item);
        queue
    }

    /// Connections to open now, and when to look again.
    pub(crate) fn assign(&mut self, config: &Config, now: i64) -> (Vec<Assignment>, Option<i64>) {
        self.reroute(config);
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
            let busy = self.open_to(&key.domain);
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
            match next_source(queue, &settings, config, &key, &busy, now) {
                Ok((source, helo)) => {
                    queue.opened(source, now);
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

    /// Connections of each address to a domain, whichever virtual MTA has them.
    fn open_to(&self, domain: &str) -> BTreeMap<IpAddr, usize> {
        let mut open = BTreeMap::new();
        let queues = self.all.iter().filter(|(key, _)| key.domain == domain);
        for (source, count) in queues.flat_map(|(_, queue)| &queue.open) {
            *open.entry(*source).or_default() += count;
        }
        open
    }

    fn vmta_free_at(&mut self, config: &Config, vmta: &str, now: i64) -> i64 {
        let rates = limits::rates_of_vmta(config, vmta);
        self.vmta(vmta).message_at(rates, now)
    }

    fn vmta(&mut self, vmta: &str) -> &mut Flow {
        self.vmtas.entry(vmta.to_lowercase()).or_default()
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
        let of_vmta = limits::rates_of_vmta(config, &key.vmta);
        let mut free = self.vmta(&key.vmta).message_at(of_vmta, now);
        let left = self.vmta(&key.vmta).messages.left(of_vmta.messages);
        let Some(queue) = self.all.get_mut(key) else {
            return Taken::Nothing;
        };
        queue.refresh(&settings, now);
        let off = queue.paused
            || queue.retry_at.is_some_and(|at| at > now)
            || source.is_some_and(|source| queue.disabled.contains_key(&source));
        let rates = limits::rates(queue, &settings);
        free = free.max(queue.flow.message_at(rates, now));
        // Attempts count: a batch never takes more than a rate leaves.
        let mut most = limits::most_recipients(&settings)
            .min(left)
            .min(queue.flow.messages.left(rates.messages));
        if let Some(source) = source {
            let rates = limits::rates_of_source(&settings, source);
            let flow = queue.by_source.entry(source).or_default();
            free = free.max(flow.message_at(rates, now));
            most = most.min(flow.messages.left(rates.messages));
        }
        if off || free > now {
            return Taken::Nothing;
        }
        let Some(batch) = queue.take(now, most) else {
            return Taken::Nothing;
        };
        let count = batch.items.len() as u64;
        self.each_flow(key, source, |flow| flow.messages.note(now, count));
        Taken::Batch(batch)
    }

    /// Counts what was transferred.
    pub(crate) fn transferred(
        &mut self,
        key: &QueueKey,
        source: Option<IpAddr>,
        bytes: u64,
        now: i64,
    ) {
        self.each_flow(key, source, |flow| flow.volume.note(now, bytes));
    }

    /// What goes out counts for the queue, for its address and for its virtual MTA.
    fn each_flow(&mut self, key: &QueueKey, source: Option<IpAddr>, count: impl Fn(&mut Flow)) {
        if let Some(queue) = self.all.get_mut(key) {
            count(&mut queue.flow);
            if let Some(source) = source {
                count(queue.by_source.entry(source).or_default());
            }
        }
        count(self.vmta(&key.vmta));
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
    pub(crate) fn closed(&mut self, key: &QueueKey, source: Option<IpAddr>) {
        if let Some(queue) = self.all.get_mut(key) {
            queue.closed(source);
        }
    }

    /// Every host has as many connections as it may: none is tried before a time or a [`Self::release`].
    pub(crate) fn hold(&mut self, key: &QueueKey, why: &str, until: i64) {
        if let Some(queue) = self.all.get_mut(key) {
            queue.hold = Some(until);
            why.clone_into(&mut queue.last_error);
        }
    }

    /// A host has a connection less.
    pub(crate) fn release(&mut self) {
        self.all.values_mut().for_each(|queue| queue.hold = None);
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

/// Round robin over the addresses that are on and within their own limits; else when to look again.
fn next_source(
    queue: &mut Queue,
    settings: &Layered<'_>,
    config: &Config,
    key: &QueueKey,
    busy: &BTreeMap<IpAddr, usize>,
    now: i64,
) -> Result<(Option<IpAddr>, String), Option<i64>> {
    let own_name = || {
        config
            .host_names
            .first()
            .cloned()
            .unwrap_or_else(|| "localhost".to_owned())
    };
    let pause = settings.time("smtp-out-rampup-interval").map_or(0, millis);
    let next = queue.last_connect.map_or(now, |last| last + pause);
    let rates = limits::rates(queue, settings);
    let free = queue.flow.connection_at(rates, now).max(next);
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
        let open = busy.get(&address).copied().unwrap_or_default();
        // Who has too many is looked at again when one of them is closed.
        if queue.disabled.contains_key(&address)
            || open >= limits::most_of_source(settings, address)
        {
            continue;
        }
        let rates = limits::rates_of_source(settings, address);
        let flow = queue.by_source.entry(address).or_default();
        let at = flow.connection_at(rates, now);
        if at > now {
            earliest = Some(earliest.map_or(at, |known| known.min(at)));
            continue;
        }
        queue.cursor = (queue.cursor + step + 1) % addresses.len();
        return Ok((Some(address), host.host.clone()));
    }
    Err(earliest)
}
