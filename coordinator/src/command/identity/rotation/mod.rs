//! Verbs about the rotation of DKIM keys. What may be is said by [`crate::fleet::rotation`]; here it is
//! asked and done, and secrets come and go with it.

mod rotate_keys;
mod state_next_key;
#[cfg(test)]
mod tests;
mod turn_rotations;

use std::collections::BTreeSet;
use std::net::IpAddr;

pub use rotate_keys::RotateKeys;
pub use state_next_key::StateNextKey;
pub use turn_rotations::TurnRotations;

use crate::command::Rejection;
use crate::command::RejectionCode::{NoEdge, NotYet};
use crate::command::refuse::refuse;
use crate::fleet::rotation::{Facts, Refusal, has_host_applied};
use crate::state::{FleetState, Identity};
use email_engine_protocol::time::Timestamp;

/// Most identities of one command.
pub(crate) const PER_COMMAND: usize = 1_000;
/// Identities that an audit entry names.
const NAMED: usize = 3;

/// A refusal of the rules as one of the command.
fn refused(address: IpAddr, refusal: &Refusal) -> Rejection {
    let code = match refusal {
        Refusal::NoEdge { .. } => NoEdge,
        Refusal::NotYet { .. } => NotYet,
    };
    refuse(code, "address", &address, refusal.to_string())
}

/// What the edges of an identity's rotation ask.
pub(crate) fn facts(state: &FleetState, identity: &Identity, now: Timestamp) -> Facts {
    let rotation = identity.signing.rotation.as_ref();
    Facts {
        now,
        has_host_applied: rotation.is_some_and(|one| has_host_applied(state, identity, one)),
        sent_ever: identity.life.sent_ever,
    }
}

/// `ip 192.0.2.1`, or how many and the first of them.
fn object(addresses: &BTreeSet<IpAddr>) -> String {
    let named: Vec<String> = addresses
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let named = named.join(", ");
    match addresses.len() {
        1 => format!("ip {named}"),
        many if many > NAMED => format!("{many} ips: {named}, ..."),
        many => format!("{many} ips: {named}"),
    }
}
