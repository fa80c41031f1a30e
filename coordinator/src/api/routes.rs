//! The table of routes: path, method, who may, which parameters. A route cannot exist without its
//! rule, so nothing is open by omission.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;

use email_engine_protocol::api::AccessRole;

use super::app::Api;
use super::auth::Caller;
use super::gate::{Gate, admit};
use super::layers;
use super::resource::releases::artifacts;
use super::resource::{
    alerts, apply, audit, campaigns, cluster, dns, dnsbl, failover, hosts, ips, keys, releases,
    statistics, status, targets, tenant_secrets, tenants, tokens, warmup,
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
    /// Is answered from this node's own state unless asked otherwise: it is asked often, and changes nothing.
    pub(super) here: bool,
    /// Its body says how things shall be, not what is new: that somebody else made some of it so
    /// first refuses one attempt and not the request.
    pub(super) whole: bool,
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
        here: false,
        whole: false,
    }
}

fn whole(rule: Rule) -> Rule {
    Rule {
        whole: true,
        ..rule
    }
}

fn here(rule: Rule) -> Rule {
    Rule { here: true, ..rule }
}

fn headless(rule: Rule) -> Rule {
    Rule {
        headless: true,
        ..rule
    }
}

/// Which counts, and in which form.
const PAGE: &[&str] = &["after", "limit", "tenant"];
const STATS: &[&str] = &["by", "format", "from", "group", "to"];

/// Every keyed route with its rule.
pub(super) fn table() -> Vec<(Rule, Handler)> {
    let mut table = of_the_fleet();
    table.extend(of_the_cluster());
    table
}

