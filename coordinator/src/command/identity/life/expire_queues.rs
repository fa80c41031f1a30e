//! `expire-queues`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::time::Timestamp;

use crate::command::Rejection;
use crate::command::refuse::at_most;
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::lifecycle::{drained_mail_expires_at, mail_expires_at};
use crate::state::{ExpiredQueue, FleetState, Identity, Leaving, Place};

/// Most identities of one command.
pub(crate) const QUEUES: usize = 1_000;

/// See [`Command::ExpireQueues`](crate::command::Command::ExpireQueues). Their hosts delete what waits there, and
/// say to whom it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireQueues {
    /// Whose: wherever they are, and wherever they still drain.
    pub addresses: BTreeSet<IpAddr>,
}

impl Verb for ExpireQueues {
    fn name(&self) -> &'static str {
        "expire-queues"
    }

    fn object(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        format!("ip {}", addresses.join(" "))
    }

    /// Whoever is gone, was let go or has not waited long enough is no error: it was so a moment ago.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("addresses", self.addresses.len(), QUEUES)?;
        let now = turn.now();
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let expire = |identity: &mut Identity| {
            if let Some(out) = &mut identity.life.quarantine {
                let listed = None;
                out.expired = Some(ExpiredQueue { at: now, listed });
            }
        };
        let mut change = Change::NONE;
        for address in &self.addresses {
            if let Some(identity) = state.identities.get_mut(address)
                && due(mail_expires_at(identity))
            {
                expire(Arc::make_mut(identity));
                change = Change::DONE;
            }
            let drains = state.leaving_from(*address);
            let drains = drains.filter(|one| due(drained_mail_expires_at(state, one)));
            let places: Vec<Place> = drains.map(|one| Leaving::place(one)).collect();
            for place in places {
                if let Some(leaving) = state.leaving.get_mut(&place) {
                    expire(&mut Arc::make_mut(leaving).identity);
                    change = Change::DONE;
                }
            }
        }
        Ok(change)
    }
}
