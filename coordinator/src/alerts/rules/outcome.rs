//! What became of a delivery.

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{AlertKind, DeliveryState, Occasion};
use email_engine_protocol::id::ChannelName;
use email_engine_protocol::time::Timestamp;

use super::{AlertKey, AlertSubject, Event, LONGEST, Line, OfCluster};
use crate::state::{Alert, Channel, FleetState};

/// A delivery that the channel did not take for so long is given up.
pub const GIVE_UP_MILLIS: u64 = 3 * Timestamp::DAY;
/// A channel that takes nothing for so long is dead.
pub const DEAD_MILLIS: u64 = 10 * 60 * Timestamp::SECOND;
/// Longest wait that is believed.
const WAIT_MILLIS: u64 = LONGEST + LONGEST / 4;

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryResult {
    /// Of which alert.
    pub alert: u64,
    /// What of it.
    pub occasion: Occasion,
    /// To whom.
    pub channel: ChannelName,
    /// What became of it.
    pub outcome: DeliveryOutcome,
}

/// What became of a delivery. Append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryOutcome {
    /// The channel took it.
    Delivered,
    /// The channel did not, or nobody knows, and it is tried again.
    Later {
        /// After this.
        at: Timestamp,
        /// What went wrong.
        error: Line,
        /// The channel itself is well and asked to be left alone for a while.
        asked: bool,
    },
    /// The channel refuses what stands in it. In a letter with others, each is tried by itself.
    Refused {
        /// Its words.
        error: Line,
        /// It was alone in the letter.
        alone: bool,
    },
}

impl FleetState {
    /// Writes down what became of a delivery. Nothing takes back that a channel took it: whoever says
    /// something else after that asked before it.
    pub(crate) fn record_delivery(&mut self, result: &DeliveryResult, now: Timestamp) -> bool {
        let key = (result.channel.clone(), result.occasion);
        let row = self.alerts.rows.get(&result.alert);
        let delivery = row.and_then(|row| row.deliveries.get(&key));
        if delivery.is_none_or(|delivery| delivery.state != DeliveryState::Waiting) {
            return false;
        }
        self.alerts
            .change(result.alert, |row| settle(row, &key, &result.outcome, now));
        self.note_channel(&result.channel, &result.outcome, now);
        true
    }

    /// What it says of the channel.
    fn note_channel(&mut self, name: &ChannelName, outcome: &DeliveryOutcome, now: Timestamp) {
        let Some(channel) = self.alerts.channels.get(name) else {
            return;
        };
        let mut channel = Channel::clone(channel);
        match outcome {
            DeliveryOutcome::Delivered => {
                channel.delivered_at = Some(now);
                channel.is_well(now);
            }
            // It answers, and speaks of this letter.
            DeliveryOutcome::Refused { .. } => channel.is_well(now),
            DeliveryOutcome::Later { at, asked, .. } if *asked => {
                channel.wait_until = channel.wait_until.max(*at).min(now.plus(WAIT_MILLIS));
            }
            DeliveryOutcome::Later { at, error, .. } => {
                // The deliveries of one letter failed together.
                if channel.wait_until <= now {
                    channel.failures = channel.failures.saturating_add(1);
                }
                channel.wait_until = channel.wait_until.max(*at).min(now.plus(WAIT_MILLIS));
                channel.error = Some(error.clone());
                channel.failing_since.get_or_insert(now);
            }
        }
        let failing = channel.failing_since.zip(channel.error.clone());
        let slot = self.alerts.channels.get_mut(name);
        slot.into_iter()
            .for_each(|slot| *slot = channel.clone().into());
        match failing {
            Some((since, error)) if now.since(since) >= DEAD_MILLIS => {
                let channel = name.clone();
                let dead = OfCluster::ChannelDead {
                    channel,
                    since,
                    error,
                };
                self.raise(Event::Cluster(dead), now);
            }
            Some(_) => {}
            None => {
                self.resolve(&channel_dead(name), now);
            }
        }
    }
}

/// By what it is known that a channel is dead.
#[must_use]
pub fn channel_dead(channel: &ChannelName) -> AlertKey {
    AlertKey {
        kind: AlertKind::ChannelDead,
        subject: AlertSubject::Channel(channel.clone()),
        cause: Line::default(),
    }
}

impl Channel {
    /// It takes what it is given.
    pub(crate) fn is_well(&mut self, now: Timestamp) {
        (self.failing_since, self.error, self.failures) = (None, None, 0);
        self.wait_until = self.wait_until.min(now);
    }
}

fn settle(
    row: &mut Alert,
    key: &(ChannelName, Occasion),
    outcome: &DeliveryOutcome,
    now: Timestamp,
) {
    let begun = match key.1 {
        Occasion::Raised => row.told_from,
        Occasion::Resolved => row.resolved_at.unwrap_or(row.told_from),
    };
    let Some(delivery) = row.deliveries.get_mut(key) else {
        return;
    };
    match outcome {
        DeliveryOutcome::Delivered => {
            (delivery.state, delivery.at) = (DeliveryState::Delivered, now);
        }
        DeliveryOutcome::Later { at, error, asked } => {
            delivery.attempts = delivery.attempts.saturating_add(u32::from(!asked));
            delivery.error = Some(error.clone());
            delivery.at = (*at).clamp(now, now.plus(WAIT_MILLIS));
            if now.since(begun) >= GIVE_UP_MILLIS {
                (delivery.state, delivery.at) = (DeliveryState::GivenUp, now);
            }
        }
        DeliveryOutcome::Refused { error, alone } => {
            delivery.attempts = delivery.attempts.saturating_add(1);
            delivery.error = Some(error.clone());
            (delivery.alone, delivery.at) = (true, now);
            if *alone {
                delivery.state = DeliveryState::GivenUp;
            }
        }
    }
}
