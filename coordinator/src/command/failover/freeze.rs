//! `freeze-failover` and `thaw-failover`.

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::TenantId;

use super::is_said;
use crate::command::Rejection;
use crate::command::verb::{Change, Turn, Verb};
use crate::state::{FleetState, Frozen};

/// See [`Command::FreezeFailover`](crate::command::Command::FreezeFailover).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeFailover {
    /// Whose identities.
    pub tenant: TenantId,
    /// Why.
    pub reason: String,
}

impl Verb for FreezeFailover {
    fn name(&self) -> &'static str {
        "freeze-failover"
    }

    fn object(&self) -> String {
        format!("tenant {}: {}", self.tenant, self.reason)
    }

    /// Who is frozen already stays so, by the first word.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        is_said(state, &self.tenant, &self.reason)?;
        if state.failover.frozen.contains_key(&self.tenant) {
            return Ok(Change::NONE);
        }
        let frozen = Frozen {
            at: turn.now(),
            by: turn.proposal.actor.as_str().into(),
            reason: self.reason.as_str().into(),
        };
        state.failover.frozen.insert(self.tenant.clone(), frozen);
        Ok(Change::DONE)
    }
}

/// See [`Command::ThawFailover`](crate::command::Command::ThawFailover).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThawFailover {
    /// Whose identities.
    pub tenant: TenantId,
    /// Why.
    pub reason: String,
}

impl Verb for ThawFailover {
    fn name(&self) -> &'static str {
        "thaw-failover"
    }

    fn object(&self) -> String {
        format!("tenant {}: {}", self.tenant, self.reason)
    }

    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        is_said(state, &self.tenant, &self.reason)?;
        match state.failover.frozen.remove(&self.tenant) {
            Some(_) => Ok(Change::DONE),
            None => Ok(Change::NONE),
        }
    }
}
