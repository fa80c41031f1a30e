//! The gate before every route: its parameters, the caller's key and role, the body of a change.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use email_engine_protocol::api::AccessRole;
use email_engine_protocol::limits;
use email_engine_protocol::time::Timestamp;

use super::app::Api;
use super::auth::{self, ApiKeyText, Caller};
use super::layers::{self, RequestName};
use super::problem::ApiError;
use super::query::Query;
use super::request::{self, Freshness, WriteRequest};
use super::routes::{Reach, Rule};

/// The gate of one route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) api: Arc<Api>,
    pub(super) rule: Arc<Rule>,
}

/// Lets a request through to its handler, or not.
pub(super) async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match gate.answer(request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

struct Admitted {
    request: Request,
    freshness: Freshness,
    renamed: Option<RequestName>,
    replayed: bool,
}

impl Admitted {
    async fn run(self, next: Next) -> Response {
        let mut response = next.run(self.request).await;
        if self.freshness == Freshness::Stale {
            response.headers_mut().insert(
                HeaderName::from_static("email-engine-consistency"),
                HeaderValue::from_static("stale"),
            );
        }
        if self.replayed {
            response.headers_mut().insert(
                HeaderName::from_static("idempotency-replayed"),
                HeaderValue::from_static("true"),
            );
        }
        if let Some(renamed) = self.renamed {
            response.extensions_mut().insert(renamed);
        }
        response
    }
}

impl Gate {
    async fn answer(&self, request: Request, next: Next) -> Result<Response, ApiError> {
        let query = Query::read(&self.rule, request.uri().query())?;
        let asks_this_node = self.rule.headless && query.freshness == Freshness::Stale;
        let _slot = self.api.slot(asks_this_node)?;
        let admitted = self.check(request, &query).await?;
        Ok(admitted.run(next).await)
    }

    /// Who asks, if that may be asked by whoever it is.
    async fn asker(&self, parts: &Parts, query: &Query) -> Result<Caller, ApiError> {
        let presented = auth::presented(&parts.headers).ok_or_else(auth::absent)?;
        let caller = self
            .authenticate(presented, peer(parts), query.freshness)
            .await?;
        self.permit(&caller)?;
        if query.override_clock && caller.role < AccessRole::Admin {
            return Err(forbidden(AccessRole::Admin, &caller));
        }
        Ok(caller)
    }

    async fn check(&self, request: Request, query: &Query) -> Result<Admitted, ApiError> {
        let (parts, body) = request.into_parts();
        let caller = match self.asker(&parts, query).await {
            Ok(caller) => caller,
            Err(refused) => {
                turn_away(parts.version, body, REFUSED).await;
                return Err(refused);
            }
        };
        let mut request = Request::from_parts(parts, body);
        let mut admitted = Admitted {
            freshness: query.freshness,
            renamed: None,
            replayed: false,
            request: Request::default(),
        };
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(query.freshness);
        if self.rule.method != Method::GET {
            let (buffered, write) = self.as_write(request, caller, query).await?;
            request = buffered;
            admitted.renamed = Some(RequestName(write.name().to_owned()));
            admitted.replayed = write.replayed.is_some();
            request.extensions_mut().insert(write);
        }
        admitted.request = request;
        Ok(admitted)
    }

    /// Whose key it is, by the state as of now, so that a revoked key is refused at once. A guess
    /// that this node already knows to be wrong does not reach the leader once the address has
    /// failed too often.
    async fn authenticate(
        &self,
        presented: Result<ApiKeyText, ApiError>,
        address: IpAddr,
        freshness: Freshness,
    ) -> Result<Caller, ApiError> {
        let now = self.api.now();
        let key = match presented {
            Ok(key) => key,
            Err(error) => {
                self.api.throttle.failed(address, now);
                return Err(self.refusal(address, error));
            }
        };
        let is_known = self.identify(&key).is_some();
        if !is_known && self.api.throttle.exhausted(address, now) {
            return Err(too_many());
        }
        match freshness {
            Freshness::Linearizable if is_known => self.api.freshen(freshness).await?,
            Freshness::Linearizable => return self.look_up(&key, address, now).await,
            Freshness::Stale if self.rule.headless => {}
            Freshness::Stale if self.api.fleet.is_stopped() => {}
            Freshness::Stale if self.api.fleet.leadership().leader.is_some() => {}
            Freshness::Stale => return Err(no_leader()),
        }
        self.identify(&key).ok_or_else(|| {
            self.api.throttle.failed(address, now);
            self.refusal(address, auth::refused())
        })
    }

    /// A key that this node does not know. Looking it up is what a wrong one costs the cluster, so it
    /// counts before it ends: many at once, and those that nobody can answer, are bounded as well.
    async fn look_up(
        &self,
        key: &ApiKeyText,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Caller, ApiError> {
        self.api.throttle.failed(address, now);
        self.api.freshen(Freshness::Linearizable).await?;
        match self.identify(key) {
            Some(caller) => {
                self.api.throttle.forgive(address);
                Ok(caller)
            }
            None => Err(self.refusal(address, auth::refused())),
        }
    }

    fn identify(&self, key: &ApiKeyText) -> Option<Caller> {
        self.api.view(|state| auth::identify(state, key))
    }

    fn refusal(&self, address: IpAddr, error: ApiError) -> ApiError {
        if self.api.throttle.exhausted(address, self.api.now()) {
            too_many()
        } else {
            error
        }
    }

    fn permit(&self, caller: &Caller) -> Result<(), ApiError> {
        if self.rule.reach == Reach::Fleet && caller.tenant.is_some() {
            return Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "not-found",
                "there is nothing here for a key that is bound to a tenant",
            ));
        }
        if caller.role < self.rule.role {
            return Err(forbidden(self.rule.role, caller));
        }
        Ok(())
    }

    /// Reads the body, bounded, and names the request.
    async fn as_write(
        &self,
        request: Request,
        caller: Caller,
        query: &Query,
    ) -> Result<(Request, WriteRequest), ApiError> {
        let (parts, body) = request.into_parts();
        let body = bounded_body(&parts, body).await?;
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let name = match request::client_key(&parts.headers)? {
            Some(client_key) => request::idempotent_name(
                &caller.key,
                client_key,
                parts.method.as_str(),
                target,
                &body,
            ),
            None => match parts.extensions.get::<RequestName>() {
                Some(made) => made.0.clone(),
                None => return Err(layers::unknown_path().await),
            },
        };
        let otherwise = format!("{} {}", parts.method, parts.uri.path());
        let mut write = WriteRequest::new(caller, name);
        write.reason = request::reason(&parts.headers, &otherwise)?;
        write.override_clock = query.override_clock;
        write.whole = self.rule.whole;
        self.api.view(|state| write.recall(state))?;
        Ok((Request::from_parts(parts, Body::from(body)), write))
    }
}

