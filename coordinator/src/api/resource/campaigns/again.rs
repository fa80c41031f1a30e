//! A request that asked for a campaign before, or is worked on by somebody else now.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::{Instant, sleep};

use email_engine_protocol::id::RequestId;

use super::{failed, write_down};
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::WriteRequest;
use crate::command::CAMPAIGNS_KNOWN;
use crate::mailwizz::{Applications, SealedDoor};
use crate::state::{Campaign, CampaignEnd, FleetState};

/// Attempt of a request, after the one that begins its campaign, that says what was found.
const FOUND: u32 = 2;
/// How long what somebody else works on is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(100);
/// Clocks of nodes differ by that much at most.
const CLOCKS: Duration = Duration::from_secs(30);

/// What looking takes.
pub(super) struct Look<'a> {
    pub(super) api: &'a Api,
    pub(super) applications: &'a Applications,
    pub(super) door: &'a SealedDoor,
}

impl Look<'_> {
    /// What became of the campaign that this very request asked for. While somebody may still be asking
    /// MailWizz, nobody else looks there: what is not there may come.
    pub(super) async fn again(&self, write: &WriteRequest) -> Result<Campaign, ApiError> {
        let asked = &write.attempt_id(0);
        let patient_until = Instant::now() + PATIENCE;
        loop {
            let campaign = self.campaign(asked)?;
            match &campaign.end {
                Some(CampaignEnd::Created { .. } | CampaignEnd::Refused { .. }) => {
                    return Ok(campaign);
                }
                Some(CampaignEnd::Unclear) => {
                    return self.in_mailwizz(write, asked, campaign).await;
                }
                None if !self.is_under_way(&campaign) => {
                    return self.in_mailwizz(write, asked, campaign).await;
                }
                None if Instant::now() < patient_until => sleep(GLANCE).await,
                None => {
                    let what = format!(
                        "MailWizz is being asked for campaign {:?} since {}, by the same request; ask again \
                         with the same Idempotency-Key in a moment",
                        campaign.name, campaign.begun_at
                    );
                    let code = "campaign-under-way";
                    return Err(ApiError::new(StatusCode::CONFLICT, code, what));
                }
            }
        }
    }

    /// As it is written down.
    pub(super) fn campaign(&self, asked: &RequestId) -> Result<Campaign, ApiError> {
        let found = self.api.view(|state| state.campaigns.get(asked).cloned());
        let campaign = found.ok_or_else(|| {
            let what = "this request asked for a campaign that is remembered no more";
            ApiError::new(StatusCode::CONFLICT, "campaign-unclear", what)
        })?;
        Ok(campaign.as_ref().clone())
    }

    /// Whoever began it may still be waiting for MailWizz: no request is worked on for longer than that.
    fn is_under_way(&self, campaign: &Campaign) -> bool {
        let longest = self.api.request_time + CLOCKS;
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.api.now() < campaign.begun_at.plus(longest)
    }

    async fn in_mailwizz(
        &self,
        write: &WriteRequest,
        asked: &RequestId,
        campaign: Campaign,
    ) -> Result<Campaign, ApiError> {
        let named = self.applications.named(self.door, &campaign.name).await;
        let named = named.map_err(|error| failed(&error))?;
        let new = self.api.view(|state| new_ones(state, &campaign, named));
        // Of so many not all were kept that there were before.
        let is_sure = campaign.known.len() < CAMPAIGNS_KNOWN;
        if let ([uid], true) = (new.as_slice(), is_sure) {
            let end = CampaignEnd::Created { uid: uid.clone() };
            write_down(self.api, write, FOUND, asked, end.clone()).await;
            return Ok(Campaign {
                end: Some(end),
                ..campaign
            });
        }
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "campaign-unclear",
            format!(
                "MailWizz was asked at {} for a campaign named {:?} and did not answer; among its newest \
                 ones it has {} of that name that may be it. Look there before asking under a new request",
                campaign.begun_at,
                campaign.name,
                new.len()
            ),
        ))
    }
}

/// Those that may be it: not there before, and not what another request became.
fn new_ones(state: &FleetState, campaign: &Campaign, named: Vec<String>) -> Vec<String> {
    let others = state.campaigns.values().filter_map(|one| match &one.end {
        Some(CampaignEnd::Created { uid }) if one.tenant == campaign.tenant => Some(uid),
        _ => None,
    });
    let others: std::collections::BTreeSet<&String> = others.collect();
    let is_new = |uid: &String| !campaign.known.contains(uid) && !others.contains(uid);
    named.into_iter().filter(is_new).collect()
}
