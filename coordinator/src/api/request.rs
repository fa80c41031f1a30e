//! What a request says, once its key is known: bodies, names in paths, freshness, request ids.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use ring::digest::{Context, SHA256};
use serde::de::DeserializeOwned;

use email_engine_protocol::id::{ApiKeyId, RequestId};

use super::auth::Caller;
use super::problem::ApiError;
use crate::command::{Answer, RejectionCode};
use crate::state::FleetState;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// As of now.
    Linearizable,
    /// As this node has it.
    Stale,
}

/// A change that a caller asks for.
#[derive(Clone, Debug)]
pub(super) struct WriteRequest {
    /// Who asks.
    pub(super) caller: Caller,
    /// Why, in the caller's words.
    pub(super) reason: String,
    /// An admin allows a clock that is far ahead of the fleet's.
    pub(super) override_clock: bool,
    /// See [`Rule::whole`](super::routes::Rule).
    pub(super) whole: bool,
    /// What the fleet answered to this very request before.
    pub(super) replayed: Option<Answer>,
    name: String,
    first_attempt: u32,
}

/// Most attempts of one request whose base keeps moving away.
pub(super) const ATTEMPTS: u32 = 16;

impl WriteRequest {
    pub(super) const fn new(caller: Caller, name: String) -> Self {
        Self {
            caller,
            reason: String::new(),
            override_clock: false,
            whole: false,
            replayed: None,
            name,
            first_attempt: 0,
        }
    }

    /// The request's name, as answered in `X-Request-Id`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Request id of the n-th attempt. Each has its own: the fleet remembers what it answered to an
    /// id, and an attempt on a newer base is another command.
    pub(super) fn attempt_id(&self, attempt: u32) -> RequestId {
        RequestId::new(attempt_name(&self.name, self.first_attempt + attempt))
            .expect("names of requests are made of the letters of request ids")
    }

    /// Goes on to another attempt, as if the ones before it had not been.
    pub(super) const fn next_attempt(&mut self) {
        self.first_attempt += 1;
    }

    /// Whether another attempt is in order.
    pub(super) const fn has_attempts(&self) -> bool {
        self.first_attempt < ATTEMPTS
    }

    /// Finds what the fleet answered to this request before, and refuses the key of another one.
    pub(super) fn recall(&mut self, state: &FleetState) -> Result<(), ApiError> {
        if let Some((key, _)) = self.name.split_once(':') {
            refuse_reuse(state, key, &self.name)?;
        }
        // Ends, for the fleet remembers a bounded number of answers.
        for attempt in 0.. {
            let id = attempt_name(&self.name, attempt);
            let remembered = RequestId::new(id)
                .ok()
                .and_then(|id| state.remembered.get(&id));
            match remembered.map(|first| &first.answer) {
                Some(Err(refused)) if self.may_pass(refused.code) => {
                    self.first_attempt = attempt + 1;
                }
                Some(answer) => {
                    self.replayed = Some(answer.clone());
                    break;
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Whether another attempt of this request may not meet this refusal.
    pub(super) const fn may_pass(&self, code: RejectionCode) -> bool {
        let first = matches!(
            code,
            RejectionCode::AlreadyExists | RejectionCode::Duplicate
        );
        is_passing(code) || (self.whole && first)
    }
}

/// Refusals that another attempt of any request may not meet.
pub(super) const fn is_passing(code: RejectionCode) -> bool {
    matches!(
        code,
        RejectionCode::StaleRevision | RejectionCode::NoPreparedKey
    )
}

fn attempt_name(name: &str, attempt: u32) -> String {
    if attempt == 0 {
        name.to_owned()
    } else {
        format!("{name}.{attempt}")
    }
}

fn refuse_reuse(state: &FleetState, key: &str, name: &str) -> Result<(), ApiError> {
    let Ok(from) = RequestId::new(format!("{key}:")) else {
        return Ok(());
    };
    let other = state
        .remembered
        .range(from..)
        .map(|(id, _)| id.as_str())
        .take_while(|id| id.starts_with(key))
        .any(|id| id.split('.').next() != Some(name));
    if other {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            RejectionCode::RequestReused.as_str(),
            "this Idempotency-Key came with another request before; use a new one per request",
        ));
    }
    Ok(())
}

/// Name of a request that carries an `Idempotency-Key`: the caller's key and the client's key in one
/// hash, so that two callers never meet, and what is asked in another, so that a reused key is seen. The
/// client's key is in both: a body may be a secret, and its hash alone, which whoever reads the audit log
/// sees, could be tried out.
pub(super) fn idempotent_name(
    caller: &ApiKeyId,
    client_key: &str,
    method: &str,
    target: &str,
    body: &[u8],
) -> String {
    let who = digest(&[caller.as_str().as_bytes(), client_key.as_bytes()]);
    let what = digest(&[
        client_key.as_bytes(),
        method.as_bytes(),
        target.as_bytes(),
        body,
    ]);
    format!("{}:{}", &who[..22], &what[..16])
}

fn digest(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    BASE64URL_NOPAD.encode(context.finish().as_ref())
}

/// The `Idempotency-Key` of a request.
pub(super) fn client_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        Ok(Some(text))
    } else {
        Err(ApiError::invalid(
            "Idempotency-Key",
            text,
            "1 to 128 printable ASCII characters without blanks",
        ))
    }
}

