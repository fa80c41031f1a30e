//! `/hosts`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use futures::future::join;
use serde::Deserialize;

use email_engine_protocol::api::{HostSpec, HostView, MailDay, MailView, TurnedAway, Verdict};
use email_engine_protocol::id::{HostId, NodeId, VmtaName};
use email_engine_protocol::observed::Observed;
use email_engine_protocol::time::Timestamp;

use crate::api::Api;
use crate::api::auth::Caller;
use crate::api::problem::ApiError;
use crate::api::request::{JsonBody, Named, WriteRequest};
use crate::api::routes::Asker;
use crate::command::{AddHost, AllowRemoval, Command, RetireHost, RetryChange, RevokeCertificate};
use crate::metrics::lifecycle;
use crate::raft::{Planned, SessionRow, Sessions};
use crate::state::{FleetState, Host, HostLifecycle, Span};

/// What the nodes know of hosts and the state does not hold.
#[derive(Debug)]
pub(super) struct Seen {
    /// Which node has the agent of each host, and what that says.
    sessions: BTreeMap<HostId, (NodeId, SessionRow)>,
    /// Why an agent got no session when it called last.
    turned_away: BTreeMap<HostId, TurnedAway>,
    /// Nodes that did not say whose agents they have.
    unheard: Vec<NodeId>,
    /// How far the leader has planned, when it answers.
    pub(super) planned: Option<Planned>,
}

impl Seen {
    /// Whether a host has an address, as it said last. A sandbox has its machine's addresses and not its
    /// own, so that it knows of none that is not there.
    pub(super) fn has_address(&self, host: &HostId, address: IpAddr) -> Option<Verdict> {
        let (_, row) = self.sessions.get(host)?;
        row.has_address(address)
    }

    /// What a virtual MTA of a host holds, as that said last.
    pub(super) fn left(&self, host: &HostId, vmta: &VmtaName) -> Option<Observed<u64>> {
        let (_, row) = self.sessions.get(host)?;
        let mut drains = row.drains.iter();
        let found = drains.find(|drain| drain.name == vmta.as_str())?;
        Some(found.messages.clone())
    }
}

/// Asks all nodes for their sessions, and the leader for what it has planned and cannot plan. The
/// newest session wins where two nodes still claim one.
pub(super) async fn seen(api: &Api) -> Seen {
    seen_from(api, 0).await
}

/// Likewise, and the leader has planned a revision of the fleet by then, if that takes it no longer
/// than an answer may.
pub(super) async fn seen_from(api: &Api, revision: u64) -> Seen {
    let (sessions, planned) = join(api.fleet.sessions(), api.fleet.planned(revision)).await;
    let Sessions { mut rows, unheard } = sessions;
    rows.sort_by_key(|(_, row)| row.since);
    let (live, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, row)| row.is_live());
    let away = |(_, row): (NodeId, SessionRow)| {
        let (at, reason) = (row.since, row.turned_away?);
        Some((row.host, TurnedAway { at, reason }))
    };
    Seen {
        unheard,
        sessions: live
            .into_iter()
            .map(|(node, row)| (row.host.clone(), (node, row)))
            .collect(),
        turned_away: others.into_iter().filter_map(away).collect(),
        planned,
    }
}

/// One host as answered.
pub(super) fn view(state: &FleetState, id: &HostId, host: &Host, seen: &Seen) -> HostView {
    let outcome = state.outcomes.get(id);
    let retired = host.is_retired();
    let session = seen.sessions.get(id);
    HostView {
        spec: host.spec.clone(),
        lifecycle: lifecycle(host.lifecycle).to_owned(),
        target: state.targets.get(id).map(|target| target.generation),
        running: outcome.and_then(|outcome| outcome.running),
        convergence: outcome
            .map(|outcome| outcome.convergence)
            .unwrap_or_default(),
        counts: outcome.map(|outcome| outcome.counts).unwrap_or_default(),
        trouble: session
            .map(|(_, row)| row.trouble.clone())
            .unwrap_or_default(),
        facts: None,
        attempted: outcome.and_then(|outcome| outcome.attempted.clone()),
        plan_error: (!retired)
            .then(|| seen.planned.as_ref()?.errors.get(id).cloned())
            .flatten(),
        connected: session.map(|(node, _)| *node),
        turned_away: match session {
            Some(_) => None,
            None => seen.turned_away.get(id).filter(|_| !retired).cloned(),
        },
        unheard: match (session, &host.keys) {
            (None, Some(_)) => seen.unheard.clone(),
            _ => Vec::new(),
        },
        changed_at: outcome.map(|outcome| outcome.changed_at),
        mail: MailView {
            notices: session
                .map(|(_, row)| row.mail.notices.clone())
                .unwrap_or_default(),
            days: mail_days(state, id),
        },
        uncounted: state.accounting.uncounted(id),
    }
}

/// What a host's identities sent together, the newest day first.
fn mail_days(state: &FleetState, host: &HostId) -> Vec<MailDay> {
    let known = state.accounting.hosts.get(host);
    let days = known.map(|known| known.days.iter().rev());
    days.into_iter()
        .flatten()
        .map(|(day, counts)| MailDay::of(Span::Day(*day).begins(), counts))
        .collect()
}

/// All hosts that a caller sees.
pub(super) fn views(state: &FleetState, caller: &Caller, seen: &Seen) -> Vec<HostView> {
    let hosts = state.hosts.iter();
    hosts
        .filter(|(_, host)| caller.sees(host.spec.tenant.as_ref()))
        .map(|(id, host)| view(state, id, host, seen))
        .collect()
}