async fn bounded_body(parts: &Parts, body: Body) -> Result<Bytes, ApiError> {
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut body = body.into_data_stream();
    let mut kept = BytesMut::new();
    if announced.is_none_or(|length| length <= limits::REQUEST_BYTES as u64) {
        loop {
            match body.next().await {
                None => return Ok(kept.freeze()),
                Some(Err(error)) => {
                    let detail = format!("the body did not arrive whole: {error}");
                    return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad-body", detail));
                }
                Some(Ok(chunk)) if kept.len() + chunk.len() > limits::REQUEST_BYTES => break,
                Some(Ok(chunk)) => kept.extend_from_slice(&chunk),
            }
        }
    }
    drop(kept);
    turn_away(parts.version, Body::from_stream(body), TOO_LARGE).await;
    Err(too_large())
}

/// Longest time and most bytes that are given to a body that is refused already; little to those of whom nobody
/// knows that they may say anything.
const TOO_LARGE: (Duration, usize) = (Duration::from_secs(10), 16 * limits::REQUEST_BYTES);
const REFUSED: (Duration, usize) = (Duration::from_secs(1), 64 << 10);

/// On a stream that is reset while a client still sends, many clients do not see the answer.
async fn turn_away(version: Version, body: Body, (time, most): (Duration, usize)) {
    if version == Version::HTTP_2 {
        let _ = tokio::time::timeout(time, drain(body.into_data_stream(), most)).await;
    }
}

async fn drain(mut body: BodyDataStream, mut left: usize) {
    while let Some(Ok(chunk)) = body.next().await
        && chunk.len() <= left
    {
        left -= chunk.len();
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body-too-large",
        format!("the body is larger than {} bytes", limits::REQUEST_BYTES),
    )
}

fn too_many() -> ApiError {
    ApiError::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-failures",
        "too many keys from this address were not accepted; wait a minute",
    )
}

fn no_leader() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "no-leader",
        "this node has had no contact to a leader for a while and answers only \
         /api/v1/status, /api/v1/cluster and /metrics, with consistency=stale",
    )
}

pub(super) fn forbidden(needed: AccessRole, caller: &Caller) -> ApiError {
    let word = |role| match role {
        AccessRole::Metrics => "metrics",
        AccessRole::Viewer => "viewer",
        AccessRole::Operator => "operator",
        AccessRole::Admin => "admin",
    };
    let (needed, has) = (word(needed), word(caller.role));
    ApiError::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        format!(
            "this needs a key of role {needed}; key {} is of role {has}",
            caller.key
        ),
    )
}

fn peer(parts: &Parts) -> IpAddr {
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.0.ip().to_canonical()
        })
}
