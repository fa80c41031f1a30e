//! `/dns/compliance`: what receivers ask of who sends much.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};

use email_engine_protocol::api::ComplianceView;

use super::{Asked, only};
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::routes::Asker;
use crate::dns::compliance::{compliance as judge, rules};
use crate::dns::due::subject;
use crate::dns::wanted::wanted;

/// Of all identities that the caller sees, or of one.
pub(in crate::api) async fn compliance(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<ComplianceView>>, ApiError> {
    let only = only(asked.domain.as_deref())?;
    let (state, rules) = (api.copy_of_state(), rules());
    let seen = state.identities.values().filter(|identity| {
        let spec = &identity.spec;
        let is_meant = only.as_ref().is_none_or(|domain| *domain == spec.domain);
        is_meant && caller.sees(Some(&spec.tenant))
    });
    let view = |identity: &Arc<crate::state::Identity>| {
        let spec = &identity.spec;
        let tenant = state.tenants.get(&spec.tenant)?;
        let (_, digest) = subject(&state, identity)?;
        let records = wanted(identity, tenant, state.hosts.get(&spec.host));
        let look = state.dns_looks.last.get(&spec.address);
        let look = look.filter(|look| look.wanted == digest);
        Some(judge(&rules, identity, &records, look.map(|look| &**look)))
    };
    let views: Vec<ComplianceView> = seen.filter_map(view).collect();
    match only.filter(|_| views.is_empty()) {
        Some(domain) => Err(ApiError::not_found("domain", domain.as_str())),
        None => Ok(Json(views)),
    }
}