/// The reason that a caller gives for a change.
pub(super) fn reason(headers: &HeaderMap, otherwise: &str) -> Result<String, ApiError> {
    let Some(value) = headers.get("email-engine-reason") else {
        return Ok(otherwise.to_owned());
    };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) if text.len() <= 500 => Ok(text.to_owned()),
        _ => Err(ApiError::invalid(
            "Email-Engine-Reason",
            "",
            "at most 500 bytes of UTF-8",
        )),
    }
}

/// A JSON body. Errors name line, column and field.
#[derive(Clone, Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = JsonBytes::from_request(request, state).await?;
        let value = parse_json(&bytes.0)?;
        // A list of values in the order of the fields would be read, too.
        if bytes.0.trim_ascii_start().first() == Some(&b'[') {
            return Err(ApiError::invalid("body", "[", "a JSON object: {...}"));
        }
        Ok(Self(value))
    }
}

/// A JSON body, or none where nothing needs to be said.
#[derive(Clone, Debug)]
pub(super) struct JsonOrNothing<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for JsonOrNothing<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, email_engine_protocol::limits::REQUEST_BYTES).await;
        let bytes = bytes.map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, "bad-body", error.to_string())
        })?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let request = Request::from_parts(parts, axum::body::Body::from(bytes));
        let JsonBody(value) = JsonBody::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// The bytes of a JSON body.
#[derive(Clone, Debug)]
pub(super) struct JsonBytes(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "the body must be JSON, sent with `Content-Type: application/json`",
            ));
        }
        // Its size was bounded when the gate read it.
        Bytes::from_request(request, state)
            .await
            .map(Self)
            .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "bad-body", error.to_string()))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|text| text.split(';').next().unwrap_or_default().trim())
        .is_some_and(|kind| {
            kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json")
        })
}

/// Reads a JSON text.
pub(super) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        json_error(error.inner(), Some(&path))
    })?;
    reader.end().map_err(|error| json_error(&error, None))?;
    Ok(value)
}

fn json_error(error: &serde_json::Error, path: Option<&str>) -> ApiError {
    let place = format!("line {}, column {}", error.line(), error.column());
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    if error.is_data() {
        let field = path.filter(|path| *path != ".").unwrap_or("body");
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad-field",
            format!("{field}: {what} ({place})"),
        )
        .about(field, "", what)
    } else {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad-json",
            format!("the body is not JSON: {what} ({place})"),
        )
    }
}

/// The name at the end of a path. One that cannot be a name does not exist.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr<Err: std::fmt::Display>> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found("id", ""))?;
        text.parse().map(Self).map_err(|error: T::Err| {
            ApiError::new(StatusCode::NOT_FOUND, "not-found", error.to_string())
        })
    }
}
