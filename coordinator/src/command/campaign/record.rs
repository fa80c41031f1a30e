//! `record-readings`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::RequestId;

use crate::command::Rejection;
use crate::command::refuse::at_most;
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::warmup::day_of;
use crate::state::{Campaign, Figures, FleetState, Reading};

/// Most campaigns of one command.
pub(crate) const CAMPAIGNS: usize = 1_000;
/// Most days of one campaign that are kept.
const DAYS: usize = 32;

/// See [`Command::RecordReadings`](crate::command::Command::RecordReadings).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordReadings {
    /// What MailWizz counts now, by the request that asked for the campaign.
    pub readings: BTreeMap<RequestId, Figures>,
}

impl Verb for RecordReadings {
    fn name(&self) -> &'static str {
        "record-readings"
    }

    fn object(&self) -> String {
        format!("{} campaigns", self.readings.len())
    }

    /// It is what somebody else counts.
    fn is_change_of_fleet(&self) -> bool {
        false
    }

    /// A campaign that is forgotten is no error. The day is that of the fleet's clock: it never goes back, and
    /// neither do readings.
    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("readings", self.readings.len(), CAMPAIGNS)?;
        let (at, day) = (turn.now(), day_of(turn.now()));
        let mut change = Change::NONE;
        for (request, figures) in &self.readings {
            let Some(campaign) = state.campaigns.get_mut(request) else {
                continue;
            };
            if is_news(campaign, day, *figures) {
                let (at, figures) = (at, *figures);
                let readings = &mut Arc::make_mut(campaign).readings;
                readings.0.insert(day, Reading { at, figures });
                change = Change::DONE;
            }
        }
        Ok(change)
    }
}

/// Whether figures say something of a day that is not known: of a campaign that is there, once it has sent.
pub(crate) fn is_news(campaign: &Campaign, day: u32, figures: Figures) -> bool {
    let days = &campaign.readings.0;
    let known = days.get(&day).map(|reading| reading.figures);
    let begins = days.is_empty() && figures.delivered == 0;
    let is_full = days.len() >= DAYS && known.is_none();
    campaign.uid().is_some() && known != Some(figures) && !begins && !is_full
}
