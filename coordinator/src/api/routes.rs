//! The table of routes: path, method, who may, which parameters. A route cannot exist without its
//! rule, so nothing is open by omission.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Router};
use bytes::Bytes;
use tower_http::catch_panic::CatchPanicLayer;

use email_engine_protocol::api::AccessRole;
use email_engine_protocol::limits;

use super::app::Api;
use super::auth::{self, ApiKeyText, Caller};
use super::layers::{self, RequestName};
use super::problem::ApiError;
use super::request::{self, Freshness, WriteRequest};
use super::resource::{
    apply, audit, cluster, hosts, ips, keys, releases, status, targets, tenants, tokens,
};

/// Whose objects a route touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The whole fleet's: a key that is bound to a tenant finds nothing here.
    Fleet,
    /// A tenant's: the handler shows a bound key only its own.
    Tenant,
}

/// What a route demands.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) role: AccessRole,
    pub(super) reach: Reach,
    /// Query parameters that it knows. An unknown one is refused: a mistyped `dry_run` must not
    /// become a change.
    pub(super) parameters: &'static [&'static str],
    /// Answers without a leader too, from this node's own state, when asked for `stale`.
    pub(super) headless: bool,
}

type Handler = MethodRouter<Arc<Api>>;

const fn rule(
    method: Method,
    path: &'static str,
    role: AccessRole,
    reach: Reach,
    parameters: &'static [&'static str],
) -> Rule {
    Rule {
        method,
        path,
        role,
        reach,
        parameters,
        headless: false,
    }
}

fn headless(rule: Rule) -> Rule {
    Rule {
        headless: true,
        ..rule
    }
}

/// Every keyed route with its rule.
#[rustfmt::skip]
pub(super) fn table() -> Vec<(Rule, Handler)> {
    use AccessRole::{Admin, Operator, Viewer};
    use Reach::{Fleet, Tenant};
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const DELETE: Method = Method::DELETE;
    vec![
        (rule(POST, "/api/v1/fleet", Operator, Tenant, &["dry_run", "prune"]), post(apply::apply)),
        (rule(GET, "/api/v1/tenants", Viewer, Tenant, &[]), get(tenants::list)),
        (rule(POST, "/api/v1/tenants", Operator, Fleet, &[]), post(tenants::create)),
        (rule(GET, "/api/v1/tenants/{tenant}", Viewer, Tenant, &[]), get(tenants::show)),
        (rule(PUT, "/api/v1/tenants/{tenant}", Operator, Tenant, &[]), put(tenants::change)),
        (rule(DELETE, "/api/v1/tenants/{tenant}", Operator, Fleet, &[]), delete(tenants::remove)),
        (rule(GET, "/api/v1/hosts", Viewer, Tenant, &[]), get(hosts::list)),
        (rule(POST, "/api/v1/hosts", Operator, Fleet, &[]), post(hosts::add)),
        (rule(GET, "/api/v1/hosts/{host}", Viewer, Tenant, &[]), get(hosts::show)),
        (rule(DELETE, "/api/v1/hosts/{host}", Operator, Fleet, &["grace_seconds"]), delete(hosts::retire)),
        (rule(GET, "/api/v1/hosts/{host}/config", Viewer, Tenant, &["proposed"]), get(targets::show)),
        (rule(POST, "/api/v1/hosts/{host}/allow-removal", Operator, Fleet, &[]), post(hosts::allow_removal)),
        (rule(POST, "/api/v1/hosts/{host}/revoke", Operator, Fleet, &[]), post(hosts::revoke)),
        (rule(GET, "/api/v1/ips", Viewer, Tenant, &[]), get(ips::list)),
        (rule(POST, "/api/v1/ips", Operator, Tenant, &[]), post(ips::add)),
        (rule(GET, "/api/v1/ips/{address}", Viewer, Tenant, &[]), get(ips::show)),
        (rule(DELETE, "/api/v1/ips/{address}", Operator, Tenant, &[]), delete(ips::retire)),
        (rule(GET, "/api/v1/domains", Viewer, Tenant, &[]), get(ips::domains)),
        (rule(GET, "/api/v1/domains/{domain}", Viewer, Tenant, &[]), get(ips::domain)),
        (rule(GET, "/api/v1/tokens", Operator, Fleet, &[]), get(tokens::list)),
        (rule(POST, "/api/v1/tokens", Operator, Fleet, &[]), post(tokens::issue)),
        (rule(DELETE, "/api/v1/tokens/{token}", Operator, Fleet, &[]), delete(tokens::revoke)),
        (rule(GET, "/api/v1/keys", Admin, Fleet, &[]), get(keys::list)),
        (rule(POST, "/api/v1/keys", Admin, Fleet, &[]), post(keys::create)),
        (rule(DELETE, "/api/v1/keys/{key}", Admin, Fleet, &[]), delete(keys::revoke)),
        (rule(GET, "/api/v1/settings", Viewer, Fleet, &[]), get(releases::settings)),
        (rule(PUT, "/api/v1/settings", Operator, Fleet, &["release"]), put(releases::put_settings)),
        (rule(GET, "/api/v1/releases", Viewer, Fleet, &[]), get(releases::list)),
        (rule(POST, "/api/v1/releases", Operator, Fleet, &[]), post(releases::set)),
        (rule(POST, "/api/v1/bundles", Operator, Fleet, &[]), post(releases::put_bundle)),
        (headless(rule(GET, "/api/v1/cluster", Viewer, Fleet, &[])), get(cluster::show)),
        (rule(POST, "/api/v1/cluster/nodes/{node}/promote", Admin, Fleet, &[]), post(cluster::promote)),
        (rule(DELETE, "/api/v1/cluster/nodes/{node}", Admin, Fleet, &[]), delete(cluster::remove)),
        (rule(POST, "/api/v1/cluster/version", Admin, Fleet, &[]), post(cluster::raise_version)),
        (rule(GET, "/api/v1/cluster/backup", Admin, Fleet, &[]), get(cluster::backup)),
        (rule(GET, "/api/v1/audit", Viewer, Fleet, &["before", "limit"]), get(audit::list)),
        (headless(rule(GET, "/api/v1/status", Viewer, Tenant, &[])), get(status::show)),
        (headless(rule(GET, "/metrics", Viewer, Fleet, &[])), get(status::metrics)),
    ]
}

