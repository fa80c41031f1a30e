//! How a pool will grow when nothing goes wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::Phase;

/// Answer of `GET /api/v1/warmup/simulate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulation {
    /// Day by day.
    pub days: Vec<SimulatedDay>,
    /// When so much can be sent, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<SimulationTarget>,
}

/// One day of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedDay {
    /// The first is 1.
    pub day: u32,
    /// Mails that all together may send on it.
    pub quota: u64,
    /// Mails until its end.
    pub cumulative: u64,
    /// Identities that send.
    pub identities: u32,
    /// How many of them are in each phase.
    pub phases: BTreeMap<Phase, u32>,
}

/// When a volume can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulationTarget {
    /// Mails a day.
    pub mails: u64,
    /// The first day on which they can be sent; none when these identities never can.
    pub day: Option<u32>,
    /// Most mails a day that they come to within the days that were looked at.
    pub most: u64,
}
