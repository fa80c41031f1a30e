//! One alert and its deliveries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{DeliveryState, Occasion};
use email_engine_protocol::id::{ChannelName, TenantId};
use email_engine_protocol::time::Timestamp;

use crate::alerts::rules::{Event, Line};

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What happened.
    pub event: Event,
    /// Whose it is; none: the fleet's.
    pub tenant: Option<TenantId>,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// When it was seen last.
    pub last_at: Timestamp,
    /// How often it was seen.
    pub count: u32,
    /// Nobody is told before this.
    pub told_from: Timestamp,
    /// When it ended.
    pub resolved_at: Option<Timestamp>,
    /// The silence that kept it quiet when it was raised.
    pub silenced_by: Option<u64>,
    /// To whom it is told, and what of it.
    pub deliveries: BTreeMap<(ChannelName, Occasion), Delivery>,
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// How far it is.
    pub state: DeliveryState,
    /// Attempts that failed.
    pub attempts: u32,
    /// When it is tried next; when it is not tried any more, since when.
    pub at: Timestamp,
    /// What went wrong the last time.
    pub error: Option<Line>,
    /// Sent by itself: a letter that had more in it was refused for what stood in it.
    pub alone: bool,
}

impl Delivery {
    /// One that was not tried yet.
    #[must_use]
    pub const fn waiting(at: Timestamp) -> Self {
        Self {
            state: DeliveryState::Waiting,
            attempts: 0,
            at,
            error: None,
            alone: false,
        }
    }
}

impl Alert {
    /// Whether it is a state that goes on.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.event.kind().resolves() && self.resolved_at.is_none()
    }

    /// Whether it ended before anybody was to be told.
    #[must_use]
    pub fn is_untold(&self) -> bool {
        let mut deliveries = self.deliveries.values();
        !self.deliveries.is_empty() && deliveries.all(|one| one.state == DeliveryState::Dropped)
    }

    /// Deliveries that wait.
    pub fn waiting(&self) -> impl Iterator<Item = (Timestamp, &ChannelName, Occasion)> {
        let deliveries = self.deliveries.iter();
        let waiting = deliveries.filter(|(_, one)| one.state == DeliveryState::Waiting);
        waiting.map(|((channel, occasion), one)| (one.at, channel, *occasion))
    }

    /// Whether nothing more becomes of it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.is_open() && self.waiting().next().is_none()
    }
}
