//! One queue: its items, mode, pauses and sources that are off.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::item::{Batch, Item};
use super::window::Flow;
use crate::config::Layered;

/// Events that `show queues` lists.
const MOST_EVENTS: usize = 50;

/// How a queue is worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Normal,
    Backoff,
}

/// A queue `domain/vmta`.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) items: VecDeque<Item>,
    /// Taken by a connection and not yet decided.
    pub(crate) in_flight: usize,
    /// `type` when its first mail came: a change waits until the queue is empty or a restart.
    pub(crate) kind: String,
    pub(crate) connections: usize,
    pub(crate) mode: Mode,
    pub(crate) backoff_since: Option<i64>,
    pub(crate) paused: bool,
    pub(crate) retry_at: Option<i64>,
    pub(crate) retries: usize,
    pub(crate) last_error: String,
    /// Off until a time, or until enabled by hand.
    pub(crate) disabled: BTreeMap<IpAddr, Option<i64>>,
    pub(crate) events: VecDeque<String>,
    pub(super) flow: Flow,
    pub(super) by_source: BTreeMap<IpAddr, Flow>,
    /// Open connections of each address.
    pub(super) open: BTreeMap<IpAddr, usize>,
    pub(super) last_connect: Option<i64>,
    /// No connection before this time, or before somebody else's ends.
    pub(super) hold: Option<i64>,
    pub(super) cursor: usize,
}

impl Queue {
    pub(crate) fn recipients(&self) -> usize {
        self.items.len() + self.in_flight
    }

    pub(crate) fn kilobytes(&self) -> f64 {
        let bytes: usize = self.items.iter().map(|item| item.envelope.size).sum();
        f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1024.0
    }

    pub(crate) fn event(&mut self, text: String) {
        self.events.push_front(text);
        self.events.truncate(MOST_EVENTS);
    }

    /// Goes back to normal by time, and lets sources come back.
    pub(crate) fn refresh(&mut self, settings: &Layered<'_>, now: i64) {
        if let (Mode::Backoff, Some(since), Some(after)) = (
            self.mode,
            self.backoff_since,
            settings.time("backoff-to-normal-after"),
        ) && since.saturating_add(millis(after)) <= now
        {
            self.set_mode(Mode::Normal, now);
        }
        self.disabled
            .retain(|_, until| until.is_none_or(|until| until > now));
    }

    /// A connection begins.
    pub(super) fn opened(&mut self, source: Option<IpAddr>, now: i64) {
        self.connections += 1;
        self.last_connect = Some(now);
        self.flow.connects.note(now, 1);
        if let Some(source) = source {
            *self.open.entry(source).or_default() += 1;
            let own = self.by_source.entry(source).or_default();
            own.connects.note(now, 1);
        }
    }

    /// A connection is over.
    pub(super) fn closed(&mut self, source: Option<IpAddr>) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(open) = source.and_then(|source| self.open.get_mut(&source)) {
            *open = open.saturating_sub(1);
        }
    }

    pub(crate) fn set_mode(&mut self, mode: Mode, now: i64) {
        if self.mode != mode {
            self.mode = mode;
            self.backoff_since = (mode == Mode::Backoff).then_some(now);
        }
    }

    /// When the first item may be tried; `None` when there is none or all wait for a word.
    pub(crate) fn due_at(&self) -> Option<i64> {
        if self.paused {
            return None;
        }
        let first = self.items.iter().map(|item| item.due).min()?;
        // An absent time is before every other.
        self.retry_at.max(self.hold).max(Some(first))
    }

    /// A connection that finds no message of its own would be opened for nothing.
    pub(crate) fn messages_due(&self, now: i64) -> usize {
        let due = self.items.iter().filter(|item| item.due <= now);
        let ids: BTreeSet<_> = due.map(|item| item.envelope.id).collect();
        ids.len()
    }

    /// Takes the next message with all its recipients that are due, up to a number.
    pub(crate) fn take(&mut self, now: i64, most: usize) -> Option<Batch> {
        let due = self
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.due <= now);
        // Of equal ones the first is kept, which is the oldest.
        let (first, _) = due.min_by_key(|(_, item)| Reverse(item.priority))?;
        let id = self.items[first].envelope.id;
        let mut items = Vec::new();
        let mut at = 0;
        while at < self.items.len() && items.len() < most.max(1) {
            let wanted = self.items[at].envelope.id == id && self.items[at].due <= now;
            if wanted {
                items.extend(self.items.remove(at));
            } else {
                at += 1;
            }
        }
        self.in_flight += items.len();
        Some(Batch { items })
    }
}

/// Times of the configuration are never so long that this matters.
pub(crate) fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
