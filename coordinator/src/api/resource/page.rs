//! Long lists, which are answered a page at a time: `?after=KEY&limit=N&tenant=T`.

use std::fmt::Display;
use std::ops::Bound;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use email_engine_protocol::id::TenantId;
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;

/// Most rows of one answer.
const PER_PAGE: usize = 10_000;

/// Which rows.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::api) struct Page<K> {
    /// Only those behind this one.
    after: Option<K>,
    #[serde(default = "usual")]
    limit: usize,
    tenant: Option<TenantId>,
}

const fn usual() -> usize {
    1_000
}

impl<K: Display> Page<K> {
    /// Refused before anything is read. Nobody's rows are not none: the name may be mistyped.
    pub(super) fn check(&self, api: &Api, caller: &Caller) -> Result<(), ApiError> {
        let is_there = |tenant: &&TenantId| {
            caller.sees(Some(tenant)) && api.view(|state| state.tenants.contains_key(*tenant))
        };
        if let Some(unknown) = self.tenant.as_ref().filter(|tenant| !is_there(tenant)) {
            return Err(ApiError::not_found("tenant", unknown.as_str()));
        }
        if (1..=PER_PAGE).contains(&self.limit) {
            return Ok(());
        }
        Err(ApiError::invalid(
            "limit",
            &self.limit.to_string(),
            "1 to 10000",
        ))
    }

    /// What lies behind the page before.
    pub(super) fn behind(&self) -> (Bound<&K>, Bound<&K>) {
        let from = self.after.as_ref();
        (
            from.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        )
    }

    /// How many rows are looked at: one more than are shown tells whether there is another page.
    pub(super) const fn looked_at(&self) -> usize {
        self.limit + 1
    }

    /// Whether what belongs to a tenant is asked for, and for this caller to see.
    pub(super) fn has(&self, caller: &Caller, tenant: &TenantId) -> bool {
        caller.sees(Some(tenant)) && self.tenant.as_ref().is_none_or(|own| own == tenant)
    }

    /// The page, of as many rows as [`looked_at`](Self::looked_at) says or fewer. Where there are more, the header
    /// `link` names the next one (RFC 8288).
    pub(super) fn answer<T: Serialize>(
        &self,
        path: &str,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Response {
        let is_last = rows.len() <= self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| !is_last);
        let next = next.map(|last| self.link(path, &key(last)));
        let mut answer = Json(rows).into_response();
        if let Some(next) = next.and_then(|next| next.parse().ok()) {
            answer.headers_mut().insert(header::LINK, next);
        }
        answer
    }

    fn link(&self, path: &str, last: &K) -> String {
        let tenant = self.tenant.as_ref();
        let tenant = tenant.map_or_else(String::new, |tenant| format!("&tenant={tenant}"));
        let limit = self.limit;
        format!("</api/v1/{path}?after={last}&limit={limit}{tenant}>; rel=\"next\"")
    }
}
