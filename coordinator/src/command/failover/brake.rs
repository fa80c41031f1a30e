//! `pull-brake` and `release-brake`.

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{Event, Line, ListEvent, OfList};
use crate::command::Rejection;
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::failover::brake::WINDOW;
use crate::fleet::failover::{Brakes, took_it_back};
use crate::state::{Believed, Brake, FleetState};

/// See [`Command::PullBrake`](crate::command::Command::PullBrake). Whether a list names too many is read here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullBrake {
    /// Which list.
    pub list: ListId,
}

impl Verb for PullBrake {
    fn name(&self) -> &'static str {
        "pull-brake"
    }

    fn object(&self) -> String {
        format!("list {}", self.list)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let now = turn.now();
        let Some(addresses) = Brakes::of(state, now).due().get(&self.list).copied() else {
            return Ok(Change::NONE);
        };
        let brake = Brake {
            at: now,
            addresses,
            released: None,
        };
        state.failover.brakes.insert(self.list.clone(), brake);
        state.raise(pulled_on(&self.list, addresses), now);
        Ok(Change::DONE)
    }
}

fn pulled_on(list: &ListId, addresses: u32) -> Event {
    let hours = u32::try_from(WINDOW / Timestamp::HOUR).unwrap_or(u32::MAX);
    Event::List(ListEvent {
        list: Line::said(list),
        what: OfList::MassBrake { addresses, hours },
    })
}

/// See [`Command::ReleaseBrake`](crate::command::Command::ReleaseBrake).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseBrake {
    /// Which list.
    pub list: ListId,
    /// Why it is right all the same, in an operator's words; none when it names nobody any more.
    pub reason: Option<String>,
}

impl Verb for ReleaseBrake {
    fn name(&self) -> &'static str {
        "release-brake"
    }

    fn object(&self) -> String {
        match &self.reason {
            Some(reason) => format!("list {}: {reason}", self.list),
            None => format!("list {} names nobody any more", self.list),
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let now = turn.now();
        let Some(brake) = state.failover.brakes.get(&self.list).cloned() else {
            let accepted = "a list that is braked";
            return Err(refuse(WrongState, "list", &self.list, accepted));
        };
        match &self.reason {
            Some(reason) => {
                text("reason", reason)?;
                if brake.released.is_some() {
                    return Ok(Change::NONE);
                }
                let released = Some(Believed {
                    at: now,
                    by: turn.proposal.actor.as_str().into(),
                    reason: reason.as_str().into(),
                });
                let brake = Brake { released, ..brake };
                state.failover.brakes.insert(self.list.clone(), brake);
            }
            None if took_it_back(state, &self.list) => {
                state.failover.brakes.remove(&self.list);
            }
            None => return Ok(Change::NONE),
        }
        state.resolve(&pulled_on(&self.list, brake.addresses).key(), now);
        Ok(Change::DONE)
    }
}
