//! `raise-alerts` and `test-alerts`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::{ChannelName, TenantId};

use super::TOGETHER;
use crate::alerts::rules::{AlertKey, Event, OfCluster};
use crate::command::RejectionCode::Limit;
use crate::command::refuse::{at_most, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::command::{Effect, Rejection};
use crate::state::{Channel, FleetState};

/// Largest event, in bytes: its lines are bounded, its lists by this.
const EVENT_BYTES: usize = 32 * 1024;

/// See [`Command::RaiseAlerts`](crate::command::Command::RaiseAlerts). What is raised twice within the hour,
/// by one leader or by two, is counted at the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseAlerts {
    /// What was seen.
    pub raised: Vec<Event>,
    /// What was seen to be over.
    pub resolved: Vec<AlertKey>,
}

impl Verb for RaiseAlerts {
    fn name(&self) -> &'static str {
        "raise-alerts"
    }

    fn object(&self) -> String {
        let (raised, resolved) = (self.raised.len(), self.resolved.len());
        format!("{raised} raised, {resolved} over")
    }

    fn is_change_of_fleet(&self) -> bool {
        false
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("raised", self.raised.len(), TOGETHER)?;
        at_most("resolved", self.resolved.len(), TOGETHER)?;
        for event in &self.raised {
            let size = postcard::experimental::serialized_size(event).unwrap_or(usize::MAX);
            if size > EVENT_BYTES {
                let accepted = format!("at most {EVENT_BYTES} bytes");
                return Err(refuse(Limit, "raised", &size, accepted));
            }
        }
        let mut change = Change::NONE;
        for key in &self.resolved {
            if state.resolve(key, turn.now()) {
                change = Change::DONE;
            }
        }
        for event in &self.raised {
            // Counted or told, the table changes.
            state.raise(event.clone(), turn.now());
            change = Change::DONE;
        }
        Ok(change)
    }
}

/// See [`Command::TestAlerts`](crate::command::Command::TestAlerts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestAlerts {
    /// To this channel alone, whatever routes say.
    pub channel: Option<ChannelName>,
    /// Whoever asks sees this tenant's channels alone.
    pub tenant: Option<TenantId>,
}

impl Verb for TestAlerts {
    fn name(&self) -> &'static str {
        "test-alerts"
    }

    fn object(&self) -> String {
        match &self.channel {
            Some(channel) => format!("channel {channel}"),
            None => "as routes say".to_owned(),
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let mut whose = self.tenant.clone();
        if let Some(name) = &self.channel {
            let channel = state.alerts.channels.get(name);
            let is_seen = |own: &&Arc<Channel>| self.tenant.is_none() || own.tenant == self.tenant;
            let Some(channel) = channel.filter(is_seen) else {
                return Err(not_found("channel", name, "channel"));
            };
            whose.clone_from(&channel.tenant);
        }
        let proposal = turn.proposal;
        let event = Event::Cluster(OfCluster::Test {
            by: proposal.actor.as_str().into(),
            channel: self.channel.clone(),
            request: proposal.request.clone(),
        });
        let now = turn.now();
        let id = state.alerts.raise(event, whose, now);
        Ok(Change::Made(id.map_or(Effect::Done, Effect::Alert)))
    }
}