/// All hosts that the caller sees.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
) -> Json<Vec<HostView>> {
    let seen = seen(&api).await;
    Json(api.view(|state| views(state, &caller, &seen)))
}

/// One host.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Asker,
    Named(id): Named<HostId>,
) -> Result<Json<HostView>, ApiError> {
    answer(&api, &caller, &id).await.map(Json)
}

pub(super) async fn answer(api: &Api, caller: &Caller, id: &HostId) -> Result<HostView, ApiError> {
    let seen = seen(api).await;
    api.view(|state| {
        let host = state.hosts.get(id)?;
        let is_own = caller.sees(host.spec.tenant.as_ref());
        is_own.then(|| HostView {
            facts: seen.sessions.get(id).and_then(|(_, row)| row.facts.clone()),
            ..view(state, id, host, &seen)
        })
    })
    .ok_or_else(|| ApiError::not_found("host", id.as_str()))
}

/// Declares a machine.
pub(in crate::api) async fn add(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    JsonBody(host): JsonBody<HostSpec>,
) -> Result<(StatusCode, Json<HostView>), ApiError> {
    let id = host.id.clone();
    api.commit_here(&write, Command::AddHost(AddHost { host }))
        .await?;
    let view = answer(&api, &write.caller, &id).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// How a host is retired.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::api) struct Retirement {
    #[serde(default = "grace_seconds")]
    grace_seconds: u64,
}

/// A host that is off gets this long to come back and be wiped, before it is cut off unwiped.
const fn grace_seconds() -> u64 {
    24 * 3600
}

const LONGEST_GRACE: u64 = 30 * 24 * 3600;

/// Wipes a machine's secrets, then cuts it off.
pub(in crate::api) async fn retire(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(host): Named<HostId>,
    Query(retirement): Query<Retirement>,
) -> Result<(StatusCode, Json<HostView>), ApiError> {
    if retirement.grace_seconds > LONGEST_GRACE {
        return Err(ApiError::invalid(
            "grace_seconds",
            &retirement.grace_seconds.to_string(),
            "0 to 2592000 (30 days)",
        ));
    }
    let command = Command::RetireHost(RetireHost {
        host: host.clone(),
        grace_millis: retirement.grace_seconds * Timestamp::SECOND,
    });
    api.commit_here(&write, command).await?;
    let view = answer(&api, &write.caller, &host).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Allows a host to lose much, or data, with its next target.
pub(in crate::api) async fn allow_removal(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(id): Named<HostId>,
) -> Result<(StatusCode, Json<HostView>), ApiError> {
    let hosts = BTreeSet::from([id.clone()]);
    let command = Command::AllowRemoval(AllowRemoval { hosts });
    api.commit_here(&write, command).await?;
    let view = answer(&api, &write.caller, &id).await?;
    Ok((StatusCode::OK, Json(view)))
}

/// Has a host try a refused content once more.
pub(in crate::api) async fn retry(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(host): Named<HostId>,
) -> Result<(StatusCode, Json<HostView>), ApiError> {
    let command = Command::RetryChange(RetryChange { host: host.clone() });
    api.commit_here(&write, command).await?;
    let view = answer(&api, &write.caller, &host).await?;
    Ok((StatusCode::OK, Json(view)))
}

/// Revokes the certificate of a host's agent; its live session ends.
pub(in crate::api) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(write): Extension<WriteRequest>,
    Named(id): Named<HostId>,
) -> Result<(StatusCode, Json<HostView>), ApiError> {
    let serial = api.view(|state| {
        let host = state
            .hosts
            .get(&id)
            .ok_or_else(|| ApiError::not_found("host", id.as_str()))?;
        match (&host.keys, host.lifecycle) {
            (Some(keys), HostLifecycle::Enrolled | HostLifecycle::Retiring { .. }) => {
                Ok(keys.serial)
            }
            _ => Err(ApiError::new(
                StatusCode::CONFLICT,
                "wrong-state",
                format!("host {id} has no certificate that could be revoked: it is not enrolled"),
            )),
        }
    })?;
    api.commit_here(
        &write,
        Command::RevokeCertificate(RevokeCertificate { serial }),
    )
    .await?;
    let view = answer(&api, &write.caller, &id).await?;
    Ok((StatusCode::OK, Json(view)))
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::MailView;

    use super::*;
    use crate::api::resource::status::trouble;
    use crate::command::fixture::{Fleet, host_id};

    #[test]
    fn a_node_that_does_not_answer_makes_no_agent_absent() {
        let state = Fleet::with_identities(0).state;
        let id = host_id("pmta1");
        let host = &state.hosts[&id];
        let mut seen = Seen {
            sessions: BTreeMap::new(),
            turned_away: BTreeMap::new(),
            unheard: Vec::new(),
            planned: None,
        };
        let told = |seen: &Seen| trouble(&view(&state, &id, host, seen)).unwrap().1;
        assert_eq!(told(&seen), "its agent is not connected");
        seen.unheard.push(NodeId(3));
        assert!(told(&seen).contains("is not known: node 3"));
        // Another node has it: then nobody else needs to be heard.
        let row = SessionRow {
            host: id.clone(),
            since: Timestamp(1),
            offered: None,
            trouble: Vec::new(),
            facts: None,
            drains: Vec::new(),
            turned_away: None,
            mail: MailView::default(),
        };
        seen.sessions.insert(id.clone(), (NodeId(2), row));
        let known = view(&state, &id, host, &seen);
        assert_eq!((known.connected, known.unheard), (Some(NodeId(2)), vec![]));
    }
}
