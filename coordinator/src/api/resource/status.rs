//! `/status`, `/health` and `/metrics`: how it stands, for people, load balancers and Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use email_engine_protocol::api::{FleetState as Overall, HostView, StatusView};
use email_engine_protocol::observed::{Convergence, ResourceState};

use super::cluster::{self, not_ready};
use super::hosts::{seen, views};
use crate::api::Api;
use crate::api::problem::ApiError;
use crate::api::request::Freshness;
use crate::api::routes::Asker;
use crate::metrics;

/// The fleet at a glance. Works without a leader when asked for `consistency=stale`, and says so.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Extension(freshness): Extension<Freshness>,
) -> Result<Json<StatusView>, ApiError> {
    let seen = seen(&api).await;
    let raft = api.fleet.raft_status();
    let (cluster, hosts, ips) = api.view(|state| {
        let ips = state.identities.values();
        (
            cluster::view(state, &raft),
            views(state, &caller, &seen),
            ips.filter(|ip| caller.sees(Some(&ip.spec.tenant))).count() as u64,
        )
    });
    let mut cluster = cluster.ok_or_else(not_ready)?;
    if caller.tenant.is_some() {
        // Where the nodes are is the fleet's business, as in `/cluster`.
        cluster.nodes.clear();
    }
    let (state, reasons) = judge(&hosts, cluster.leader.is_some());
    Ok(Json(StatusView {
        state,
        stale: freshness == Freshness::Stale,
        reasons,
        cluster,
        hosts,
        ips,
    }))
}

/// Most reasons that are told; the hosts themselves say the rest.
const REASONS: usize = 50;

/// Overall state, and why it is not converged.
fn judge(hosts: &[HostView], has_leader: bool) -> (Overall, Vec<String>) {
    let mut overall = Overall::Converged;
    let mut reasons = Vec::new();
    if !has_leader {
        overall = Overall::Degraded;
        reasons.push("no leader: changes are refused until a majority of nodes is back".to_owned());
    }
    for host in hosts {
        let Some((state, reason)) = trouble(host) else {
            continue;
        };
        if state == Overall::Degraded || overall == Overall::Converged {
            overall = state;
        }
        reasons.push(format!("{}: {reason}", host.spec.id));
    }
    let more = reasons.len().saturating_sub(REASONS);
    reasons.truncate(REASONS);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    (overall, reasons)
}

/// What keeps a host from being converged.
fn trouble(host: &HostView) -> Option<(Overall, String)> {
    if host.lifecycle == "retired" {
        return None;
    }
    if let Some(error) = &host.plan_error {
        return Some((
            Overall::Degraded,
            format!("cannot be planned and keeps what it has: {error}"),
        ));
    }
    if host.lifecycle == "declared" {
        return Some((
            Overall::Converging,
            "waits for its agent to enrol".to_owned(),
        ));
    }
    if host.convergence == Convergence::Degraded {
        return Some((Overall::Degraded, degraded(host)));
    }
    if host.connected.is_none() {
        return Some((Overall::Degraded, "its agent is not connected".to_owned()));
    }
    if host.lifecycle == "retiring" {
        return Some((
            Overall::Converging,
            "is being wiped of its secrets".to_owned(),
        ));
    }
    // The host keeps what it had, and that may well be right: what it refused is said all the same.
    let refused = host.attempted.as_ref().map(|attempt| attempt.generation);
    if refused.is_some() && refused == host.target && refused != host.running {
        return Some((Overall::Degraded, degraded(host)));
    }
    match (host.target, host.running) {
        (None, _) => Some((Overall::Converging, "has no target yet".to_owned())),
        (Some(target), running) if running != Some(target) => {
            let running = running.map_or_else(|| "nothing".to_owned(), |at| at.to_string());
            Some((
                Overall::Converging,
                format!("runs {running}, shall run {target}"),
            ))
        }
        _ if host.convergence != Convergence::Converged => Some((
            Overall::Converging,
            "is being brought to its target".to_owned(),
        )),
        _ => None,
    }
}

fn degraded(host: &HostView) -> String {
    let attempted = host.attempted.as_ref();
    match attempted.filter(|attempt| Some(attempt.generation) != host.running) {
        Some(attempt) => format!(
            "generation {} did not get through {:?}: {}",
            attempt.generation, attempt.stage, attempt.reason
        ),
        None => resources(host),
    }
}

/// Resources that are named in a reason; the host itself names more.
const NAMED: usize = 3;

/// Which resources are not right, and why; their number alone while nothing says which.
fn resources(host: &HostView) -> String {
    let said = host.trouble.iter().filter_map(|status| {
        let (word, reason) = match &status.state {
            ResourceState::Blocked(reason) => ("is blocked", reason),
            ResourceState::Drifted(reason) => ("differs", reason),
            ResourceState::Failed(reason) => ("failed", reason),
            _ => return None,
        };
        Some(format!("{} {word}: {reason}", status.id))
    });
    let mut said: Vec<String> = said.take(NAMED).collect();
    let counts = &host.counts;
    let wrong = (counts.total() - counts.satisfied()) as usize;
    if said.is_empty() {
        return match wrong {
            0 => "its agent says that something is wrong, and not yet what".to_owned(),
            _ => format!(
                "of its resources {} failed, {} are blocked, {} differ",
                counts.failed, counts.blocked, counts.drifted
            ),
        };
    }
    if wrong > said.len() {
        said.push(format!("and {} more", wrong - said.len()));
    }
    said.join("; ")
}

/// The process answers.
pub(in crate::api) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

/// The node can serve: it holds the cluster's state and knows a leader.
pub(in crate::api) async fn ready(State(api): State<Arc<Api>>) -> Result<Json<Value>, ApiError> {
    let founded = api.view(|state| state.cluster.is_some());
    if founded && api.fleet.leadership().leader.is_some() {
        return Ok(Json(json!({ "ready": true })));
    }
    let reason = if founded {
        "this node knows no leader"
    } else {
        "this node does not hold the cluster's state yet"
    };
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-ready",
        reason,
    ))
}

/// This node's figures, in Prometheus' text format.
pub(in crate::api) async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let Some(recorder) = &api.metrics else {
        return Err(ApiError::not_found("metrics", "recorder"));
    };
    let raft = api.fleet.raft_status();
    let here = api
        .fleet
        .sessions()
        .await
        .into_iter()
        .filter(|(node, _)| *node == raft.node);
    let sessions = here.count();
    api.view(|state| metrics::observe(state, &raft, sessions));
    recorder.run_upkeep();
    let mut response = recorder.render().into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    Ok(response)
}
