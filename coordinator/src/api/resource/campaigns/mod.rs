//! `/tenants/{tenant}/campaigns`: mail to a list, which the tenant's own MailWizz sends.
//!
//! It is written down that MailWizz will be asked, then it is asked, then it is written down what became of it.
//! Whoever repeats a request gets what became of the first one; where that is not known, MailWizz is looked
//! through for a campaign of that name. Nothing is made a second time.

mod choice;

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{
    CampaignRequest, CampaignState, CampaignView, IpSpec, TenantSecret,
};
use email_engine_protocol::id::{RequestId, TenantId};

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{BeginCampaign, Command, EndCampaign};
use crate::mailwizz::{
    Applications, CallError, DeliveryServer, Draft, DraftError, SealedDoor, server_name,
};
use crate::state::{Campaign, CampaignEnd, FleetState, SecretOf};

/// How many are listed.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::api) struct Page {
    #[serde(default = "limit")]
    limit: usize,
}

const fn limit() -> usize {
    100
}

const LONGEST: usize = 1_000;
/// Attempts of one request that end its campaign: after it was asked for, and after it was looked for.
const ENDED: u32 = 1;
const FOUND: u32 = 2;

/// Campaigns that were asked for here, newest first.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(tenant): Named<TenantId>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<CampaignView>>, ApiError> {
    if !(1..=LONGEST).contains(&page.limit) {
        let limit = page.limit.to_string();
        return Err(ApiError::invalid("limit", &limit, "1 to 1000"));
    }
    api.view(|state| {
        if !caller.sees(Some(&tenant)) || !state.tenants.contains_key(&tenant) {
            return Err(ApiError::not_found("tenant", tenant.as_str()));
        }
        let newest_first = state.campaigns_order.iter().rev();
        let all = newest_first.filter_map(|request| Some((request, state.campaigns.get(request)?)));
        let own = all.filter(|(_, campaign)| campaign.tenant == tenant);
        let views = own.map(|(request, campaign)| view(request, campaign));
        Ok(Json(views.take(page.limit).collect()))
    })
}

fn view(request: &RequestId, campaign: &Campaign) -> CampaignView {
    let state = match &campaign.end {
        None => CampaignState::Asked,
        Some(CampaignEnd::Created { uid }) => CampaignState::Created { uid: uid.clone() },
        Some(CampaignEnd::Refused { reason }) => CampaignState::Refused {
            reason: reason.clone(),
        },
    };
    CampaignView {
        request: request.clone(),
        name: campaign.name.clone(),
        ips: campaign.ips.clone(),
        begun_at: campaign.begun_at,
        state,
    }
}

/// Has a campaign made.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(tenant): Named<TenantId>,
    JsonBody(request): JsonBody<CampaignRequest>,
) -> Result<(StatusCode, Json<CampaignView>), ApiError> {
    let applications = api.applications.as_ref().ok_or_else(|| {
        let what = "this node has no way to MailWizz";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "no-way-to-mailwizz", what)
    })?;
    let (tenant, caller) = (&tenant, &write.caller);
    let door = api.view(|state| {
        if !caller.sees(Some(tenant)) || !state.tenants.contains_key(tenant) {
            return Err(ApiError::not_found("tenant", tenant.as_str()));
        }
        door(state, tenant)
    })?;
    let asked = write.attempt_id(0);
    if let Some(first) = &write.replayed {
        first.clone()?;
        let ended = look_again(&api, &write, applications, &door, &asked).await?;
        return answer(&ended, &asked);
    }
    let ips = choice::choose(&api, tenant, &request).await?;
    let from = ips.first().ok_or_else(|| ApiError::not_found("ips", ""))?;
    // What cannot be one is refused before anybody is asked.
    Draft::new(&request, from, &[]).map_err(|error| refused(&error))?;
    let servers = applications
        .servers(&door)
        .await
        .map_err(|error| failed(&error))?;
    let servers = servers_of(&ips, &servers)?;
    let draft = Draft::new(&request, from, &servers).map_err(|error| refused(&error))?;
    let begin = BeginCampaign {
        tenant: tenant.clone(),
        name: request.name.clone(),
        ips: ips.iter().map(|ip| ip.address).collect(),
    };
    api.commit_here(&write, Command::BeginCampaign(begin))
        .await?;
    let created = applications.create(&door, &draft).await;
    let end = match &created {
        Ok(uid) => CampaignEnd::Created { uid: uid.clone() },
        // What became of it is not known, and is not said.
        Err(CallError::Unclear { .. }) => return Err(unclear(&request.name, &created)),
        Err(error) => CampaignEnd::Refused {
            reason: error.to_string(),
        },
    };
    write_down(&api, &write, ENDED, &asked, end.clone()).await;
    created.map_err(|error| failed(&error))?;
    let campaign = api.view(|state| state.campaigns.get(&asked).cloned());
    let campaign = campaign.ok_or_else(|| ApiError::not_found("campaign", asked.as_str()))?;
    // This node may not have its end yet.
    let ended = Campaign {
        end: Some(end),
        ..campaign.as_ref().clone()
    };
    answer(&ended, &asked)
}

