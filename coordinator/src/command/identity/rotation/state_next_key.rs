//! `state-next-key`.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Check, RotationStage, Statement, Verdict};

use super::{facts, refused};
use crate::command::Rejection;
use crate::command::RejectionCode::Invalid;
use crate::command::identity::life::ACTOR_CHARS;
use crate::command::refuse::{cut, not_found, refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::rotation::{Event, next, see, turn as turn_to};
use crate::state::FleetState;

/// See [`Command::StateNextKey`](crate::command::Command::StateNextKey). It names the selector that was
/// looked at: what was seen of one record says nothing of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateNextKey {
    /// Of which identity.
    pub address: IpAddr,
    /// The selector whose record was looked at, on every authoritative server.
    pub selector: String,
    /// What was seen.
    pub verdict: Verdict,
}

impl Verb for StateNextKey {
    fn name(&self) -> &'static str {
        "state-next-key"
    }

    fn object(&self) -> String {
        let verdict = match &self.verdict {
            Verdict::Valid => "valid",
            Verdict::Invalid { .. } => "invalid",
            Verdict::Unknown { .. } => "unknown",
        };
        let selector = cut(&self.selector, 63);
        format!("ip {}: {selector} {verdict}", self.address)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(identity) = state.identities.get(&self.address) else {
            return Err(not_found("address", &self.address, "identity"));
        };
        match &self.verdict {
            Verdict::Valid => {}
            Verdict::Invalid { what } => text("checks.next_dkim.what", what)?,
            Verdict::Unknown { why } => text("checks.next_dkim.why", why)?,
        }
        let now = turn.now();
        let rotation = identity.signing.rotation.as_ref();
        let event = Event::See(self.verdict.clone());
        let to = next(rotation, &event, &facts(state, identity, now))
            .map_err(|refusal| refused(self.address, &refusal))?;
        let mut changed = (**identity).clone();
        let Some(rotation) = changed.signing.rotation.as_mut() else {
            return Ok(Change::NONE);
        };
        let is_over = rotation.is_over();
        let new = match is_over {
            true => changed.spec.selector.as_str(),
            false => rotation.other.selector.as_str(),
        };
        if self.selector != new {
            let accepted = format!("{new}, the selector that the rotation leads to");
            return Err(refuse(Invalid, "selector", &self.selector, accepted));
        }
        let said = Statement {
            verdict: self.verdict.clone(),
            by: cut(&turn.proposal.actor, ACTOR_CHARS),
            at: now,
        };
        // That it could not be seen now takes nothing from when it was; that has its own end.
        let is_word = !matches!(said.verdict, Verdict::Unknown { .. });
        if is_word || to == Some(RotationStage::Publish) {
            see(rotation, said.clone());
        }
        if is_over {
            changed.life.checks.insert(Check::Dkim, said);
        }
        turn_to(&mut changed, to, (now, state.revision + 1));
        state.identities.insert(self.address, Arc::new(changed));
        Ok(Change::DONE)
    }
}
