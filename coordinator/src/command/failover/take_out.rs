//! `take-out`: entry 1 of a failover.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Cause, IpStatus};

use super::{breaker, tell_listed};
use crate::alerts::rules::Remedy;
use crate::command::Rejection;
use crate::command::identity::walk;
use crate::command::refuse::not_found;
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::failover::{Brakes, Complaints, opens, taken_out_by};
use crate::fleet::lifecycle::{Event, Preflight};
use crate::state::{FleetState, ListingEvent, ListingHit, Search};

/// See [`Command::TakeOut`](crate::command::Command::TakeOut). Which lists have it is read here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeOut {
    /// Which identity.
    pub address: IpAddr,
}

impl Verb for TakeOut {
    fn name(&self) -> &'static str {
        "take-out"
    }

    fn object(&self) -> String {
        format!("ip {}", self.address)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(identity) = state.identities.get(&self.address).cloned() else {
            return Err(not_found("address", &self.address, "identity"));
        };
        let now = turn.now();
        let listed = taken_out_by(state, &identity, &Brakes::of(state, now), now);
        if listed.is_empty() {
            return Ok(Change::NONE);
        }
        let hits = listed.iter().map(|(list, row)| {
            let hit = ListingHit {
                codes: row.codes.clone(),
                class: row.class,
                meaning: row.meaning.clone(),
            };
            ((*list).clone(), hit)
        });
        let was_sending = matches!(identity.spec.status, IpStatus::Active | IpStatus::Warming);
        let mut event = ListingEvent {
            address: self.address,
            domain: identity.spec.domain.clone(),
            tenant: identity.spec.tenant.clone(),
            purpose: identity.spec.purpose,
            lists: hits.collect(),
            at: now,
            revision: state.revision + 1,
            // What a breaker or a line holds back is lost all the same.
            lost: if was_sending {
                identity.warmup.reached
            } else {
                0
            },
            search: Search::NothingLost,
        };
        let lists: BTreeSet<String> = event.lists.keys().map(ToString::to_string).collect();
        let step = Event::Quarantine { lists };
        // Whoever is taken out is asked for nothing.
        let preflight = Preflight::default();
        let way = (&step, &preflight, Cause::Quarantined);
        let Some(mut out) = walk(state, (*identity).clone(), way, turn)? else {
            return Ok(Change::NONE);
        };
        // It is out: what slowed it counts no more, and does not when it comes back.
        out.restraint.slowed = None;
        out.restraint.held.clear();
        state.identities.insert(self.address, Arc::new(out));
        let mut remedy = Remedy::NothingLost;
        if was_sending {
            remedy = Remedy::Searching;
            event.search = Search::Open { obstacle: None };
        }
        tell_listed(state, &event, remedy, now);
        let id = state.failover.next;
        state.failover.next += 1;
        let tenant = event.tenant.clone();
        state.failover.insert(id, event);
        if let Some(why) = opens(state, &tenant, &Complaints::new()) {
            breaker::open(state, &tenant, why, now);
        }
        Ok(Change::DONE)
    }
}
