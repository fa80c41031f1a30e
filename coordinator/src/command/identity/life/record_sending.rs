//! `record-sending`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::time::Timestamp;

use crate::command::Rejection;
use crate::command::refuse::at_most;
use crate::command::verb::{Change, Turn, Verb};
use crate::state::FleetState;

/// Most identities of one command.
const IDENTITIES: usize = 10_000;

/// See [`Command::RecordSending`](crate::command::Command::RecordSending). Said of what was counted, for
/// those whose idleness it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSending {
    /// When mail left each of them last.
    pub sent: BTreeMap<IpAddr, Timestamp>,
}

impl Verb for RecordSending {
    fn name(&self) -> &'static str {
        "record-sending"
    }

    fn object(&self) -> String {
        format!("{} ips", self.sent.len())
    }

    /// It follows from what was counted, and that is no change of the fleet either.
    fn is_change_of_fleet(&self) -> bool {
        false
    }

    /// Whoever is gone is no error. What is said later of an earlier mail takes nothing back, and nobody
    /// sends in a time that is still to come.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("sent", self.sent.len(), IDENTITIES)?;
        let mut change = Change::NONE;
        for (address, at) in &self.sent {
            let Some(identity) = state.identities.get_mut(address) else {
                continue;
            };
            let at = (*at).min(turn.now());
            if identity.life.last_sent.is_some_and(|last| last >= at) {
                continue;
            }
            let life = &mut Arc::make_mut(identity).life;
            (life.last_sent, life.sent_ever) = (Some(at), true);
            change = Change::DONE;
        }
        Ok(change)
    }
}
