//! DKIM keys of a PowerMTA host, each in a file of its own.

use email_engine_protocol::id::SecretId;
use email_engine_protocol::secret::SecretRef;
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use crate::planner::error::PlanError;
use crate::planner::routes;
use crate::planner::values::Item;
use crate::state::{FleetState, Identity};

/// A DKIM key as templates see it.
#[derive(Debug, Serialize)]
struct KeyValues<'a> {
    key_file: String,
    selector: &'a str,
    domain: &'a str,
    vmta: &'a str,
}

/// What a plan says of a key of an identity.
pub(in crate::planner) fn key(
    state: &FleetState,
    identity: &Identity,
    id: &SecretId,
) -> Result<SecretRef, PlanError> {
    let secret = state.secrets.get(id);
    secret
        .map(|secret| secret.reference())
        .ok_or_else(|| PlanError::MissingKey {
            address: identity.spec.address,
            secret: id.clone(),
        })
}

/// The keys of an identity that its host shall have.
pub(in crate::planner) fn keys(
    state: &FleetState,
    identity: &Identity,
) -> Result<Vec<Item>, PlanError> {
    let spec = &identity.spec;
    let second = identity.second_key_file();
    let second = second.map(|other| (&other.secret, &other.selector));
    let all = std::iter::once((&identity.dkim_key, &spec.selector)).chain(second);
    all.map(|(id, selector)| {
        let value = KeyValues {
            key_file: routes::key_file(identity, selector),
            selector,
            domain: spec.domain.as_str(),
            vmta: spec.vmta.as_str(),
        };
        Ok(Item {
            value: Value::from(Serde(value)),
            secret: Some(key(state, identity, id)?),
            status: None,
            placed_at: identity.placed_at,
            expired_at: None,
        })
    })
    .collect()
}