/// The whole API.
pub fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new()
        .route("/api/v1/health/live", get(status::live))
        .route("/api/v1/health/ready", get(status::ready));
    for (rule, handler) in table() {
        let path = rule.path;
        let gate = Gate {
            api: Arc::clone(&api),
            rule: Arc::new(rule),
        };
        router = router.route(path, handler.route_layer(from_fn_with_state(gate, admit)));
    }
    router
        .fallback(layers::unknown_path)
        .method_not_allowed_fallback(layers::unknown_method)
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(Arc::clone(&api), layers::bound))
        .layer(from_fn_with_state(Arc::clone(&api), layers::shape))
        .with_state(api)
}

#[derive(Clone)]
struct Gate {
    api: Arc<Api>,
    rule: Arc<Rule>,
}

/// Lets a request through to its handler, or not.
async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match gate.check(request).await {
        Ok(admitted) => admitted.run(next).await,
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
    async fn check(&self, mut request: Request) -> Result<Admitted, ApiError> {
        let query = Query::read(&self.rule, request.uri().query())?;
        let address = peer(&request);
        let presented = auth::presented(request.headers()).ok_or_else(auth::absent)?;
        let caller = self
            .authenticate(presented, address, query.freshness)
            .await?;
        self.permit(&caller)?;
        if query.override_clock && caller.role < AccessRole::Admin {
            return Err(forbidden(AccessRole::Admin));
        }
        let mut admitted = Admitted {
            freshness: query.freshness,
            renamed: None,
            replayed: false,
            request: Request::default(),
        };
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(query.freshness);
        if self.rule.method != Method::GET {
            let (buffered, write) = self.as_write(request, caller, &query).await?;
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
        if self.identify(&key).is_none() && self.api.throttle.exhausted(address, now) {
            return Err(too_many());
        }
        match freshness {
            Freshness::Linearizable => self.api.freshen(freshness).await?,
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
            return Err(forbidden(self.rule.role));
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
        let body = bounded_body(&parts.headers, body).await?;
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
        self.api.view(|state| write.recall(state))?;
        Ok((Request::from_parts(parts, Body::from(body)), write))
    }
}

async fn bounded_body(headers: &axum::http::HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits::REQUEST_BYTES as u64) {
        return Err(too_large());
    }
    to_bytes(body, limits::REQUEST_BYTES)
        .await
        .map_err(|_| too_large())
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

fn forbidden(needed: AccessRole) -> ApiError {
    let needed = match needed {
        AccessRole::Viewer => "viewer",
        AccessRole::Operator => "operator",
        AccessRole::Admin => "admin",
    };
    ApiError::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        format!("this needs a key of role {needed}"),
    )
}

/// Parameters that every route shares.
struct Query {
    freshness: Freshness,
    override_clock: bool,
}

impl Query {
    fn read(rule: &Rule, text: Option<&str>) -> Result<Self, ApiError> {
        let reads = rule.method == Method::GET;
        // Scrapers ask a node for its own figures.
        let mut out = Self {
            freshness: if rule.path == "/metrics" {
                Freshness::Stale
            } else {
                Freshness::Linearizable
            },
            override_clock: false,
        };
        for pair in text
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (name, value) {
                ("consistency", "stale") if reads => out.freshness = Freshness::Stale,
                ("consistency", "linearizable") => out.freshness = Freshness::Linearizable,
                ("consistency", _) => {
                    return Err(ApiError::invalid(
                        name,
                        value,
                        "stale (reads only) or linearizable",
                    ));
                }
                ("override_clock", "true") if !reads => out.override_clock = true,
                _ if rule.parameters.contains(&name) => {}
                _ => return Err(unknown_parameter(rule, name, reads)),
            }
        }
        Ok(out)
    }
}

fn unknown_parameter(rule: &Rule, name: &str, reads: bool) -> ApiError {
    let shared = if reads {
        "consistency"
    } else {
        "override_clock"
    };
    let known = [rule.parameters, &[shared]].concat().join(", ");
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "unknown-parameter",
        format!("parameter {name:?} is not known here; known are {known}"),
    )
    .about(name, "", &known)
}

fn peer(request: &Request) -> IpAddr {
    request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.0.ip().to_canonical()
        })
}

/// The caller's key, as handlers take it.
pub(super) type Asker = Extension<Caller>;
