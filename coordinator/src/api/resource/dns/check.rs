//! Whether records are as they must be: what was seen, and that somebody wants it seen anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};

use email_engine_protocol::api::{DnsCheckView, DnsFinding, DnsPart, DomainCheck};

use super::{Asked, only};
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::WriteRequest;
use crate::command::{AskDns, Command};
use crate::dns::due::{lines, subject};
use crate::dns::wanted::wanted;
use crate::state::{FleetState, Identity};

/// Has the records of all domains that the caller sees looked at, or those of one.
pub(in crate::api) async fn check(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Query(asked): Query<Asked>,
) -> Result<Json<DnsCheckView>, ApiError> {
    let only = only(asked.domain.as_deref())?;
    let state = api.copy_of_state();
    let seen = state.identities.values().filter(|identity| {
        let spec = &identity.spec;
        let is_meant = only.as_ref().is_none_or(|domain| *domain == spec.domain);
        is_meant && write.caller.sees(Some(&spec.tenant))
    });
    let specs: Vec<_> = seen.map(|identity| &identity.spec).collect();
    if let Some(domain) = only.filter(|_| specs.is_empty()) {
        return Err(ApiError::not_found("domain", domain.as_str()));
    }
    let addresses: BTreeSet<_> = specs.iter().map(|spec| spec.address).collect();
    let first = addresses.first().copied();
    if !addresses.is_empty() {
        let command = Command::AskDns(AskDns { addresses });
        api.commit_here(&write, command).await?;
    }
    // When it was asked is the fleet's clock, as what is seen is.
    let asked_at = api.view(|state| {
        let asked = first.and_then(|first| state.dns_looks.asked.get(&first).copied());
        asked.unwrap_or(state.now)
    });
    Ok(Json(DnsCheckView {
        domains: specs.iter().map(|spec| spec.domain.clone()).collect(),
        asked_at,
    }))
}

/// What was seen of an identity's records, if it was looked for what is wanted now.
pub(in crate::api::resource) fn checked(state: &FleetState, identity: &Identity) -> DomainCheck {
    let spec = &identity.spec;
    let look = state.dns_looks.last.get(&spec.address);
    let (Some(look), Some((_, digest)), Some(tenant)) = (
        look,
        subject(state, identity),
        state.tenants.get(&spec.tenant),
    ) else {
        return DomainCheck::default();
    };
    if look.wanted != digest {
        return DomainCheck::default();
    }
    let records = wanted(identity, tenant, state.hosts.get(&spec.host));
    let is_valid = |part: DnsPart| look.found.get(&part).and_then(|verdict| verdict.is_valid());
    let finding = |(part, verdict): (&DnsPart, _)| {
        let publish = lines(&records, *part, spec.domain.as_str(), verdict);
        let verdict = verdict.clone();
        (*part, DnsFinding { verdict, publish })
    };
    DomainCheck {
        a_valid: is_valid(DnsPart::A),
        mx_valid: is_valid(DnsPart::Mx),
        ptr_valid: is_valid(DnsPart::Ptr),
        spf_valid: is_valid(DnsPart::Spf),
        dkim_valid: is_valid(DnsPart::Dkim),
        dmarc_valid: is_valid(DnsPart::Dmarc),
        last_dns_check: Some(look.at),
        dns: look.found.iter().map(finding).collect(),
    }
}
