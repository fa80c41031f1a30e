//! `/dns`: the records that the fleet wants, as views and in the forms that zones are loaded with, whether they
//! are what the servers of zones say, and zones that the fleet may change.

mod check;
mod compliance;
pub(in crate::api) mod zones;

pub(in crate::api) use check::check;
pub(super) use check::checked;
pub(in crate::api) use compliance::compliance;

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{DnsRecordsView, ExportFormat, ExportView, ZoneRecords};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::mail::DomainName;

use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::routes::Asker;
use crate::dns::export::export;
use crate::dns::wanted::{OfDomain, Wanted, blocks, in_zones, of_fleet};

/// Of which domain, and in which form.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::api) struct Asked {
    domain: Option<String>,
    format: Option<String>,
}

/// The records, by where they are published.
pub(in crate::api) async fn records(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(asked): Query<Asked>,
) -> Result<Json<DnsRecordsView>, ApiError> {
    let domains = domains(&api, &caller, asked.domain.as_deref())?;
    let sorted = in_zones(&domains);
    let shown = |records: &[Wanted]| records.iter().map(Wanted::record).collect();
    let zones = sorted.zones.into_iter().map(|(zone, records)| ZoneRecords {
        zone,
        records: shown(&records),
    });
    Ok(Json(DnsRecordsView {
        zones: zones.collect(),
        elsewhere: shown(&sorted.elsewhere),
        pointers: blocks(&domains),
    }))
}

/// The records as files.
pub(in crate::api) async fn exported(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(asked): Query<Asked>,
) -> Result<Json<ExportView>, ApiError> {
    let format = format(asked.format.as_deref().unwrap_or_default())?;
    let domains = domains(&api, &caller, asked.domain.as_deref())?;
    Ok(Json(export(format, &in_zones(&domains))))
}

fn format(text: &str) -> Result<ExportFormat, ApiError> {
    let known = ExportFormat::ALL;
    let found = known.into_iter().find(|format| format.as_str() == text);
    let accepted = || known.map(ExportFormat::as_str).join(", ");
    found.ok_or_else(|| ApiError::invalid("format", text, &accepted()))
}

/// The domain that is meant, if one is.
fn only(text: Option<&str>) -> Result<Option<DomainName>, ApiError> {
    let parse = |text: &str| {
        DomainName::new(text).map_err(|error| ApiError::invalid("domain", text, error.rule))
    };
    text.map(parse).transpose()
}

/// All domains that the caller sees, or the one that is meant.
fn domains(api: &Api, caller: &Caller, only: Option<&str>) -> Result<Vec<OfDomain>, ApiError> {
    let only = self::only(only)?;
    let (state, now) = (api.copy_of_state(), api.now());
    let mut all = of_fleet(&state, &|tenant: &TenantId| caller.sees(Some(tenant)), now);
    let Some(domain) = only else {
        return Ok(all);
    };
    all.retain(|one| one.spec.domain == domain);
    if all.is_empty() {
        return Err(ApiError::not_found("domain", domain.as_str()));
    }
    Ok(all)
}
