//! `/status`, `/health` and `/metrics`: how it stands, for people, load balancers and Prometheus. What
//! goes on for too long while every host is as desired is in `alarms`.

mod alarms;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures::future::join;
use serde_json::{Value, json};

use email_engine_protocol::api::{
    ClusterView, Contact, FleetState as Overall, HostView, MemberRole, StatusView, TurnedAway,
};
use email_engine_protocol::observed::{Convergence, Observed, ResourceState};
use email_engine_protocol::time::Timestamp;

use self::alarms::{alerts, overdue, stuck_rotations, untrusted};
use super::cluster::{self, not_ready};
use super::hosts::{seen_from, views};
use super::ips;
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
    // Once the leader has planned what was committed before this was asked, no host looks right only
    // because nobody has thought about it yet.
    let asked = api.view(|state| state.revision);
    let (seen, contacts) = join(seen_from(&api, asked), api.fleet.contacts()).await;
    let failed = seen.planned.as_ref().map_or(0, |planned| planned.failed);
    let planned = seen.planned.as_ref().map(|planned| planned.revision);
    if freshness == Freshness::Linearizable
        && planned.is_some_and(|at| at > api.view(|state| state.revision))
    {
        // The leader has set targets that this node has not seen yet.
        api.freshen(freshness).await?;
    }
    let raft = api.fleet.raft_status();
    let now = api.now();
    let (cluster, hosts, ips, leaving, untrusted, stuck) = api.view(|state| {
        let ips = state.identities.values();
        (
            cluster::view(state, &raft, &contacts, now),
            views(state, &caller, &seen),
            ips.filter(|ip| caller.sees(Some(&ip.spec.tenant))).count() as u64,
            ips::leaving_views(state, &caller, &seen),
            untrusted(state, now),
            stuck_rotations(state, &caller, now),
        )
    });
    let mut cluster = cluster.ok_or_else(not_ready)?;
    let mut overdue = overdue(&leaving, now);
    overdue.extend(stuck);
    if caller.tenant.is_some() {
        // Where the nodes are is the fleet's business, as in `/cluster`.
        cluster.nodes.clear();
    } else {
        overdue.extend(untrusted);
    }
    if failed >= FAILED_PASSES {
        let text = "the leader's planning came to nothing";
        overdue.push(format!("{text} {failed} times in a row: its log says why"));
    }
    let waiting = unplanned(asked, planned);
    let unplanned = waiting.is_some();
    let (state, reasons) = judge(&hosts, &cluster, waiting, overdue, now);
    Ok(Json(StatusView {
        state,
        stale: freshness == Freshness::Stale,
        reasons,
        unplanned,
        cluster,
        hosts,
        ips,
        leaving: leaving.len() as u64,
    }))
}

/// Passes of the planner in a row that came to nothing before that is an alarm: one, a second later,
/// may be an election.
const FAILED_PASSES: u32 = 5;
/// Most reasons that are told; the hosts themselves say the rest.
const REASONS: usize = 50;

/// Overall state, and why it is not converged.
fn judge(
    hosts: &[HostView],
    cluster: &ClusterView,
    unplanned: Option<String>,
    overdue: Vec<String>,
    now: Timestamp,
) -> (Overall, Vec<String>) {
    let mut overall = Overall::Converged;
    let mut reasons = Vec::new();
    if cluster.leader.is_none() {
        overall = Overall::Degraded;
        reasons.push("no leader: changes are refused until a majority of nodes is back".to_owned());
    } else {
        reasons.extend(silent_voters(cluster));
        if !reasons.is_empty() {
            overall = Overall::Degraded;
        }
        if let Some(unplanned) = unplanned {
            if overall == Overall::Converged {
                overall = Overall::Converging;
            }
            reasons.push(unplanned);
        }
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
    let alerts = hosts.iter().flat_map(|host| alerts(host, now));
    let before = reasons.len();
    reasons.extend(overdue.into_iter().chain(alerts));
    if reasons.len() > before {
        overall = Overall::Degraded;
    }
    let more = reasons.len().saturating_sub(REASONS);
    reasons.truncate(REASONS);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    (overall, reasons)
}

/// What the leader has not thought about yet: hosts may look right that are to change.
fn unplanned(asked: u64, planned: Option<u64>) -> Option<String> {
    match planned {
        Some(planned) if planned >= asked => None,
        Some(_) => Some(format!("changes up to revision {asked} are being planned")),
        None => Some("the leader does not say what it has planned".to_owned()),
    }
}

/// Voters that the leader does not hear. The fleet runs on without them, but not without many more.
fn silent_voters(cluster: &ClusterView) -> Vec<String> {
    let voters = || {
        let nodes = cluster.nodes.iter();
        nodes.filter(|node| node.role == MemberRole::Voter)
    };
    let since = |contact: &Option<Observed<Contact>>| match contact.as_ref()?.known()? {
        Contact::Unreachable { since } => Some(*since),
        Contact::Heard { .. } => None,
    };
    let silent = voters().filter(|node| since(&node.contact).is_some());
    let left = voters().count() - silent.count();
    let spare = left.saturating_sub(voters().count() / 2 + 1);
    let losses = match spare {
        0 => "nothing can be changed when one more is lost".to_owned(),
        spare => format!("{spare} more may be lost"),
    };
    let named = voters().filter_map(|node| {
        let since = since(&node.contact)?;
        let id = node.id;
        Some(format!(
            "node {id}: votes, and has not answered the leader since {since}; {losses}"
        ))
    });
    let mut named: Vec<String> = named.collect();
    // Nobody is known to answer, and nobody not to: the leader itself did not say.
    let leader = voters().find(|node| node.leader);
    if let Some(Some(Observed::Unknown { reason, .. })) = leader.map(|node| &node.contact) {
        named.push(format!("which nodes answer is unknown: {reason}"));
    }
    named
}

/// What keeps a host from being converged, in words for people.
#[must_use]
pub fn trouble(host: &HostView) -> Option<(Overall, String)> {
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
        return Some((Overall::Degraded, silent(host)));
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

/// What is known of an agent that is not connected. That a node does not answer does not make its
/// agents absent.
fn silent(host: &HostView) -> String {
    if !host.unheard.is_empty() {
        let nodes: Vec<_> = host.unheard.iter().map(ToString::to_string).collect();
        return format!(
            "whether its agent is connected is not known: node {} does not say whom it has",
            nodes.join(" and node ")
        );
    }
    let reason = host.turned_away.as_ref().map(|away| {
        let TurnedAway { at, reason } = away;
        format!("; it called at {at} and got no session: {reason}")
    });
    format!("its agent is not connected{}", reason.unwrap_or_default())
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
    let rows = api.fleet.sessions().await.rows.into_iter();
    let here = rows.filter(|(node, row)| *node == raft.node && row.is_live());
    let here: Vec<_> = here.map(|(_, row)| row).collect();
    let now = api.now();
    let looking = Arc::clone(&api);
    let looked = tokio::task::spawn_blocking(move || {
        metrics::look(|| {
            let sending = looking.view(|state| {
                metrics::observe(state, &raft, now);
                metrics::observe_hosts_mail(state, here.iter(), now);
                metrics::sending(state, now)
            });
            let read = |subject: &_, spans: &[_]| looking.series(subject, spans);
            if let Err(error) = metrics::observe_sending(&sending, read) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "counts are not shown"
                );
                metrics::error("series", "error");
            }
        })
    });
    let looked = looked.await.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            error.to_string(),
        )
    })?;
    recorder.run_upkeep();
    let mut response = (recorder.render() + &looked).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    Ok(response)
}
