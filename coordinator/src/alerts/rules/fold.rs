//! What counts as the same once more, and what ends.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{AlertKind, DeliveryState, Occasion};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

use super::{AlertSubject, Event, Line};
use crate::state::{Alert, Alerts, Delivery, FleetState};

/// One is told at most once in so long.
pub const FOLD_MILLIS: u64 = Timestamp::HOUR;
/// A state that goes on is told again after so long.
pub const REMIND_MILLIS: u64 = Timestamp::DAY;
/// How long what gathers is waited for.
const GATHER_MILLIS: u64 = 60 * Timestamp::SECOND;
/// Most alerts that are kept. Those that are over and told go first, the oldest of them.
pub const ALERTS: usize = 10_000;

/// What alerts share that are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AlertKey {
    /// What happened.
    pub kind: AlertKind,
    /// To what.
    pub subject: AlertSubject,
    /// Why, where one kind knows several.
    pub cause: Line,
}

/// What becomes of something that is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It is counted at the one that is there.
    Count(u64),
    /// One that ended before anybody was told goes on.
    Reopen(u64),
    /// It is told, not before this.
    Tell(Timestamp),
}

impl FleetState {
    /// Something happened, and people are told: the number of the alert when it is a new one.
    pub(crate) fn raise(&mut self, event: Event, now: Timestamp) -> Option<u64> {
        let tenant = event.subject().tenant(self);
        self.alerts.raise(event, tenant, now)
    }

    /// Whether raising it would tell anybody anything new.
    #[must_use]
    pub fn is_news(&self, key: &AlertKey, now: Timestamp) -> bool {
        let tenant = key.subject.tenant(self);
        let course = self.alerts.course(key, tenant.as_ref(), now);
        !matches!(course, Course::Count(_))
    }

    /// Something is over.
    pub(crate) fn resolve(&mut self, key: &AlertKey, now: Timestamp) -> bool {
        self.alerts.resolve(key, now)
    }
}

impl Alerts {
    /// Whether it was raised and goes on.
    #[must_use]
    pub fn is_open(&self, key: &AlertKey) -> bool {
        let last = self.last.get(key).and_then(|id| self.rows.get(id));
        last.is_some_and(|row| row.is_open())
    }

    /// Whether it was raised within a day, for what goes on without an end that anybody sees.
    #[must_use]
    pub fn was_raised(&self, key: &AlertKey, now: Timestamp) -> bool {
        let last = self.last.get(key).and_then(|id| self.rows.get(id));
        last.is_some_and(|row| now.since(row.raised_at) < REMIND_MILLIS)
    }

    fn course(&self, key: &AlertKey, tenant: Option<&TenantId>, now: Timestamp) -> Course {
        let last = self.last.get(key);
        let Some((id, row)) = last.and_then(|id| Some((*id, self.rows.get(id)?))) else {
            return Course::Tell(now);
        };
        let window = if key.kind.resolves() {
            REMIND_MILLIS
        } else {
            FOLD_MILLIS
        };
        let still_quiet = row.silenced_by.is_none_or(|silence| {
            let silence = self.silences.get(&silence);
            silence.is_some_and(|silence| silence.until > now)
        });
        match row.resolved_at {
            // An address that was another's: what happens to it now is not that one's to know.
            _ if row.tenant.as_ref() != tenant => Course::Tell(now),
            None if now.since(row.raised_at) < window && still_quiet => Course::Count(id),
            Some(_) if row.is_untold() => Course::Reopen(id),
            Some(_) if now.since(row.raised_at) < FOLD_MILLIS => {
                Course::Tell(row.raised_at.plus(FOLD_MILLIS))
            }
            _ => Course::Tell(now),
        }
    }

    /// Likewise, of something whose owner is known.
    pub(crate) fn raise(
        &mut self,
        event: Event,
        tenant: Option<TenantId>,
        now: Timestamp,
    ) -> Option<u64> {
        let key = event.key();
        match self.course(&key, tenant.as_ref(), now) {
            Course::Count(id) => {
                self.change(id, |row| {
                    row.count = row.count.saturating_add(1);
                    row.last_at = now;
                    row.event.fold(event);
                });
                None
            }
            Course::Reopen(id) => {
                self.change(id, |row| {
                    row.count = row.count.saturating_add(1);
                    row.last_at = now;
                    row.resolved_at = None;
                    row.event.fold(event);
                    let told_from = row.told_from.max(now);
                    for delivery in row.deliveries.values_mut() {
                        (delivery.state, delivery.at) = (DeliveryState::Waiting, told_from);
                    }
                });
                Some(id)
            }
            Course::Tell(from) => Some(self.tell(key, event, tenant, (from, now))),
        }
    }

    /// A new alert, with a delivery for each channel that is to have it.
    fn tell(
        &mut self,
        key: AlertKey,
        event: Event,
        tenant: Option<TenantId>,
        (from, now): (Timestamp, Timestamp),
    ) -> u64 {
        let told_from = match event.gathers() {
            true => from.plus(GATHER_MILLIS),
            false => from,
        };
        let silenced_by = self.silenced(&key, tenant.as_ref(), now);
        let channels = match silenced_by {
            Some(_) => Vec::new(),
            None => self.channels_for(&event, tenant.as_ref()),
        };
        let deliveries = channels.into_iter().map(|channel| {
            let delivery = Delivery::waiting(told_from);
            ((channel, Occasion::Raised), delivery)
        });
        let row = Alert {
            event,
            tenant,
            raised_at: now,
            last_at: now,
            count: 1,
            told_from,
            resolved_at: None,
            silenced_by,
            deliveries: deliveries.collect(),
        };
        let id = self.next;
        self.next += 1;
        // One that it succeeds is over: this one goes on in its place.
        if let Some(before) = self.last.insert(key, id) {
            self.change(before, |row| {
                if row.is_open() {
                    row.resolved_at = Some(now);
                }
            });
        }
        self.insert(id, row);
        self.evict();
        id
    }

    /// It is over: whoever was told that it is so is told that too. What nobody was to be told yet, nobody
    /// is told at all.
    pub(super) fn resolve(&mut self, key: &AlertKey, now: Timestamp) -> bool {
        let Some(id) = self.last.get(key).copied() else {
            return false;
        };
        let is_open = self.rows.get(&id).is_some_and(|row| row.is_open());
        if is_open {
            self.change(id, |row| end(row, now));
        }
        is_open
    }

    fn evict(&mut self) {
        while self.rows.len() > ALERTS {
            let first = self.settled.first().copied();
            let Some(oldest) = first.or_else(|| self.rows.keys().next().copied()) else {
                return;
            };
            self.remove(oldest);
        }
    }

    /// Changes one, and what follows from it.
    pub(crate) fn change(&mut self, id: u64, change: impl FnOnce(&mut Alert)) {
        if let Some(row) = self.take(id) {
            let mut row = Arc::unwrap_or_clone(row);
            change(&mut row);
            self.insert(id, row);
        }
    }
}

fn end(row: &mut Alert, now: Timestamp) {
    row.resolved_at = Some(now);
    if row.told_from > now {
        for delivery in row.deliveries.values_mut() {
            (delivery.state, delivery.at) = (DeliveryState::Dropped, now);
        }
        return;
    }
    let told = row.deliveries.iter();
    let told = told.filter(|(_, delivery)| delivery.state != DeliveryState::GivenUp);
    let channels: Vec<_> = told.map(|((channel, _), _)| channel.clone()).collect();
    for channel in channels {
        let over = (channel, Occasion::Resolved);
        row.deliveries
            .entry(over)
            .or_insert_with(|| Delivery::waiting(now));
    }
}
