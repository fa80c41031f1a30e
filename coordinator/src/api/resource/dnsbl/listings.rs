//! `/listings`: who is on which list.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::Deserialize;

use email_engine_protocol::api::{ListReplyView, ListingView};
use email_engine_protocol::id::ListId;
use email_engine_protocol::mail::DomainName;

use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::routes::Asker;
use crate::dnsbl::query::Subject;
use crate::dnsbl::registry::Registry;
use crate::fleet::listing::replies_naming;
use crate::state::{FleetState, Listing};

/// Which listings.
#[derive(Debug, Deserialize)]
pub(in crate::api) struct Page {
    /// Those that are over as well.
    #[serde(default)]
    all: bool,
    #[serde(default = "limit")]
    limit: usize,
}

const LONGEST: usize = 10_000;

const fn limit() -> usize {
    1_000
}

/// Who is on which list: the fleet's addresses and names, or a tenant's own.
pub(in crate::api) async fn listings(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(page): Query<Page>,
) -> Result<Json<Vec<ListingView>>, ApiError> {
    if !(1..=LONGEST).contains(&page.limit) {
        let limit = page.limit.to_string();
        return Err(ApiError::invalid("limit", &limit, "1 to 10000"));
    }
    Ok(Json(api.view(|state| {
        let all = state.listings.rows.iter();
        let own = all.filter(|(subject, _)| is_seen_by(state, &caller, subject));
        let rows = own
            .flat_map(|(subject, rows)| rows.iter().map(move |(list, row)| (subject, list, row)));
        let rows = rows.filter(|(_, _, row)| page.all || row.is_open());
        rows.take(page.limit)
            .map(|(subject, list, row)| view(subject, list, row))
            .collect()
    })))
}

/// Receivers' replies that name lists: to mail of the fleet's identities, or of a tenant's own. `all` shows those
/// that are evidence of nothing any more as well.
pub(in crate::api) async fn replies(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Query(page): Query<Page>,
) -> Result<Json<Vec<ListReplyView>>, ApiError> {
    if !(1..=LONGEST).contains(&page.limit) {
        let limit = page.limit.to_string();
        return Err(ApiError::invalid("limit", &limit, "1 to 10000"));
    }
    let now = api.now();
    Ok(Json(api.view(|state| {
        let all = state.listings.replies.iter();
        let own = all
            .filter(|(address, _)| is_seen_by(state, &caller, &Subject::Address(**address)))
            .flat_map(|(address, rows)| rows.iter().map(move |(list, row)| (address, list, row)));
        let views = own.map(|(address, list, row)| ListReplyView {
            subject: address.to_string(),
            list: list.clone(),
            count: row.count,
            first: row.first,
            last: row.last,
            sample: row.sample.clone(),
            current: replies_naming(state, *address, list, now).is_some(),
            wanted_since: row.wanted_since,
            checked_at: row.checked_at,
        });
        views
            .filter(|view| page.all || view.current)
            .take(page.limit)
            .collect()
    })))
}

/// Whether a subject is of a tenant that the caller sees.
fn is_seen_by(state: &FleetState, caller: &Caller, subject: &Subject) -> bool {
    if caller.sees(None) {
        return true;
    }
    match subject {
        Subject::Address(address) => {
            let identity = state.identities.get(address);
            identity.is_some_and(|identity| caller.sees(Some(&identity.spec.tenant)))
        }
        Subject::Name(name) => {
            let is_it = |domain: &DomainName| domain.as_str() == name;
            let sends = state
                .identities
                .values()
                .map(|identity| &identity.spec)
                .any(|spec| {
                    caller.sees(Some(&spec.tenant))
                        && [&spec.domain, &spec.hostname, &spec.zone]
                            .into_iter()
                            .any(is_it)
                });
            let tenants = state
                .tenants
                .values()
                .filter(|tenant| caller.sees(Some(&tenant.id)));
            sends || tenants.flat_map(|tenant| &tenant.link_domains).any(is_it)
        }
    }
}

fn view(subject: &Subject, list: &ListId, row: &Listing) -> ListingView {
    ListingView {
        subject: subject.to_string(),
        list: list.clone(),
        class: row.class,
        codes: row.codes.iter().map(ToString::to_string).collect(),
        meaning: row.meaning.clone(),
        reason: row.reason.clone(),
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        observers: row
            .observers
            .keys()
            .map(|one| format!("node {} by {}", one.node, one.resolver))
            .collect(),
        confirmed_at: row.confirmed_at,
        cleared_at: row.cleared_at,
        delist: Registry::built_in()
            .zone(list)
            .map(|zone| zone.delist.clone()),
    }
}
