//! `steer-identity`, named in the audit by what it does.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Cause, Verdict};

use super::walk;
use crate::alerts::rules::{Line, OfIdentity};
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, NoEdge};
use crate::command::identity::warmup::tell;
use crate::command::refuse::{at_most, not_found, refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::lifecycle::Event;
use crate::fleet::listing::preflight;
use crate::state::FleetState;

/// Most lists of one quarantine.
const LISTS: usize = 64;

/// See [`Command::SteerIdentity`](crate::command::Command::SteerIdentity).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SteerIdentity {
    /// Which identity.
    pub address: IpAddr,
    /// What happens to it.
    pub event: Event,
    /// An admin overrules what preflight misses.
    pub force: bool,
    /// Whether its host has its address, as that said last; it outranks what anybody stated.
    pub on_host: Option<Verdict>,
}

impl Verb for SteerIdentity {
    fn name(&self) -> &'static str {
        match &self.event {
            Event::Activate => "activate-identity",
            Event::Graduate => "graduate-identity",
            Event::Idle | Event::Rest => "rest-identity",
            Event::Quarantine { .. } => "quarantine-identity",
            Event::Release => "release-identity",
            Event::Reserve { .. } => "reserve-identity",
            Event::Retire => "retire-identity",
        }
    }

    fn object(&self) -> String {
        let of = format!("ip {}", self.address);
        match (&self.event, self.force) {
            (Event::Quarantine { lists }, _) if !lists.is_empty() => {
                let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
                format!("{of} on {}", lists.join(" "))
            }
            (Event::Reserve { kept: false }, _) => format!("{of} not any more"),
            (Event::Idle, _) => format!("{of} without mail"),
            (_, true) => format!("{of} by force"),
            _ => of,
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(identity) = state.identities.get(&self.address) else {
            return Err(not_found("address", &self.address, "identity"));
        };
        self.values()?;
        let now = turn.now();
        let mut changed = (**identity).clone();
        let host = &identity.spec.host;
        changed.life.hear_host(host, self.on_host.as_ref(), now);
        let preflight = preflight(state, identity, &changed.life.checks, now).overruled(self.force);
        let way = (&self.event, &preflight, self.cause());
        let Some(changed) = walk(state, changed, way, turn)? else {
            return Ok(Change::NONE);
        };
        // None of its names changes, so that the lookup stays as it is.
        state.identities.insert(self.address, Arc::new(changed));
        let proposal = turn.proposal;
        if let Event::Quarantine { lists } = &self.event
            && proposal.actor.starts_with("key ")
        {
            let quarantined = OfIdentity::Quarantined {
                lists: lists.iter().map(Line::said).collect(),
                by: proposal.actor.as_str().into(),
                reason: proposal.reason.as_str().into(),
            };
            tell(state, self.address, quarantined, now);
        }
        Ok(Change::DONE)
    }
}

impl SteerIdentity {
    fn values(&self) -> Result<(), Rejection> {
        match &self.on_host {
            Some(Verdict::Invalid { what: said } | Verdict::Unknown { why: said }) => {
                text("on_host", said)?;
            }
            Some(Verdict::Valid) | None => {}
        }
        match &self.event {
            Event::Quarantine { lists } => {
                at_most("lists", lists.len(), LISTS)?;
                lists.iter().try_for_each(|list| text("lists", list))
            }
            // It drains, and that is another command's.
            Event::Retire => {
                let accepted = "retire-identity, by which it drains first";
                Err(refuse(NoEdge, "event", &"retire", accepted))
            }
            _ if self.force && !matches!(self.event, Event::Activate | Event::Release) => {
                let accepted = "false: only what preflight misses, and a quarantine by word alone, can be \
                                overruled";
                Err(refuse(Invalid, "force", &self.force, accepted))
            }
            _ => Ok(()),
        }
    }

    const fn cause(&self) -> Cause {
        match &self.event {
            Event::Activate => Cause::Activated,
            Event::Graduate => Cause::Graduated,
            Event::Idle => Cause::Idle,
            Event::Quarantine { .. } => Cause::Quarantined,
            Event::Release => Cause::Released,
            Event::Reserve { .. } => Cause::Reserved,
            Event::Rest | Event::Retire => Cause::Rested,
        }
    }
}
