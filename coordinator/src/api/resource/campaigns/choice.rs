//! Which identities send a campaign.

use std::net::IpAddr;

use axum::http::StatusCode;

use email_engine_protocol::api::{CampaignRequest, IpSpec, Purpose};
use email_engine_protocol::id::TenantId;

use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::resource::warmup::select::covering;
use crate::fleet::selection::returns_at;
use crate::state::FleetState;

/// The identities that were named, or as many of the tenant's for this purpose as the volume takes by what is left
/// of their quotas today, the one with the largest part first. Never one of another purpose.
pub(super) async fn choose(
    api: &Api,
    tenant: &TenantId,
    request: &CampaignRequest,
) -> Result<Vec<IpSpec>, ApiError> {
    let volume = request.volume.unwrap_or(1);
    if volume == 0 {
        return Err(ApiError::invalid("volume", "0", "at least 1"));
    }
    if !request.ips.is_empty() {
        return api.view(|state| named(state, tenant, &request.ips, volume));
    }
    let purpose = request.purpose.unwrap_or(Purpose::Marketing);
    let covered = covering(api, tenant, purpose, volume).await?;
    if covered.missing > 0 {
        let able = volume.saturating_sub(covered.missing);
        let who = format!("what identities of tenant {tenant} for this purpose may send today");
        return Err(too_much(api, volume, able, &who));
    }
    let spec = |state: &FleetState, address| {
        let identity = state.identities.get(&address);
        identity.map(|identity| identity.spec.clone())
    };
    let mut parts = covered.parts;
    parts.sort_by_key(|(address, mails)| (std::cmp::Reverse(*mails), *address));
    Ok(api.view(|state| {
        let found = parts
            .iter()
            .filter_map(|(address, _)| spec(state, *address));
        found.collect()
    }))
}

fn named(
    state: &FleetState,
    tenant: &TenantId,
    ips: &[IpAddr],
    volume: u64,
) -> Result<Vec<IpSpec>, ApiError> {
    let found = ips.iter().map(|address| {
        let found = state.identities.get(address);
        found
            .filter(|own| own.spec.tenant == *tenant)
            .ok_or_else(|| ApiError::not_found("ips", &address.to_string()))
    });
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let able: u64 = found.iter().map(|own| u64::from(own.daily_quota())).sum();
    if able < volume {
        return Err(quota(
            volume,
            able,
            "what the named identities may send in a day",
        ));
    }
    Ok(found.into_iter().map(|own| own.spec.clone()).collect())
}

fn too_much(api: &Api, volume: u64, able: u64, who: &str) -> ApiError {
    let who = format!("{who}; their quotas return at {}", returns_at(api.now()));
    quota(volume, able, &who)
}

fn quota(volume: u64, able: u64, who: &str) -> ApiError {
    let detail = format!("volume {volume} is more than {able}, {who}");
    ApiError::new(StatusCode::CONFLICT, "quota-exceeded", detail).about(
        "volume",
        &volume.to_string(),
        &format!("at most {able}, or more identities"),
    )
}
