//! The bodies that targets need, counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::HostId;

use crate::command::BodyChange;
use crate::command::verb::Turn;
use crate::state::{BodyRecord, FleetState};

/// Gives a host another set of bodies. What is new is taken from `offered`, which the caller checked;
/// what the host no longer needs is answered, for [`let_go`]: another host may be about to need it.
pub(super) fn replace_bodies(
    state: &mut FleetState,
    host: &HostId,
    needed: BTreeSet<ContentHash>,
    offered: &BTreeMap<ContentHash, Vec<u8>>,
    turn: &mut Turn<'_>,
) -> Vec<ContentHash> {
    let before = state.target_bodies.remove(host).unwrap_or_default();
    for hash in needed.difference(&before) {
        if let Some(record) = state.bodies.get_mut(hash) {
            record.references += 1;
        } else {
            let body = &offered[hash];
            let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
            state.bodies.insert(
                *hash,
                BodyRecord {
                    length,
                    references: 1,
                },
            );
            turn.bodies.push(BodyChange::Put(*hash, body.clone()));
        }
    }
    let needless = before.difference(&needed).copied().collect();
    if !needed.is_empty() {
        state.target_bodies.insert(host.clone(), Arc::new(needed));
    }
    needless
}

/// Drops those of these bodies that nobody needs any more.
pub(super) fn let_go(state: &mut FleetState, needless: &[ContentHash], turn: &mut Turn<'_>) {
    for hash in needless {
        release(state, hash, turn);
    }
}

fn release(state: &mut FleetState, hash: &ContentHash, turn: &mut Turn<'_>) {
    let Some(record) = state.bodies.get_mut(hash) else {
        return;
    };
    record.references = record.references.saturating_sub(1);
    if record.references == 0 {
        state.bodies.remove(hash);
        turn.bodies.push(BodyChange::Drop(*hash));
    }
}

/// The host has no target any more; the number of its last generation is kept.
pub(in crate::command) fn drop_target(state: &mut FleetState, host: &HostId, turn: &mut Turn<'_>) {
    let needless = replace_bodies(state, host, BTreeSet::new(), &BTreeMap::new(), turn);
    let_go(state, &needless, turn);
    if let Some(target) = state.targets.remove(host) {
        state
            .last_generations
            .insert(host.clone(), target.generation);
    }
}