/// Routes about what an operator declares, and what becomes of it.
#[rustfmt::skip]
fn of_the_fleet() -> Vec<(Rule, Handler)> {
    use AccessRole::{Admin, Operator, Viewer};
    use Reach::{Fleet, Tenant};
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const DELETE: Method = Method::DELETE;
    vec![
        (whole(rule(POST, "/api/v1/fleet", Operator, Tenant, &["dry_run", "prune", "removing"])), post(apply::apply)),
        (rule(GET, "/api/v1/tenants", Viewer, Tenant, &[]), get(tenants::list)),
        (rule(POST, "/api/v1/tenants", Operator, Fleet, &[]), post(tenants::create)),
        (rule(GET, "/api/v1/tenants/{tenant}", Viewer, Tenant, &[]), get(tenants::show)),
        (rule(PUT, "/api/v1/tenants/{tenant}", Operator, Tenant, &[]), put(tenants::change)),
        (rule(DELETE, "/api/v1/tenants/{tenant}", Operator, Fleet, &[]), delete(tenants::remove)),
        (rule(GET, "/api/v1/tenants/{tenant}/secrets", Viewer, Tenant, &[]), get(tenant_secrets::list)),
        (rule(PUT, "/api/v1/tenants/{tenant}/secrets/{name}", Operator, Tenant, &[]), put(tenant_secrets::set)),
        (rule(GET, "/api/v1/tenants/{tenant}/campaigns", Viewer, Tenant, &["limit"]), get(campaigns::list)),
        (rule(POST, "/api/v1/tenants/{tenant}/campaigns", Operator, Tenant, &[]), post(campaigns::create)),
        (rule(GET, "/api/v1/hosts", Viewer, Tenant, &[]), get(hosts::list)),
        (rule(POST, "/api/v1/hosts", Operator, Fleet, &[]), post(hosts::add)),
        (rule(GET, "/api/v1/hosts/{host}", Viewer, Tenant, &[]), get(hosts::show)),
        (rule(DELETE, "/api/v1/hosts/{host}", Operator, Fleet, &["grace_seconds"]), delete(hosts::retire)),
        (rule(GET, "/api/v1/hosts/{host}/config", Viewer, Tenant, &["proposed"]), get(targets::show)),
        (rule(POST, "/api/v1/hosts/{host}/allow-removal", Operator, Fleet, &[]), post(hosts::allow_removal)),
        (rule(GET, "/api/v1/hosts/{host}/allow-restart", Viewer, Fleet, &[]), get(targets::show_restart)),
        (rule(POST, "/api/v1/hosts/{host}/allow-restart", Operator, Fleet, &[]), post(targets::allow_restart)),
        (rule(POST, "/api/v1/hosts/{host}/retry", Operator, Fleet, &[]), post(hosts::retry)),
        (rule(POST, "/api/v1/hosts/{host}/revoke", Operator, Fleet, &[]), post(hosts::revoke)),
        (rule(GET, "/api/v1/ips", Viewer, Tenant, PAGE), get(ips::list)),
        (rule(POST, "/api/v1/ips", Operator, Tenant, &[]), post(ips::add)),
        (rule(GET, "/api/v1/ips/{address}", Viewer, Tenant, &[]), get(ips::show)),
        (rule(DELETE, "/api/v1/ips/{address}", Operator, Tenant, &["dry_run", "last", "now"]), delete(ips::retire)),
        (rule(GET, "/api/v1/ips/{address}/stats", Viewer, Tenant, STATS), get(statistics::of_ip)),
        (rule(GET, "/api/v1/tenants/{tenant}/stats", Viewer, Tenant, STATS), get(statistics::of_tenant)),
        (rule(GET, "/api/v1/ips/{address}/explain", Viewer, Tenant, &[]), get(ips::explain)),
        (rule(POST, "/api/v1/ips/{address}/activate", Operator, Tenant, &["force"]), post(ips::activate)),
        (rule(POST, "/api/v1/ips/{address}/quarantine", Operator, Tenant, &[]), post(ips::quarantine)),
        (rule(POST, "/api/v1/ips/{address}/release", Operator, Tenant, &["force"]), post(ips::release)),
        (rule(POST, "/api/v1/ips/{address}/rest", Operator, Tenant, &[]), post(ips::rest)),
        (rule(POST, "/api/v1/ips/{address}/retire", Operator, Tenant, &["dry_run", "last", "now"]), post(ips::retire)),
        (rule(POST, "/api/v1/ips/{address}/move", Operator, Tenant, &[]), post(ips::relocate)),
        (rule(POST, "/api/v1/ips/{address}/reserve", Operator, Tenant, &["kept"]), post(ips::reserve)),
        (rule(POST, "/api/v1/ips/{address}/checks", Operator, Tenant, &[]), post(ips::state_checks)),
        (rule(GET, "/api/v1/dkim", Viewer, Tenant, PAGE), get(ips::dkims)),
        (rule(GET, "/api/v1/ips/{address}/dkim", Viewer, Tenant, &[]), get(ips::dkim)),
        (rule(POST, "/api/v1/ips/{address}/dkim/rotate", Operator, Tenant, &[]), post(ips::rotate)),
        (rule(GET, "/api/v1/tenants/{tenant}/dkim", Viewer, Tenant, &[]), get(ips::dkim_of_tenant)),
        (rule(POST, "/api/v1/tenants/{tenant}/dkim/rotate", Operator, Tenant, &[]), post(ips::rotate_tenant)),
        (rule(GET, "/api/v1/leaving", Viewer, Tenant, &[]), get(ips::leaving)),
        (rule(GET, "/api/v1/domains", Viewer, Tenant, PAGE), get(ips::domains)),
        (rule(GET, "/api/v1/domains/{domain}", Viewer, Tenant, &[]), get(ips::domain)),
        (rule(GET, "/api/v1/warmup", Viewer, Tenant, PAGE), get(warmup::list)),
        (rule(GET, "/api/v1/warmup/simulate", Viewer, Tenant, &["add", "days", "each", "identities", "lose", "target", "tenant"]), get(warmup::simulate::show)),
        (rule(GET, "/api/v1/warmup/{address}", Viewer, Tenant, &[]), get(warmup::show)),
        (rule(POST, "/api/v1/warmup/{address}/pause", Operator, Tenant, &[]), post(warmup::pause)),
        (rule(POST, "/api/v1/warmup/{address}/resume", Operator, Tenant, &[]), post(warmup::resume)),
        (here(rule(GET, "/api/v1/tenants/{tenant}/select", Viewer, Tenant, &["mode", "purpose", "volume"])), get(warmup::select::from_query)),
        (here(rule(POST, "/api/v1/tenants/{tenant}/select", Viewer, Tenant, &[])), post(warmup::select::from_body)),
        (rule(GET, "/api/v1/dns/records", Viewer, Tenant, &["domain"]), get(dns::records)),
        (rule(GET, "/api/v1/dns/export", Viewer, Tenant, &["domain", "format"]), get(dns::exported)),
        (rule(POST, "/api/v1/dns/check", Operator, Tenant, &["domain"]), post(dns::check)),
        (rule(GET, "/api/v1/dns/compliance", Viewer, Tenant, &["domain"]), get(dns::compliance)),
        (rule(GET, "/api/v1/dns/zones", Viewer, Fleet, &[]), get(dns::zones::list)),
        (rule(PUT, "/api/v1/dns/zones/{zone}", Admin, Fleet, &[]), put(dns::zones::set)),
        (rule(DELETE, "/api/v1/dns/zones/{zone}", Admin, Fleet, &[]), delete(dns::zones::remove)),
        (rule(GET, "/api/v1/dns/zones/{zone}/plan", Operator, Fleet, &["adopt"]), get(dns::zones::show_plan)),
        (rule(POST, "/api/v1/dns/zones/{zone}/apply", Operator, Fleet, &[]), post(dns::zones::apply)),
    ]
}

