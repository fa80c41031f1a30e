//! `turn-rotations`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{PER_COMMAND, facts, object};
use crate::command::Rejection;
use crate::command::identity::roster::forget_publics;
use crate::command::refuse::at_most;
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::rotation::{Event, count, next, turn as turn_to};
use crate::state::{FleetState, Identity};

/// See [`Command::TurnRotations`](crate::command::Command::TurnRotations). Whether their time has come is
/// judged here, by what the state says: of those that must wait nothing is refused, and nothing done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRotations {
    /// Of which identities.
    pub addresses: BTreeSet<IpAddr>,
}

impl Verb for TurnRotations {
    fn name(&self) -> &'static str {
        "turn-rotations"
    }

    fn object(&self) -> String {
        object(&self.addresses)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("addresses", self.addresses.len(), PER_COMMAND)?;
        let at = (turn.now(), state.revision + 1);
        let mut change = Change::NONE;
        for address in &self.addresses {
            let Some(identity) = state.identities.get(address) else {
                continue;
            };
            let mut changed = (**identity).clone();
            let Some(rotation) = changed.signing.rotation.as_mut() else {
                continue;
            };
            count(rotation, at.0);
            let facts = facts(state, identity, at.0);
            if let Ok(to) = next(changed.signing.rotation.as_ref(), &Event::Go, &facts) {
                turn_to(&mut changed, to, at);
            }
            if changed != **identity {
                settle(state, changed);
                change = Change::DONE;
            }
        }
        Ok(change)
    }
}

/// The identity as it is now. The private half of a key that nothing signs with any more is destroyed: its
/// host said that it signs with the other one.
fn settle(state: &mut FleetState, changed: Identity) {
    let address = changed.spec.address;
    let Some(before) = state.identities.insert(address, Arc::new(changed)) else {
        return;
    };
    let second = before.second_key().map(|other| &other.secret);
    for key in std::iter::once(&before.dkim_key).chain(second) {
        if state.is_needless(key, address) {
            state.drop_secret(key);
        }
    }
    forget_publics(state, &before);
}
