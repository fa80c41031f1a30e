//! `/tenants/{tenant}/campaigns`: mail to a list, which the tenant's own MailWizz sends.
//!
//! It is written down that MailWizz will be asked, then it is asked, then it is written down what became of it.
//! Of several that work on one request at the same time, the one whose word is written down asks. Whoever
//! repeats a request gets what became of the first one (`again`); where that is not known, MailWizz is looked
//! through for a campaign of that name that it had not before. Nothing is made a second time.

mod again;
mod begin;
mod choice;

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{CampaignRequest, CampaignState, CampaignView, TenantSecret};
use email_engine_protocol::id::{RequestId, TenantId};

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::{Freshness, JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{CAMPAIGNS_KNOWN, Command, EndCampaign, is_campaign_uid};
use crate::mailwizz::{CallError, Draft, DraftError, SealedDoor};
use crate::state::{Campaign, CampaignEnd, FleetState, SecretOf};

use begin::Beginning;

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
/// Attempt of a request, after the one that begins its campaign, that ends it.
const ENDED: u32 = 1;

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
        None | Some(CampaignEnd::Unclear) => CampaignState::Asked,
        Some(CampaignEnd::Created { uid }) => CampaignState::Created { uid: uid.clone() },
        Some(CampaignEnd::Refused { reason }) => CampaignState::Refused {
            reason: reason.clone(),
        },
    };
    CampaignView {
        request: request.clone(),
        name: campaign.name.clone(),
        ips: campaign.parts.iter().map(|(address, _)| *address).collect(),
        begun_at: campaign.begun_at,
        state,
    }
}

/// Has a campaign made.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(mut write): Extension<WriteRequest>,
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
    let look = again::Look {
        api: &api,
        applications,
        door: &door,
    };
    if let Some(first) = &write.replayed {
        first.clone()?;
        let ended = look.again(&write).await?;
        return answer(&ended, &write.attempt_id(0));
    }
    let chosen = choice::choose(&api, tenant, &request).await?;
    let from = chosen
        .first()
        .ok_or_else(|| ApiError::not_found("ips", ""))?;
    // What cannot be one is refused before anybody is asked.
    Draft::new(&request, &from.ip, &[]).map_err(|error| refused(&error))?;
    let read = tokio::try_join!(
        applications.servers(&door),
        applications.named(&door, &request.name)
    );
    let (servers, known) = read.map_err(|error| failed(&error))?;
    let mut begin = Beginning {
        request: &request,
        servers: &servers,
        // The newest, when there are too many of that name to tell a new one from them.
        known: known
            .into_iter()
            .filter(|uid| is_campaign_uid(uid))
            .take(CAMPAIGNS_KNOWN)
            .collect(),
        chosen,
    };
    let Some(draft) = begin.commit(&api, &mut write, tenant).await? else {
        // Another one works on it, or did.
        api.freshen(Freshness::Linearizable).await?;
        let ended = look.again(&write).await?;
        return answer(&ended, &write.attempt_id(0));
    };
    let asked = write.attempt_id(0);
    let created = applications.create(&door, &draft).await;
    let end = match &created {
        Ok(uid) => CampaignEnd::Created { uid: uid.clone() },
        Err(CallError::Unclear { .. }) => CampaignEnd::Unclear,
        Err(error) => CampaignEnd::Refused {
            reason: error.to_string(),
        },
    };
    write_down(&api, &write, ENDED, &asked, end.clone()).await;
    if end == CampaignEnd::Unclear {
        return Err(unclear(&request.name, &created));
    }
    created.map_err(|error| failed(&error))?;
    if api.view(|state| !state.campaigns.contains_key(&asked)) {
        api.freshen(Freshness::Linearizable).await?;
    }
    // This node may not have its end yet.
    let ended = Campaign {
        end: Some(end),
        ..look.campaign(&asked)?
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
