//! What wraps every request: its id, the shape of errors, bounds, figures.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64URL_NOPAD;

use super::app::Api;
use super::problem::ApiError;
use crate::metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Name of a request, made when it arrives; a write may rename itself by its `Idempotency-Key`.
#[derive(Clone, Debug)]
pub(super) struct RequestName(pub(super) String);

/// Gives every request a name, and every error the one shape with that name in it.
pub(super) async fn shape(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let endpoint = endpoint(&request);
    let method = method(&request);
    let made = BASE64URL_NOPAD.encode(&api.entropy().bytes::<16>());
    request.extensions_mut().insert(RequestName(made.clone()));
    let bounded = tokio::time::timeout(api.request_time, next.run(request)).await;
    let response = bounded.unwrap_or_else(|_| out_of_time(&api).into_response());
    let name = match response.extensions().get::<RequestName>() {
        Some(renamed) => renamed.0.clone(),
        None => made,
    };
    let mut response = as_problem(response, &name);
    if let Ok(value) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    metrics::api_request(
        endpoint,
        method,
        response.status().as_u16(),
        started.elapsed(),
    );
    response
}

/// The template of the route, never the path: labels stay bounded.
fn endpoint(request: &Request) -> String {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned())
}

fn method(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

fn out_of_time(api: &Api) -> ApiError {
    ApiError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "timeout",
        format!(
            "no answer within {} s; a change may still take effect: repeat it with the same \
             Idempotency-Key",
            api.request_time.as_secs()
        ),
    )
}

fn as_problem(mut response: Response, name: &str) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = response
        .extensions_mut()
        .remove::<ApiError>()
        .unwrap_or_else(|| foreign(&response));
    tracing::debug!(%status, code = problem.code(), request = name, "request refused");
    let mut shaped = problem.for_request(Some(name)).into_response();
    for (header, value) in response.headers() {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(header) {
            shaped.headers_mut().insert(header.clone(), value.clone());
        }
    }
    shaped
}

/// An error that some layer below made in its own shape.
fn foreign(response: &Response) -> ApiError {
    let status = response.status();
    let code = match status {
        StatusCode::BAD_REQUEST => "bad-request",
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "body-too-large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "media-type",
        status if status.is_client_error() => "refused",
        _ => "internal",
    };
    ApiError::new(status, code, status.canonical_reason().unwrap_or("refused"))
}

/// A handler that panicked is answered for, and counted.
#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let what = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = %what, "a request's handler panicked");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the coordinator failed on this request; its log has the cause under this request id",
    )
    .into_response()
}

/// No such path.
pub(super) async fn unknown_path() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "there is nothing at this path; the API is under /api/v1",
    )
}

/// The path exists, the method does not.
pub(super) async fn unknown_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this path does not take this method; the Allow header names those that it takes",
    )
}
