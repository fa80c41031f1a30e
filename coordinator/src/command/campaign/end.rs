//! `end-campaign`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::id::RequestId;

use super::TEXT_CHARS;
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, WrongState};
use crate::command::refuse::{cut, not_found, refuse};
use crate::command::verb::{Change, Turn, Verb};
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
        state
            .campaigns
            .insert(self.campaign.clone(), Arc::new(campaign));
        Ok(Change::DONE)
    }
}

impl EndCampaign {
    fn end(&self) -> Result<CampaignEnd, Rejection> {
        match &self.end {
            CampaignEnd::Created { uid } => {
                let is_uid =
                    (1..=50).contains(&uid.len()) && uid.bytes().all(|b| b.is_ascii_alphanumeric());
                if !is_uid {
                    let accepted = "1 to 50 letters and digits";
                    return Err(refuse(Invalid, "uid", uid, accepted));
                }
                Ok(self.end.clone())
            }
            CampaignEnd::Refused { reason } => Ok(CampaignEnd::Refused {
                reason: cut(reason, TEXT_CHARS),
            }),
        }
    }
}
