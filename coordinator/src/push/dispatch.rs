//! One walk over all sessions whenever the applied state changes: new targets go out, and whoever
//! was revoked, retired or has lost its end goes out too.

use std::sync::Arc;
use std::time::Duration;

use email_engine_protocol::api::MemberRole;
use email_engine_protocol::join::Endpoint;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::RefusalCode;

use super::registry::Seat;
use super::{Fleet, Push, now};
use crate::pki::{self, Denied};
use crate::state::FleetState;

/// Between two walks, so that a burst of commands costs a few of them and not one each.
const PACE: Duration = Duration::from_millis(10);
/// A walk without a change, for certificates that end.
const IDLE: Duration = Duration::from_secs(10);

/// Walks until the node stops.
pub(super) async fn run<F: Fleet>(push: Arc<Push<F>>) {
    let mut applied = push.fleet.applied();
    let mut leadership = push.fleet.leadership();
    loop {
        walk(&push);
        push.registry.tidy();
        tokio::time::sleep(PACE).await;
        let more = tokio::select! {
            changed = applied.changed() => changed.is_ok(),
            changed = leadership.changed() => changed.is_ok(),
            () = tokio::time::sleep(IDLE) => true,
        };
        if !more {
            return;
        }
        if leadership.borrow_and_update().leader.is_none() {
            // The agents find a node on the majority's side, if there is one.
            let reason = "this node has no leader";
            push.registry.end_all(RefusalCode::NoLeader, reason);
        }
    }
}

fn walk<F: Fleet>(push: &Push<F>) {
    let seats = push.registry.seats();
    let at = now();
    let (targets, denied, list) = push.fleet.view(|state| {
        let mut targets = Vec::new();
        let mut denied = Vec::new();
        for seat in &seats {
            match judge(seat, state, at) {
                Ok(()) => targets.push((seat, state.targets.get(&seat.host).cloned())),
                Err(reason) => denied.push((seat, reason)),
            }
        }
        (targets, denied, coordinators(state))
    });
    for (seat, target) in targets {
        push.registry.tell_target(seat, target.as_ref());
    }
    for (seat, reason) in denied {
        tracing::warn!(host = %seat.host, %reason, "session ends");
        push.registry.end(seat, code(&reason), &reason.to_string());
    }
    push.registry.tell_coordinators(list);
}

/// Judges an open session by its newest certificate. The one that it began with may have ended since,
/// but not have been revoked.
fn judge(seat: &Seat, state: &FleetState, at: Timestamp) -> Result<(), Denied> {
    if state.revoked.contains(&seat.shown) {
        return Err(Denied::Revoked {
            host: seat.host.clone(),
            serial: seat.shown,
        });
    }
    pki::remains(&seat.host, &seat.credential, state, at)
}

/// A certificate that merely ended sends its agent back to renew it; the rest is final.
const fn code(denied: &Denied) -> RefusalCode {
    match denied {
        Denied::Dates { .. } | Denied::NoCluster => RefusalCode::Busy,
        _ => RefusalCode::Revoked,
    }
}

/// Where agents find all nodes that were not removed.
pub(super) fn coordinators(state: &FleetState) -> Vec<Endpoint> {
    state
        .nodes
        .values()
        .filter(|node| node.role != MemberRole::Removed)
        .map(|node| node.agent_endpoint.clone())
        .collect()
}
