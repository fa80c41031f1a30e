//! API keys: how they are written, who holds one, and what it may do.

use std::fmt;
use std::str::FromStr;

use axum::http::{HeaderMap, StatusCode, header};
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use email_engine_protocol::api::AccessRole;
use email_engine_protocol::bytes::SecretHash;
use email_engine_protocol::id::{ApiKeyId, TenantId};
use email_engine_protocol::join::hash_secret;

use super::problem::ApiError;
use crate::state::FleetState;

const PREFIX: &str = "eek1.";

/// An API key as its holder has it: `eek1.ID.SECRET`. Never printed but by
/// [`to_text`](Self::to_text).
pub struct ApiKeyText {
    /// Public half.
    pub id: ApiKeyId,
    /// Secret half, random.
    pub secret: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for ApiKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeyText({}, redacted)", self.id)
    }
}

/// A text that is not an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an API key is {PREFIX:?}, its id, a dot and 43 characters")]
pub struct ApiKeyTextError;

impl ApiKeyText {
    /// The string that is handed over, once.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{PREFIX}{}.{}",
            self.id,
            BASE64URL_NOPAD.encode(&self.secret[..])
        ))
    }

    /// What the cluster stores instead of the secret.
    #[must_use]
    pub fn secret_hash(&self) -> SecretHash {
        hash_secret(&self.secret)
    }
}

impl FromStr for ApiKeyText {
    type Err = ApiKeyTextError;

    fn from_str(text: &str) -> Result<Self, ApiKeyTextError> {
        let rest = text.strip_prefix(PREFIX).ok_or(ApiKeyTextError)?;
        let (id, secret) = rest.split_once('.').ok_or(ApiKeyTextError)?;
        let id = ApiKeyId::new(id).map_err(|_| ApiKeyTextError)?;
        if secret.len() != 43 {
            return Err(ApiKeyTextError);
        }
        let mut bytes = BASE64URL_NOPAD
            .decode(secret.as_bytes())
            .map_err(|_| ApiKeyTextError)?;
        let mut out = Zeroizing::new([0; 32]);
        let fits = bytes.len() == out.len();
        if fits {
            out.copy_from_slice(&bytes);
        }
        bytes.zeroize();
        if fits {
            Ok(Self { id, secret: out })
        } else {
            Err(ApiKeyTextError)
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Name of the key.
    pub(super) key: ApiKeyId,
    /// What it may do.
    pub(super) role: AccessRole,
    /// The only tenant whose objects it sees.
    pub(super) tenant: Option<TenantId>,
}

impl Caller {
    /// Whether an object of this tenant (none = nobody's, or everybody's) is the caller's to see.
    pub(super) fn sees(&self, tenant: Option<&TenantId>) -> bool {
        self.tenant.is_none() || self.tenant.as_ref() == tenant
    }
}

/// The key in a request, when there is one: `X-API-Key` or `Authorization: Bearer`.
pub(super) fn presented(headers: &HeaderMap) -> Option<Result<ApiKeyText, ApiError>> {
    let direct = headers.get("x-api-key").map(|value| value.to_str());
    let bearer = headers.get(header::AUTHORIZATION).map(|value| {
        value.to_str().map(|text| match text.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
            _ => "",
        })
    });
    let text = direct.or(bearer)?.unwrap_or_default();
    Some(text.parse().map_err(|_| refused()))
}

/// The answer to a request without a key.
pub(super) fn absent() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "an API key is needed, as `X-API-Key: KEY` or `Authorization: Bearer KEY`",
    )
}

/// The one answer to every wrong key: it never says which half was wrong.
pub(super) fn refused() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "this API key is not accepted",
    )
}

/// Whose key it is, by the state given. An unknown id costs the same comparison as a known one.
pub(super) fn identify(state: &FleetState, key: &ApiKeyText) -> Option<Caller> {
    let found = state.api_keys.get(&key.id);
    let stored = found.map_or(SecretHash([0; 32]), |found| found.secret);
    let same = bool::from(key.secret_hash().0.ct_eq(&stored.0));
    let found = found?;
    (same && found.revoked_at.is_none()).then(|| Caller {
        key: found.id.clone(),
        role: found.role,
        tenant: found.tenant.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_round_trips_and_does_not_print() {
        let key = ApiKeyText {
            id: ApiKeyId::new("admin").unwrap(),
            secret: Zeroizing::new([7; 32]),
        };
        let text = key.to_text();
        let read: ApiKeyText = text.parse().unwrap();
        assert_eq!(read.id, key.id);
        assert_eq!(read.secret, key.secret);
        assert_eq!(format!("{key:?}"), "ApiKeyText(admin, redacted)");
        for bad in ["", "eek1.", "eek1.admin", "eek1.admin.short", &text[5..]] {
            assert!(bad.parse::<ApiKeyText>().is_err(), "{bad}");
        }
    }
}
