//! Errors as `application/problem+json`: every code and its HTTP status in one place.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use email_engine_protocol::api::Problem;

use super::rooms::{BackupError, MembershipError, StockError};
use crate::command::{Rejection, RejectionCode};
use crate::raft::{ProposeError, ReadError, StoreError};

/// Media type of errors (RFC 9457).
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// An error on its way to the caller. Boxed: it is far larger than what handlers answer when all is
/// well.
#[derive(Clone, Debug)]
pub(super) struct ApiError(Box<Problem>, Option<RejectionCode>);

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(
            Box::new(Problem {
                kind: "about:blank".to_owned(),
                title: status.canonical_reason().unwrap_or("Error").to_owned(),
                status: status.as_u16(),
                code: code.to_owned(),
                detail: detail.into(),
                field: None,
                value: None,
                accepted: None,
                request_id: None,
            }),
            None,
        )
    }

    /// An object that is not there, or that the caller may not know of.
    pub(super) fn not_found(field: &str, value: &str) -> Self {
        let is_vowel = field.starts_with(['a', 'e', 'i', 'o', 'u']);
        let article = if is_vowel { "an" } else { "a" };
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            format!("{field} {value:?} does not exist"),
        )
        .about(
            field,
            value,
            &format!("{article} {field} that exists and that this key may see"),
        )
    }

    pub(super) fn invalid(field: &str, value: &str, accepted: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            format!("{field} {value:?} is not accepted: {accepted}"),
        )
        .about(field, value, accepted)
    }

    pub(super) fn about(mut self, field: &str, value: &str, accepted: &str) -> Self {
        self.0.field = Some(field.to_owned());
        self.0.value = Some(value.chars().take(200).collect());
        self.0.accepted = Some(accepted.to_owned());
        self
    }

    /// Says a field by the name that it has in the request.
    pub(super) fn with_field(mut self, rename: impl FnOnce(&str) -> String) -> Self {
        if let Some(field) = self.0.field.take() {
            let renamed = rename(&field);
            self.0.detail = self.0.detail.replacen(&field, &renamed, 1);
            self.0.field = Some(renamed);
        }
        self
    }

    pub(super) fn for_request(mut self, request: Option<&str>) -> Self {
        self.0.request_id = request.map(str::to_owned);
        self
    }

    /// The refusal of the fleet that it tells of.
    pub(super) const fn rejection(&self) -> Option<RejectionCode> {
        self.1
    }

    pub(super) fn code(&self) -> &str {
        &self.0.code
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(&*self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"email-engine\""),
            );
        }
        // Kept beside the bytes, so that the outermost layer can write the request id into them.
        response.extensions_mut().insert(self);
        response
    }
}

/// HTTP status of each refusal.
pub(super) const fn rejection_status(code: RejectionCode) -> StatusCode {
    match code {
        RejectionCode::NotFound | RejectionCode::TokenUnknown => StatusCode::NOT_FOUND,
        RejectionCode::Forbidden => StatusCode::FORBIDDEN,
        RejectionCode::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        RejectionCode::BrandDomain
        | RejectionCode::ForeignTenant
        | RejectionCode::Invalid
        | RejectionCode::Limit
        | RejectionCode::PoolMismatch
        | RejectionCode::RequestReused
        | RejectionCode::WrongRole => StatusCode::UNPROCESSABLE_ENTITY,
        RejectionCode::AlreadyExists
        | RejectionCode::Clock
        | RejectionCode::ClusterState
        | RejectionCode::Duplicate
        | RejectionCode::InUse
        | RejectionCode::NoEdge
        | RejectionCode::NoPreparedKey
        | RejectionCode::NotYet
        | RejectionCode::Preflight
        | RejectionCode::StaleParent
        | RejectionCode::StaleRevision
        | RejectionCode::TokenExpired
        | RejectionCode::TokenUsed
        | RejectionCode::Version
        | RejectionCode::WrongState => StatusCode::CONFLICT,
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let detail = format!(
            "{} {:?}: {}",
            rejection.field, rejection.value, rejection.accepted
        );
        let mut error = Self::new(
            rejection_status(rejection.code),
            rejection.code.as_str(),
            detail,
        )
        .about(&rejection.field, &rejection.value, &rejection.accepted);
        error.1 = Some(rejection.code);
        error
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        let (status, code) = match &error {
            ProposeError::NoQuorum { .. } => (StatusCode::SERVICE_UNAVAILABLE, "no-quorum"),
            ProposeError::LowDisk { .. } => (StatusCode::INSUFFICIENT_STORAGE, "low-disk"),
            ProposeError::ClockOff { .. } => (StatusCode::SERVICE_UNAVAILABLE, "clock-off"),
            ProposeError::NotAppliedHere { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "not-applied-here")
            }
            ProposeError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "command-too-large"),
            ProposeError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::NoQuorum { .. } => "no-quorum",
            ReadError::Stopping => "stopping",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        // The caller learns that it failed; paths and causes are for the log.
        tracing::error!(%error, "the store failed under a request");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "store",
            "this node's store failed; ask another node",
        )
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        let text = error.to_string();
        match error {
            BackupError::UnderWay => Self::new(StatusCode::CONFLICT, "backup-under-way", text),
            BackupError::Read(error) => error.into(),
            BackupError::NotReady => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", text),
            BackupError::Store(error) => error.into(),
        }
    }
}

impl From<StockError> for ApiError {
    fn from(error: StockError) -> Self {
        // What keeps a node from storing keys keeps it from storing anything: one code for it.
        if let StockError::Propose(error) = error {
            return error.into();
        }
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no-prepared-key",
            error.to_string(),
        )
    }
}

impl From<MembershipError> for ApiError {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::Refused { reason } => {
                Self::new(StatusCode::CONFLICT, "membership", reason)
            }
            MembershipError::NoQuorum { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no-quorum",
                error.to_string(),
            ),
            MembershipError::Rejected(rejection) => rejection.into(),
            MembershipError::Propose(error) => error.into(),
        }
    }
}