fn answer(
    campaign: &Campaign,
    asked: &RequestId,
) -> Result<(StatusCode, Json<CampaignView>), ApiError> {
    match &campaign.end {
        Some(CampaignEnd::Refused { reason }) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "mailwizz-refused",
            format!("{reason} (said to this request before; mend it and ask under a new one)"),
        )),
        _ => Ok((StatusCode::CREATED, Json(view(asked, campaign)))),
    }
}

/// What became of a campaign that this very request asked for before.
async fn look_again(
    api: &Api,
    write: &WriteRequest,
    applications: &Applications,
    door: &SealedDoor,
    asked: &RequestId,
) -> Result<Campaign, ApiError> {
    let campaign = api.view(|state| state.campaigns.get(asked).cloned());
    let campaign = campaign.ok_or_else(|| {
        let what = "this request asked for a campaign that is remembered no more";
        ApiError::new(StatusCode::CONFLICT, "campaign-unclear", what)
    })?;
    if campaign.end.is_some() {
        return Ok(campaign.as_ref().clone());
    }
    let named = applications.named(door, &campaign.name).await;
    match named.map_err(|error| failed(&error))?.as_slice() {
        [uid] => {
            let end = CampaignEnd::Created { uid: uid.clone() };
            write_down(api, write, FOUND, asked, end.clone()).await;
            Ok(Campaign {
                end: Some(end),
                ..campaign.as_ref().clone()
            })
        }
        found => Err(ApiError::new(
            StatusCode::CONFLICT,
            "campaign-unclear",
            format!(
                "MailWizz was asked at {} for a campaign named {:?} and did not answer; among its newest \
                 ones it has {} of that name. Look there before asking under a new request",
                campaign.begun_at,
                campaign.name,
                found.len()
            ),
        )),
    }
}

/// What became of a campaign is so whether it is written down or not; where it cannot be, whoever asks again
/// has it looked for.
async fn write_down(
    api: &Api,
    write: &WriteRequest,
    attempt: u32,
    asked: &RequestId,
    end: CampaignEnd,
) {
    let command = Command::EndCampaign(EndCampaign {
        campaign: asked.clone(),
        end,
    });
    if let Err(error) = api.commit_attempt(write, attempt, command).await {
        let code = error.code();
        tracing::warn!(campaign = %asked, code, "what became of a campaign was not written down");
    }
}

fn door(state: &FleetState, tenant: &TenantId) -> Result<SealedDoor, ApiError> {
    let missing = |what: &str| {
        let detail = format!("tenant {tenant} has no {what}");
        ApiError::new(StatusCode::CONFLICT, "mailwizz-unknown", detail)
    };
    let url = state
        .tenants
        .get(tenant)
        .and_then(|spec| spec.mailwizz_url.clone());
    let url = url.ok_or_else(|| missing("mailwizz_url: set it in the fleet file"))?;
    let key = SecretOf::Tenant(tenant.clone(), TenantSecret::MailwizzApiKey).id();
    let key = state.secrets.get(&key).ok_or_else(|| {
        missing(
            "secret mailwizz-api-key: make a key for its customer in MailWizz and give it with \
             `email-engine tenants secret set TENANT mailwizz-api-key --from-file FILE`",
        )
    })?;
    Ok(SealedDoor {
        url,
        key: key.sealed.clone(),
    })
}

/// Numbers of the delivery servers of these identities.
fn servers_of(ips: &[IpSpec], known: &[DeliveryServer]) -> Result<Vec<u64>, ApiError> {
    let number = |ip: &IpSpec| {
        let name = server_name(&ip.vmta);
        let own: Vec<_> = known.iter().filter(|server| server.name == name).collect();
        let why = match own.as_slice() {
            [server] if matches!(server.status.as_str(), "active" | "in-use") => {
                return Ok(server.id);
            }
            [server] => format!("is {} there", server.status),
            [] => "is not there, or not for the customer of this key".to_owned(),
            _ => format!("is there {} times", own.len()),
        };
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "delivery-server-missing",
            format!(
                "MailWizz cannot send from {}: its delivery server {name:?} {why}",
                ip.address
            ),
        )
        .about(
            "ips",
            &ip.address.to_string(),
            "an identity whose delivery server is active",
        ))
    };
    ips.iter().map(number).collect()
}

fn refused(error: &DraftError) -> ApiError {
    ApiError::invalid(error.field, &error.value, error.accepted)
}

fn unclear(name: &str, created: &Result<String, CallError>) -> ApiError {
    let why = created.as_ref().err().map(ToString::to_string);
    ApiError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "campaign-unclear",
        format!(
            "{}. Ask again with the same Idempotency-Key: MailWizz is then looked through for {name:?}, and \
             nothing is made twice",
            why.unwrap_or_default()
        ),
    )
}

fn failed(error: &CallError) -> ApiError {
    let (status, code) = match error {
        CallError::Refused { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "mailwizz-refused"),
        CallError::Strange { .. } => (StatusCode::BAD_GATEWAY, "mailwizz-strange"),
        CallError::Unclear { .. } => (StatusCode::GATEWAY_TIMEOUT, "campaign-unclear"),
        CallError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "mailwizz-unreachable"),
    };
    ApiError::new(status, code, error.to_string())
}
