//! Entering and leaving: identity, pool, key and lookup in one step.

use std::net::IpAddr;
use std::sync::Arc;

use email_engine_protocol::api::IpSpec;
use email_engine_protocol::id::SecretId;

use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, NoPreparedKey};
use crate::command::refuse::refuse;
use crate::state::{FleetState, Identity, Pool, StoredSecret};

/// The name that an identity's DKIM key will have.
pub(super) fn secret_id(spec: &IpSpec) -> Result<SecretId, Rejection> {
    SecretId::new(format!("dkim/{}/{}", spec.domain, spec.selector))
        .map_err(|error| refuse(Invalid, "selector", &spec.selector, error.to_string()))
}

/// Whether a key is there to be taken.
pub(super) fn has_prepared_key(state: &FleetState, spec: &IpSpec) -> Result<(), Rejection> {
    if state.prepared_keys.is_empty() {
        let accepted =
            "one DKIM key per identity is made ahead; more are being made, try again soon";
        return Err(refuse(NoPreparedKey, "domain", &spec.domain, accepted));
    }
    Ok(())
}

/// Moves the oldest prepared key into the table of secrets under this name and returns its public half.
/// The number of the key gives the version, so that a name that is used again later never has an old
/// version with other bytes.
pub(super) fn take_key(state: &mut FleetState, id: &SecretId) -> String {
    let (number, key) = state.prepared_keys.pop_first().expect("checked before");
    let secret = StoredSecret {
        id: id.clone(),
        version: u32::try_from(number + 1).unwrap_or(u32::MAX),
        commitment: key.commitment,
        sealed: key.sealed.clone(),
    };
    state.secrets.insert(id.clone(), Arc::new(secret));
    key.public.clone()
}

pub(super) fn enter(state: &mut FleetState, identity: Identity) {
    let spec = &identity.spec;
    state.lookup.add_identity(spec);
    state
        .pools
        .entry(spec.pool.clone())
        .or_insert_with(|| Pool {
            name: spec.pool.clone(),
            tenant: spec.tenant.clone(),
            host: spec.host.clone(),
        });
    state.identities.insert(spec.address, Arc::new(identity));
}

/// Its key stays: the caller says what becomes of it.
pub(super) fn leave(state: &mut FleetState, address: IpAddr) -> Option<Arc<Identity>> {
    let identity = state.identities.remove(&address)?;
    state.lookup.remove_identity(&identity.spec);
    if !state.lookup.members.contains_key(&identity.spec.pool) {
        state.pools.remove(&identity.spec.pool);
    }
    Some(identity)
}