/// Routes about who may enter, what hosts are made from, and the cluster itself.
#[rustfmt::skip]
fn of_the_cluster() -> Vec<(Rule, Handler)> {
    use AccessRole::{Admin, Metrics, Operator, Viewer};
    use Reach::{Fleet, Tenant};
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const DELETE: Method = Method::DELETE;
    vec![
        (rule(GET, "/api/v1/tokens", Operator, Fleet, &[]), get(tokens::list)),
        (rule(POST, "/api/v1/tokens", Operator, Fleet, &[]), post(tokens::issue)),
        (rule(DELETE, "/api/v1/tokens/{token}", Operator, Fleet, &[]), delete(tokens::revoke)),
        (rule(GET, "/api/v1/keys", Admin, Fleet, &[]), get(keys::list)),
        (rule(POST, "/api/v1/keys", Admin, Fleet, &[]), post(keys::create)),
        (rule(DELETE, "/api/v1/keys/{key}", Admin, Fleet, &[]), delete(keys::revoke)),
        (rule(GET, "/api/v1/settings", Viewer, Fleet, &[]), get(releases::settings)),
        (rule(PUT, "/api/v1/settings", Operator, Fleet, &["release"]), put(releases::put_settings)),
        (rule(GET, "/api/v1/releases", Viewer, Fleet, &[]), get(releases::list)),
        (rule(POST, "/api/v1/releases", Operator, Fleet, &["dry_run"]), post(releases::set)),
        (rule(POST, "/api/v1/bundles", Operator, Fleet, &[]), post(releases::put_bundle)),
        (rule(GET, "/api/v1/bundles/{bundle}", Operator, Fleet, &[]), get(releases::bundle)),
        (rule(GET, "/api/v1/artifacts", Viewer, Fleet, &[]), get(artifacts::list)),
        (rule(POST, "/api/v1/artifacts", Operator, Fleet, &[]), post(artifacts::begin)),
        (rule(GET, "/api/v1/artifacts/{sha256}", Viewer, Fleet, &[]), get(artifacts::show)),
        (rule(DELETE, "/api/v1/artifacts/{sha256}", Operator, Fleet, &[]), delete(artifacts::remove)),
        (rule(PUT, "/api/v1/artifacts/{sha256}/pieces/{at}", Operator, Fleet, &[]), put(artifacts::put_piece)),
        (rule(POST, "/api/v1/artifacts/{sha256}/finish", Operator, Fleet, &[]), post(artifacts::finish)),
        (rule(PUT, "/api/v1/artifact-names/{name}", Operator, Fleet, &["release"]), put(artifacts::name)),
        (rule(DELETE, "/api/v1/artifact-names/{name}", Operator, Fleet, &["release"]), delete(artifacts::unname)),
        (headless(rule(GET, "/api/v1/cluster", Viewer, Fleet, &[])), get(cluster::show)),
        (rule(POST, "/api/v1/cluster/nodes/{node}/promote", Admin, Fleet, &[]), post(cluster::promote)),
        (rule(DELETE, "/api/v1/cluster/nodes/{node}", Admin, Fleet, &[]), delete(cluster::remove)),
        (rule(POST, "/api/v1/cluster/version", Admin, Fleet, &[]), post(cluster::raise_version)),
        (rule(GET, "/api/v1/cluster/backup", Admin, Fleet, &[]), get(cluster::backup)),
        (rule(GET, "/api/v1/audit", Viewer, Fleet, &["before", "limit"]), get(audit::list)),
        (headless(rule(GET, "/api/v1/status", Viewer, Tenant, &[])), get(status::show)),
        (rule(GET, "/api/v1/alerts", Viewer, Tenant, &["before", "kind", "limit", "open", "severity"]), get(alerts::list)),
        (rule(GET, "/api/v1/alerts/{alert}", Viewer, Tenant, &[]), get(alerts::show)),
        (rule(POST, "/api/v1/alerts/test", Operator, Tenant, &[]), post(alerts::test)),
        (rule(GET, "/api/v1/alerts/channels", Viewer, Tenant, &[]), get(alerts::channels::list)),
        (rule(PUT, "/api/v1/alerts/channels/{channel}", Operator, Fleet, &[]), put(alerts::channels::set)),
        (rule(DELETE, "/api/v1/alerts/channels/{channel}", Operator, Fleet, &[]), delete(alerts::channels::remove)),
        (rule(GET, "/api/v1/alerts/routes", Viewer, Tenant, &[]), get(alerts::routes::list)),
        (rule(PUT, "/api/v1/alerts/routes/{route}", Operator, Fleet, &[]), put(alerts::routes::set)),
        (rule(DELETE, "/api/v1/alerts/routes/{route}", Operator, Fleet, &[]), delete(alerts::routes::remove)),
        (rule(GET, "/api/v1/alerts/silences", Viewer, Tenant, &[]), get(alerts::silences::list)),
        (rule(POST, "/api/v1/alerts/silences", Operator, Tenant, &[]), post(alerts::silences::create)),
        (rule(DELETE, "/api/v1/alerts/silences/{silence}", Operator, Tenant, &[]), delete(alerts::silences::end)),
        (headless(rule(GET, "/metrics", Metrics, Fleet, &[])), get(status::metrics)),
        (rule(GET, "/api/v1/dnsbl/lists", Viewer, Fleet, &[]), get(dnsbl::lists)),
        (rule(PUT, "/api/v1/dnsbl/lists/{list}/key", Admin, Fleet, &[]), put(dnsbl::set_key)),
        (rule(GET, "/api/v1/dnsbl/sweep", Viewer, Fleet, &[]), get(dnsbl::sweep)),
        (rule(POST, "/api/v1/dnsbl/sweep", Operator, Fleet, &[]), post(dnsbl::begin)),
        (rule(POST, "/api/v1/dnsbl/test", Operator, Fleet, &[]), post(dnsbl::test)),
        (rule(GET, "/api/v1/listings", Viewer, Tenant, &["all", "limit"]), get(dnsbl::listings)),
        (rule(GET, "/api/v1/failover", Viewer, Tenant, &["limit"]), get(failover::show)),
        (rule(GET, "/api/v1/failover/plan", Viewer, Tenant, &["listed"]), get(failover::plan)),
        (rule(POST, "/api/v1/failover/brakes/{list}/release", Operator, Fleet, &[]), post(failover::believe)),
        (rule(POST, "/api/v1/tenants/{tenant}/failover/freeze", Operator, Tenant, &[]), post(failover::freeze)),
        (rule(POST, "/api/v1/tenants/{tenant}/failover/thaw", Operator, Tenant, &[]), post(failover::thaw)),
        (rule(POST, "/api/v1/tenants/{tenant}/breaker/release", Operator, Tenant, &[]), post(failover::release)),
        (rule(GET, "/api/v1/listings/replies", Viewer, Tenant, &["all", "limit"]), get(dnsbl::replies)),
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
        // The gate bounds every body, for all who read one, and answers for it.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(Arc::clone(&api), layers::shape))
        .with_state(api)
}

/// The caller's key, as handlers take it.
pub(super) type Asker = Extension<Caller>;
