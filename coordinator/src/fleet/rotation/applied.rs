//! Whether a host is where a stage waits for it.

use email_engine_protocol::api::RotationStage;

use crate::state::{FleetState, Identity, Rotation};

/// What role files call the keys of identities.
const KEY: &str = "key";

/// Whether all that signs for an identity has what its rotation asks: its host reported to be at a target
/// that knows of the stage, and nothing of it drains anywhere else. Where no agent is, nothing signs.
#[must_use]
pub fn has_host_applied(state: &FleetState, identity: &Identity, rotation: &Rotation) -> bool {
    let spec = &identity.spec;
    if state.leaving_from(spec.address).next().is_some() {
        return false;
    }
    let Some(host) = state.live_host(&spec.host) else {
        return false;
    };
    if host.keys.is_none() {
        return true;
    }
    // A bundle of an operator's own may give a host the key that signs alone: the new one comes with the
    // configuration that names it, in one transaction.
    let bundle = state.bundle_of(&host.release);
    let gives_keys = bundle.is_some_and(|bundle| bundle.gives(&host.spec, KEY));
    if rotation.stage == RotationStage::Verified && !gives_keys {
        return true;
    }
    let outcome = state.outcomes.get(&spec.host);
    let good = outcome.and_then(|outcome| outcome.last_good);
    state.targets.get(&spec.host).is_some_and(|target| {
        target.planned_from >= rotation.revision && good == Some(target.generation)
    })
}
