//! Which identities send a campaign.

use std::net::IpAddr;

use axum::http::StatusCode;

use email_engine_protocol::api::{CampaignRequest, IpSpec, Purpose};
use email_engine_protocol::id::TenantId;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::resource::warmup::select::covering;
use crate::command::Take;
use crate::fleet::selection::{purpose_word, returns_at};
use crate::state::FleetState;

/// One that sends, and what the campaign takes of its day.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) ip: IpSpec,
    pub(super) take: Take,
}

/// The identities that were named, or as many of the tenant's for this purpose as the volume takes by what is left
/// of their quotas today, the one with the largest part first. Never one of another purpose.
pub(super) async fn choose(
    api: &Api,
    tenant: &TenantId,
    request: &CampaignRequest,
) -> Result<Vec<Chosen>, ApiError> {
    let volume = request.volume.unwrap_or(1);
    if volume == 0 {
        return Err(ApiError::invalid("volume", "0", "at least 1"));
    }
    let named = &request.ips;
    let purpose = api.view(|state| purpose_of(state, tenant, request))?;
    let (mut takes, missing) = covering(api, tenant, purpose, volume, named).await?;
    if named.is_empty() {
        takes.retain(|take| take.mails > 0);
        takes.sort_by_key(|take| (std::cmp::Reverse(take.mails), take.address));
    } else {
        let wanted = named.iter().map(|address| {
            let found = takes.iter().find(|take| take.address == *address);
            found.copied().ok_or_else(|| silent(*address))
        });
        takes = wanted.collect::<Result<_, _>>()?;
    }
    if missing > 0 {
        let able = volume.saturating_sub(missing);
        let who = match named.is_empty() {
            true => format!("what identities of tenant {tenant} for this purpose may send today"),
            false => "what the named identities may send today".to_owned(),
        };
        return Err(too_much(api, volume, able, &who));
    }
    Ok(api.view(|state| {
        let chosen = |take: Take| {
            let ip = state.identities.get(&take.address)?.spec.clone();
            Some(Chosen { ip, take })
        };
        takes.into_iter().filter_map(chosen).collect()
    }))
}

/// The purpose that was said; else that of the identities that were named, which must have one.
fn purpose_of(
    state: &FleetState,
    tenant: &TenantId,
    request: &CampaignRequest,
) -> Result<Purpose, ApiError> {
    let mut purpose = request.purpose;
    for address in &request.ips {
        let found = state.identities.get(address);
        let own = found
            .filter(|own| own.spec.tenant == *tenant)
            .ok_or_else(|| ApiError::not_found("ips", &address.to_string()))?;
        let wanted = *purpose.get_or_insert(own.spec.purpose);
        if own.spec.purpose != wanted {
            let (own, wanted) = (purpose_word(own.spec.purpose), purpose_word(wanted));
            let accepted =
                format!("an identity for purpose {wanted}; this one is for purpose {own}");
            return Err(ApiError::invalid("ips", &address.to_string(), &accepted));
        }
    }
    Ok(purpose.unwrap_or(Purpose::Marketing))
}

fn silent(address: IpAddr) -> ApiError {
    let detail =
        format!("identity {address} takes no mail now: it is not active or warming, or stopped");
    ApiError::new(StatusCode::CONFLICT, "no-identity", detail).about(
        "ips",
        &address.to_string(),
        "identities that are active or warming",
    )
}

fn too_much(api: &Api, volume: u64, able: u64, who: &str) -> ApiError {
    let returns = returns_at(api.now());
    let detail =
        format!("volume {volume} is more than {able}, {who}; their quotas return at {returns}");
    ApiError::new(StatusCode::CONFLICT, "quota-exceeded", detail).about(
        "volume",
        &volume.to_string(),
        &format!("at most {able}, or more identities"),
    )
}
