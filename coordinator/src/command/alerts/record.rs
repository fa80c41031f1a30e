//! `record-deliveries`.

use serde::{Deserialize, Serialize};

use super::TOGETHER;
use crate::alerts::rules::DeliveryResult;
use crate::command::Rejection;
use crate::command::refuse::at_most;
use crate::command::verb::{Change, Turn, Verb};
use crate::state::FleetState;

/// See [`Command::RecordDeliveries`](crate::command::Command::RecordDeliveries).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDeliveries {
    /// What became of each.
    pub results: Vec<DeliveryResult>,
}

impl Verb for RecordDeliveries {
    fn name(&self) -> &'static str {
        "record-deliveries"
    }

    fn object(&self) -> String {
        format!("{} deliveries", self.results.len())
    }

    fn is_change_of_fleet(&self) -> bool {
        false
    }

    /// What nobody waits for any more is no error: another leader said it, or the channel is gone.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("results", self.results.len(), TOGETHER)?;
        let mut change = Change::NONE;
        for result in &self.results {
            if state.record_delivery(result, turn.now()) {
                change = Change::DONE;
            }
        }
        Ok(change)
    }
}
