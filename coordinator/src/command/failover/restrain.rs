//! `restrain-identities`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TOGETHER;
use crate::command::Rejection;
use crate::command::refuse::at_most;
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::failover::{Brakes, restraint_of};
use crate::state::FleetState;

/// See [`Command::RestrainIdentities`](crate::command::Command::RestrainIdentities). What holds them
/// back, or does not any more, is read here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestrainIdentities {
    /// Which identities.
    pub addresses: BTreeSet<IpAddr>,
}

impl Verb for RestrainIdentities {
    fn name(&self) -> &'static str {
        "restrain-identities"
    }

    fn object(&self) -> String {
        match self.addresses.first() {
            Some(address) if self.addresses.len() == 1 => format!("ip {address}"),
            _ => format!("{} ips", self.addresses.len()),
        }
    }

    /// Whoever is gone is no error.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("addresses", self.addresses.len(), TOGETHER)?;
        let mut change = Change::NONE;
        let brakes = Brakes::of(state, turn.now());
        for address in &self.addresses {
            let Some(identity) = state.identities.get(address) else {
                continue;
            };
            let restraint = restraint_of(state, identity, &brakes, turn.now());
            if restraint == identity.restraint {
                continue;
            }
            if let Some(identity) = state.identities.get_mut(address) {
                Arc::make_mut(identity).restraint = restraint;
                change = Change::DONE;
            }
        }
        Ok(change)
    }
}
