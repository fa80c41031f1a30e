//! `note-search`: nobody took the place of a listed identity, or not yet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::IpStatus;

use super::{breaker, tell_listed};
use crate::alerts::rules::{Line, Remedy};
use crate::command::Rejection;
use crate::command::refuse::{at_most, not_found};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::failover::breaker::Cause;
use crate::fleet::failover::{Brakes, Obstacle, SEARCH_MILLIS, obstacle, pauses_now};
use crate::state::{Ending, FleetState, ListingEvent, Search};

/// See [`Command::NoteSearch`](crate::command::Command::NoteSearch).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteSearch {
    /// Of which event.
    pub event: u64,
    /// Who was looked at and cannot be promoted, and why.
    pub unfit: BTreeMap<IpAddr, Line>,
}

impl Verb for NoteSearch {
    fn name(&self) -> &'static str {
        "note-search"
    }

    fn object(&self) -> String {
        format!("event {}", self.event)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("unfit", self.unfit.len(), Obstacle::NAMED)?;
        let Some(event) = state.failover.events.get(&self.event).cloned() else {
            return Err(not_found("event", &self.event, "event"));
        };
        let Search::Open { obstacle: told } = &event.search else {
            return Ok(Change::NONE);
        };
        let now = turn.now();
        let out = state.identities.get(&event.address);
        let is_out = out.is_some_and(|out| out.spec.status == IpStatus::Quarantine);
        let ending = match is_out {
            false => Some(Ending::Over),
            true if now.since(event.at) >= SEARCH_MILLIS => Some(Ending::TooLate),
            true => None,
        };
        let unfit = (!self.unfit.is_empty()).then(|| Obstacle::Unfit(self.unfit.clone()));
        let seen = obstacle(state, &event, &Brakes::of(state, now), now).or(unfit);
        if ending.is_none() && !is_to_be_said(told.as_ref(), seen.as_ref()) {
            return Ok(Change::NONE);
        }
        let is_news = seen
            .as_ref()
            .is_some_and(|seen| told.as_ref().is_none_or(|told| !told.is_like(seen)));
        let mut noted = ListingEvent::clone(&event);
        noted.search = match ending {
            Some(why) => Search::Ended {
                at: now,
                why,
                obstacle: seen.clone().or_else(|| told.clone()),
            },
            None => Search::Open {
                obstacle: seen.clone(),
            },
        };
        state.failover.insert(self.event, noted);
        if let Some(seen) = seen.filter(|_| is_news && ending.is_none()) {
            let why = Line::said(&seen);
            tell_listed(state, &event, Remedy::NoneLeft { why }, now);
            self.trip(state, &event, &seen, turn);
        }
        Ok(Change::DONE)
    }
}

/// Whether what stands in the way of a search now is something else than was said. That those who were looked at
/// do not fit is true until they are looked at again.
pub(crate) fn is_to_be_said(told: Option<&Obstacle>, seen: Option<&Obstacle>) -> bool {
    match (told, seen) {
        (Some(Obstacle::Unfit(_)), None) => false,
        (told, seen) => told != seen,
    }
}

impl NoteSearch {
    /// A tenant whose budget is spent goes on only when somebody says so.
    fn trip(&self, state: &mut FleetState, event: &ListingEvent, seen: &Obstacle, turn: &Turn<'_>) {
        let Obstacle::Spent(spent) = seen else {
            return;
        };
        let breaker = state.failover.breakers.get(&event.tenant);
        let released = breaker.and_then(|breaker| breaker.released.as_ref());
        let is_accepted = released.is_some_and(|word| self.event < word.events);
        if spent.is_tenants() && !is_accepted {
            let paused: BTreeSet<_> = pauses_now(state, &event.tenant, &BTreeMap::new());
            breaker::open(state, &event.tenant, (Cause::Budget, paused), turn.now());
        }
    }
}
