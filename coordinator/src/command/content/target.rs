//! The bodies that targets and artifacts need, counted.

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
        if !hold(state, hash) {
            store(state, *hash, &offered[hash], turn);
        }
    }
    let needless = before.difference(&needed).copied().collect();
    if !needed.is_empty() {
        state.target_bodies.insert(host.clone(), Arc::new(needed));
    }
    needless
}

/// Counts one more who needs a body. Says whether it is stored.
pub(in crate::command) fn hold(state: &mut FleetState, hash: &ContentHash) -> bool {
    let found = state.bodies.get_mut(hash);
    found.is_some_and(|record| {
        record.references += 1;
        true
    })
}

/// Stores a body that is not stored, for the first who needs it.
pub(in crate::command) fn store(
    state: &mut FleetState,
    hash: ContentHash,
    body: &[u8],
    turn: &mut Turn<'_>,
) {
    let record = BodyRecord {
        length: body.len() as u64,
        references: 1,
    };
    state.bodies.insert(hash, record);
    turn.bodies.push(BodyChange::Put(hash, body.to_vec()));
}

/// Drops those of these bodies that nobody needs any more.
pub(in crate::command) fn let_go(
    state: &mut FleetState,
    needless: &[ContentHash],
    turn: &mut Turn<'_>,
) {
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
