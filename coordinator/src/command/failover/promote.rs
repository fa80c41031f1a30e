//! `promote-identity`: entry 2 of a failover.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Cause, IpStatus, Verdict};
use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use super::{LISTS, tell};
use crate::alerts::rules::OfIdentity;
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, WrongState};
use crate::command::identity::{replace, walk};
use crate::command::refuse::{at_most, not_found, refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::dnsbl::query::Subject;
use crate::fleet::failover::budget::WEEK;
use crate::fleet::failover::candidate::{Runner, Seen, restores};
use crate::fleet::failover::{Brakes, obstacle, runners};
use crate::fleet::lifecycle::Event;
use crate::fleet::listing::{preflight, rows};
use crate::state::{FleetState, Identity, ListWeight, ListingEvent, Promotion, Search};

/// See [`Command::PromoteIdentity`](crate::command::Command::PromoteIdentity).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromoteIdentity {
    /// Because of which event.
    pub event: u64,
    /// Who takes the place.
    pub address: IpAddr,
    /// What lists said of it just now.
    pub asked: Asked,
    /// Whether its host has its address, as that said last.
    pub on_host: Option<Verdict>,
}

/// What lists said of one address when they were asked about it alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When they were begun to be asked.
    pub at: Timestamp,
    /// Those that were healthy and have nothing against it.
    pub clean: BTreeSet<ListId>,
    /// Those that have it.
    pub listed: BTreeSet<ListId>,
    /// Those of which nothing is known.
    pub unknown: BTreeSet<ListId>,
}

impl Asked {
    /// What that comes to, with what is committed. A list that takes identities out, and that the last sweep
    /// asked, has to have answered.
    #[must_use]
    pub fn seen(&self, state: &FleetState, address: IpAddr) -> Seen {
        let sweep = state.listings.sweep.as_ref();
        let wanted = sweep.into_iter().flat_map(|sweep| &sweep.lists);
        let wanted = wanted.filter(|(_, swept)| swept.weight == ListWeight::TakesOut);
        let silent = wanted.map(|(list, _)| list);
        let silent = silent.filter(|list| !self.clean.contains(*list));
        let committed = rows(state, &Subject::Address(address)).filter(|(_, row)| row.is_open());
        let listed = self.listed.iter().chain(committed.map(|(list, _)| list));
        let listed: BTreeSet<ListId> = listed.cloned().collect();
        let unknown = silent.filter(|list| !listed.contains(*list));
        Seen {
            since: Some(self.at),
            unknown: unknown.cloned().collect(),
            listed,
        }
    }
}

impl Verb for PromoteIdentity {
    fn name(&self) -> &'static str {
        "promote-identity"
    }

    fn object(&self) -> String {
        format!("ip {} for event {}", self.address, self.event)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        self.values()?;
        let Some(event) = state.failover.events.get(&self.event).cloned() else {
            return Err(not_found("event", &self.event, "event"));
        };
        if !event.search.is_open() {
            return Ok(Change::NONE);
        }
        let now = turn.now();
        let lost = state.identities.get(&event.address);
        if lost.is_none_or(|lost| lost.spec.status != IpStatus::Quarantine) {
            let accepted = "one whose listed identity is in quarantine";
            return Err(refuse(WrongState, "event", &self.event, accepted));
        }
        if let Some(obstacle) = obstacle(state, &event, &Brakes::of(state, now), now) {
            let accepted = format!("one that nothing stands in the way of: {obstacle}");
            return Err(refuse(WrongState, "event", &self.event, accepted));
        }
        let runner = self.runner(state, &event)?;
        if let Err(unfit) = runner.fits(now) {
            let accepted = format!("one that may be promoted: {unfit}");
            return Err(refuse(WrongState, "address", &self.address, accepted));
        }
        let promoted = self.promoted(state, &event, turn)?;
        let restores_percent = restores(event.lost, promoted.daily_quota());
        let mut done = (*event).clone();
        done.search = Search::Replaced {
            by: self.address,
            domain: promoted.spec.domain.clone(),
            restores_percent,
            at: now,
            revision: state.revision + 1,
        };
        let told = OfIdentity::Promoted {
            replaces: event.address,
            restores_percent,
            phase: promoted.spec.phase,
        };
        replace(state, promoted);
        let failover = &mut state.failover;
        failover.insert(self.event, done);
        failover.promotions.retain(|one| now.since(one.at) < WEEK);
        failover.promotions.push(Promotion {
            tenant: event.tenant.clone(),
            at: now,
            event: self.event,
        });
        tell(state, self.address, told, now);
        Ok(Change::DONE)
    }
}

impl PromoteIdentity {
    fn values(&self) -> Result<(), Rejection> {
        let Asked {
            clean,
            listed,
            unknown,
            ..
        } = &self.asked;
        for (field, lists) in [
            ("asked.clean", clean),
            ("asked.listed", listed),
            ("asked.unknown", unknown),
        ] {
            at_most(field, lists.len(), LISTS)?;
        }
        match &self.on_host {
            Some(Verdict::Invalid { what: said } | Verdict::Unknown { why: said }) => {
                text("on_host", said)
            }
            Some(Verdict::Valid) | None => Ok(()),
        }
    }

    fn runner(&self, state: &FleetState, event: &ListingEvent) -> Result<Runner, Rejection> {
        let seen = self.asked.seen(state, self.address);
        let asked = BTreeMap::from([(self.address, seen)]);
        let mut runners = runners(state, event, &asked).into_iter();
        let found = runners.find(|one| one.address == self.address);
        found.ok_or_else(|| {
            let accepted =
                "an identity of the same tenant on the bench, or in reserve for the same purpose";
            refuse(Invalid, "address", &self.address, accepted)
        })
    }

    /// The identity in its new place. From the bench it sends what was lost; a reserve does already.
    fn promoted(
        &self,
        state: &FleetState,
        event: &ListingEvent,
        turn: &Turn<'_>,
    ) -> Result<Identity, Rejection> {
        let Some(identity) = state.identities.get(&self.address) else {
            return Err(not_found("address", &self.address, "identity"));
        };
        let (mut identity, now) = ((**identity).clone(), turn.now());
        let host = identity.spec.host.clone();
        identity.life.hear_host(&host, self.on_host.as_ref(), now);
        identity.spec.purpose = event.purpose;
        let preflight = preflight(state, &identity, &identity.life.checks, now);
        let way = (&Event::Activate, &preflight, Cause::Promoted);
        let mut promoted = walk(state, identity, way, turn)?.ok_or_else(|| {
            let accepted = "one that does not send with its whole weight already";
            refuse(WrongState, "address", &self.address, accepted)
        })?;
        let (tenant, purpose) = (&promoted.spec.tenant, promoted.spec.purpose);
        promoted.restraint.breaker = state.failover.pauses(tenant, purpose);
        Ok(promoted)
    }
}
