//! Which identities send a campaign.

use axum::http::StatusCode;

use email_engine_protocol::api::{CampaignRequest, IpSpec, Purpose};
use email_engine_protocol::id::TenantId;

use crate::api::problem::ApiError;
use crate::fleet::takes_mail;
use crate::planner::word;
use crate::state::FleetState;

/// The identities that were named, or as many of the tenant's for this purpose as the volume takes, those with
/// the largest quota first. Never one of another purpose.
pub(super) fn choose(
    state: &FleetState,
    tenant: &TenantId,
    request: &CampaignRequest,
) -> Result<Vec<IpSpec>, ApiError> {
    let volume = request.volume.unwrap_or(1);
    let own = state.identities.values().map(|identity| &identity.spec);
    let own = own.filter(|spec| spec.tenant == *tenant);
    let purpose = request.purpose.unwrap_or(Purpose::Marketing);
    let mut chosen: Vec<IpSpec> = if request.ips.is_empty() {
        let mut all: Vec<_> = own
            .filter(|spec| spec.purpose == purpose && takes_mail(spec))
            .collect();
        all.sort_by_key(|spec| (std::cmp::Reverse(spec.daily_quota()), spec.address));
        all.into_iter().cloned().collect()
    } else {
        let named = request.ips.iter().map(|address| {
            let found = state.identities.get(address);
            let own = found.filter(|found| found.spec.tenant == *tenant);
            own.map(|own| own.spec.clone())
                .ok_or_else(|| ApiError::not_found("ips", &address.to_string()))
        });
        named.collect::<Result<_, _>>()?
    };
    if chosen.is_empty() {
        let detail = format!(
            "purpose {}: no identity of tenant {tenant} is active or warming for it",
            word(&purpose)
        );
        return Err(
            ApiError::new(StatusCode::CONFLICT, "no-identity", detail).about(
                "purpose",
                &word(&purpose),
                "a purpose that an active or warming identity has",
            ),
        );
    }
    let quota = |spec: &IpSpec| u64::from(spec.daily_quota());
    if request.ips.is_empty() {
        let mut covered = 0;
        let needed = chosen.iter().take_while(|spec| {
            let is_needed = covered < volume;
            covered += quota(spec);
            is_needed
        });
        let needed = needed.count().max(1);
        chosen.truncate(needed);
    }
    let able: u64 = chosen.iter().map(quota).sum();
    if able < volume {
        let detail = format!(
            "volume {volume} is more than the {able} a day that {} of tenant {tenant} may send",
            if request.ips.is_empty() {
                format!("all identities for purpose {}", word(&purpose))
            } else {
                "the named identities".to_owned()
            }
        );
        return Err(
            ApiError::new(StatusCode::CONFLICT, "quota-exceeded", detail).about(
                "volume",
                &volume.to_string(),
                &format!("at most {able}, or more identities"),
            ),
        );
    }
    Ok(chosen)
}
