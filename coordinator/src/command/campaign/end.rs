//! `end-campaign`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::RequestId;

use super::{TEXT_CHARS, UID, is_uid};
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, WrongState};
use crate::command::refuse::{cut, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::warmup::day_of;
use crate::state::{Campaign, CampaignEnd, FleetState};

/// See [`Command::EndCampaign`](crate::command::Command::EndCampaign).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndCampaign {
    /// The request that asked for it.
    pub campaign: RequestId,
    /// What became of it.
    pub end: CampaignEnd,
}

impl Verb for EndCampaign {
    fn name(&self) -> &'static str {
        "end-campaign"
    }

    fn object(&self) -> String {
        let campaign = &self.campaign;
        match &self.end {
            CampaignEnd::Created { uid } => format!("campaign {campaign}: created as {uid}"),
            CampaignEnd::Refused { reason } => format!("campaign {campaign}: {reason}"),
            CampaignEnd::Unclear => format!("campaign {campaign}: MailWizz did not say"),
        }
    }

    /// What is known stays known: two answers to one question come from two nodes that both looked.
    fn apply(&self, state: &mut FleetState, _: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(campaign) = state.campaigns.get(&self.campaign) else {
            return Err(not_found("campaign", &self.campaign, "campaign"));
        };
        let end = self.end()?;
        match &campaign.end {
            Some(known) if *known == end => return Ok(Change::NONE),
            Some(CampaignEnd::Unclear) if end != CampaignEnd::Unclear => {}
            Some(_) => {
                let accepted = "a campaign of which it is not known yet what became of it";
                return Err(refuse(WrongState, "campaign", &self.campaign, accepted));
            }
            None => {}
        }
        let campaign = Campaign {
            end: Some(end),
            ..campaign.as_ref().clone()
        };
        if matches!(campaign.end, Some(CampaignEnd::Refused { .. })) {
            give_back(state, &campaign);
        }
        state
            .campaigns
            .insert(self.campaign.clone(), Arc::new(campaign));
        Ok(Change::DONE)
    }
}

/// What is not sent is left of its day.
fn give_back(state: &mut FleetState, campaign: &Campaign) {
    let reserved = &mut state.reserved;
    if reserved.day != day_of(campaign.begun_at) {
        return;
    }
    for (address, mails) in &campaign.parts {
        if let Some(taken) = reserved.mails.get_mut(address) {
            *taken = taken.saturating_sub(*mails);
        }
    }
}

impl EndCampaign {
    fn end(&self) -> Result<CampaignEnd, Rejection> {
        match &self.end {
            CampaignEnd::Created { uid } => {
                if !is_uid(uid) {
                    return Err(refuse(Invalid, "uid", uid, UID));
                }
                Ok(self.end.clone())
            }
            CampaignEnd::Refused { reason } => Ok(CampaignEnd::Refused {
                reason: cut(reason, TEXT_CHARS),
            }),
            CampaignEnd::Unclear => Ok(CampaignEnd::Unclear),
        }
    }
}
