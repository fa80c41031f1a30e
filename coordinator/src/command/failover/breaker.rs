//! `open-breaker` and `release-breaker`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{IpStatus, Purpose};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::time::Timestamp;

use super::{is_said, settle};
use crate::alerts::rules::{Event, Line, OfTenant, TenantEvent};
use crate::command::Rejection;
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::failover::breaker::Cause;
use crate::fleet::failover::{Complaints, opens};
use crate::state::{Breaker, FleetState, Open, Released};

/// See [`Command::OpenBreaker`](crate::command::Command::OpenBreaker). Complaints are counted beside the
/// state; whether they are too many is judged here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBreaker {
    /// Whose.
    pub tenant: TenantId,
    /// What was counted of 24 hours.
    pub complaints: Complaints,
}

impl Verb for OpenBreaker {
    fn name(&self) -> &'static str {
        "open-breaker"
    }

    fn object(&self) -> String {
        format!("tenant {}", self.tenant)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if !state.tenants.contains_key(&self.tenant) {
            return Err(not_found("tenant", &self.tenant, "tenant"));
        }
        let Some(why) = opens(state, &self.tenant, &self.complaints) else {
            return Ok(Change::NONE);
        };
        open(state, &self.tenant, why, turn.now());
        Ok(Change::DONE)
    }
}

/// Opens a breaker that is not open.
pub(super) fn open(
    state: &mut FleetState,
    tenant: &TenantId,
    (cause, paused): (Cause, BTreeSet<Purpose>),
    now: Timestamp,
) {
    let told = opened(tenant, &cause, &paused);
    let breaker = state.failover.breakers.entry(tenant.clone()).or_default();
    breaker.open = Some(Open {
        at: now,
        cause,
        paused,
    });
    settle(state, tenant);
    state.raise(told, now);
}

fn opened(tenant: &TenantId, cause: &Cause, paused: &BTreeSet<Purpose>) -> Event {
    Event::Tenant(TenantEvent {
        tenant: tenant.clone(),
        what: OfTenant::BreakerOpen {
            reason: Line::said(cause),
            paused: paused.iter().copied().collect(),
        },
    })
}

/// See [`Command::ReleaseBreaker`](crate::command::Command::ReleaseBreaker).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseBreaker {
    /// Whose.
    pub tenant: TenantId,
    /// Why it may go on.
    pub reason: String,
}

impl Verb for ReleaseBreaker {
    fn name(&self) -> &'static str {
        "release-breaker"
    }

    fn object(&self) -> String {
        format!("tenant {}: {}", self.tenant, self.reason)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        is_said(state, &self.tenant, &self.reason)?;
        let Some(open) = state.failover.open_breaker(&self.tenant).cloned() else {
            let accepted = "a tenant whose breaker is open";
            return Err(refuse(WrongState, "tenant", &self.tenant, accepted));
        };
        let own = state.identities_of(&self.tenant);
        let out = own.filter(|identity| identity.spec.status == IpStatus::Quarantine);
        let out: BTreeMap<_, _> = out
            .map(|identity| (identity.spec.address, identity.life.since))
            .collect();
        let released = Released {
            at: turn.now(),
            by: turn.proposal.actor.as_str().into(),
            reason: self.reason.as_str().into(),
            out,
            events: state.failover.next,
        };
        let breaker = Breaker {
            open: None,
            released: Some(released),
        };
        state.failover.breakers.insert(self.tenant.clone(), breaker);
        settle(state, &self.tenant);
        let told = opened(&self.tenant, &open.cause, &open.paused);
        state.resolve(&told.key(), turn.now());
        Ok(Change::DONE)
    }
}
