//! What the last passes found, so that a host whose plan cannot differ is not planned again, and an invariant that
//! cannot be broken is not judged again.
//!
//! A plan is a function of the state. So a host needs none while its target is what was planned last and
//! nothing that its plan may read is another. Every so often all of this is forgotten, and everybody is planned:
//! a change that was thought to touch nobody comes through then at the latest.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::HostId;

use super::AffectedFn;
use crate::fleet::{Violation, check_before_planning};
use crate::state::FleetState;

/// How long it is trusted.
const TRUSTED: Duration = Duration::from_secs(600);

/// Digests of the plans that were made last, and the state that they are still right for.
pub(super) struct Known {
    seen: FleetState,
    /// The last state in which the invariants held.
    held: Option<FleetState>,
    digests: BTreeMap<HostId, ContentHash>,
    since: Instant,
}

impl Known {
    /// Knows nothing yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            seen: FleetState::default(),
            held: None,
            digests: BTreeMap::new(),
            since: now,
        }
    }

    /// Goes on to a newer state: forgets every plan that may differ in it.
    pub(super) fn enter(&mut self, state: &FleetState, affected: AffectedFn, now: Instant) {
        if now.duration_since(self.since) >= TRUSTED {
            *self = Self::new(now);
        } else {
            let affected = affected(&self.seen, state);
            self.digests.retain(|host, _| !affected.has(host));
        }
        self.seen = state.clone();
    }

    /// Whether a host is at what was planned, and would be planned so again.
    pub(super) fn is_settled(&self, host: &HostId, epoch: u64) -> bool {
        let planned = self.digests.get(host);
        let target = self.seen.targets.get(host);
        target.is_some_and(|target| {
            planned == Some(&target.digest) && target.generation.epoch == epoch
        })
    }

    /// What must hold of the fleet before anybody is planned. What held before and is the same is not judged
    /// again, until everybody is planned anew.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(super) fn check(&mut self, state: &FleetState) -> Result<(), Violation> {
        let held = self.held.take();
        check_before_planning(held.as_ref(), state)?;
        self.held = Some(state.clone());
        Ok(())
    }

    /// This is what a host was planned to be.
    pub(super) fn note(&mut self, host: &HostId, digest: ContentHash) {
        self.digests.insert(host.clone(), digest);
    }

    /// A host was left out: what happens meanwhile is not seen for it.
    pub(super) fn forget(&mut self, host: &HostId) {
        self.digests.remove(host);
    }
}
