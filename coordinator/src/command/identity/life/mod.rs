//! Verbs about the life of an identity: its turns, what is seen of it, when it sent. What may be is said
//! by [`crate::fleet::lifecycle`]; here it is asked, done and remembered.

mod begin;
mod expire_queues;
mod record_expired;
mod record_sending;
mod state_checks;
mod steer;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use email_engine_protocol::api::{Cause, Check, IpSpec, IpStatus, Transition};

use crate::command::Rejection;
use crate::command::RejectionCode::{self, Invalid, NoEdge, NotYet};
use crate::command::refuse::{cut, refuse};
use crate::command::verb::Turn;
use crate::fleet::lifecycle::{Event, Preflight, Refusal, Standing, next};
use crate::fleet::warmup;
use crate::state::{FleetState, Identity, Life};

pub(super) use begin::{begin, redeclare, resume};
pub use expire_queues::ExpireQueues;
pub(crate) use expire_queues::QUEUES;
pub use record_expired::{RecordExpired, ToldQueue};
pub use record_sending::RecordSending;
pub use state_checks::StateChecks;
pub use steer::SteerIdentity;

/// Longest text of an actor in a history, in characters.
pub(in crate::command::identity) const ACTOR_CHARS: usize = 120;
/// Longest reason there.
const REASON_CHARS: usize = 300;

/// A refusal of the rules as one of the command.
pub(crate) fn refused(refusal: &Refusal) -> Rejection {
    let (code, field, value): (RejectionCode, _, _) = match refusal {
        Refusal::NoEdge { from, .. } => (NoEdge, "status", from.as_str()),
        Refusal::Preflight { from, .. } => (RejectionCode::Preflight, "status", from.as_str()),
        Refusal::NotYet { from, .. } => (NotYet, "status", from.as_str()),
        Refusal::Impossible { .. } => (Invalid, "status", ""),
    };
    refuse(code, field, &value, refusal.to_string())
}

/// The identity at the end of an edge, with its plan and its history; none when it is there already. What was
/// seen of it last is in its checks.
pub(crate) fn walk(
    state: &FleetState,
    mut identity: Identity,
    (event, preflight, cause): (&Event, &Preflight, Cause),
    turn: &Turn<'_>,
) -> Result<Option<Identity>, Rejection> {
    let (standing, was) = (Standing::of(&identity), identity.spec.clone());
    let now = turn.now();
    let turned = next(&standing, event, now, preflight).map_err(|refusal| refused(&refusal))?;
    if turned.standing == standing {
        return Ok(None);
    }
    turned.standing.put(&mut identity.spec, &mut identity.life);
    let settings = warmup::settings_of(state, &was.tenant);
    let plan = warmup::carry_over(&identity.warmup, &was, &identity.spec, &settings, now);
    identity.spec.phase = plan.phase;
    identity.warmup = plan;
    let Identity { spec, life, .. } = &mut identity;
    let (from, at) = (Some(standing.status), (state.revision + 1, turn));
    remember(life, spec, from, cause, turned.forced, at);
    Ok(Some(identity))
}

/// Writes a turn into the history: the identity is what it became.
pub(in crate::command::identity) fn remember(
    life: &mut Life,
    spec: &IpSpec,
    from: Option<IpStatus>,
    cause: Cause,
    forced: BTreeSet<Check>,
    (revision, turn): (u64, &Turn<'_>),
) {
    life.remember(Transition {
        at: turn.now(),
        revision,
        from,
        to: spec.status,
        phase: spec.phase,
        reserve: spec.reserve,
        cause,
        forced,
        actor: cut(&turn.proposal.actor, ACTOR_CHARS),
        reason: cut(&turn.proposal.reason, REASON_CHARS),
    });
}
