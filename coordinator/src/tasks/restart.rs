//! Gives the word for a restart in an operator's place, where a host's label says at which times.
//!
//! The word is the operator's own one: for the lines that the host's state needs a restart for now, and
//! until the host has converged. When it is given is decided by the leader's clock, which dates every
//! proposal; the agent's has no say in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::id::HostId;
use email_engine_protocol::observed::Convergence;
use email_engine_protocol::time::Timestamp;

use super::PlanFn;
use super::leads;
use crate::command::{AllowRestart, Command};
use crate::fleet::window::{self, Window};
use crate::planner;
use crate::push::{Fleet, now, proposal};
use crate::state::FleetState;

/// A look without a change: a window opens on the minute.
const IDLE: Duration = Duration::from_secs(20);
/// At least between two looks.
const AGAIN: Duration = Duration::from_secs(2);

/// Gives words while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, plan: PlanFn) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        // Planning takes its time: not while what is applied waits for the state.
        let at = now();
        let waits = |state: &FleetState| waiting(state, at).next().is_some();
        if let Some(state) = fleet.view(|state| waits(state).then(|| state.clone())) {
            let plan = Arc::clone(&plan);
            let due = tokio::task::spawn_blocking(move || due(&state, at, &plan));
            for (host, lines) in due.await.unwrap_or_default() {
                give(&fleet, &host, lines).await;
            }
        }
        sleep(AGAIN).await;
        if let Ok(Err(_)) = timeout(IDLE, applied.changed()).await {
            return;
        }
    }
}

/// Hosts whose window is open and that are not right.
fn waiting(state: &FleetState, now: Timestamp) -> impl Iterator<Item = &HostId> {
    let is_open = move |text: &String| text.parse::<Window>().is_ok_and(|one| one.is_open(now));
    let hosts = state.live_hosts().filter(move |(id, host)| {
        let waits = state.outcomes.get(*id);
        let waits = waits.is_some_and(|seen| seen.convergence == Convergence::Degraded);
        let label = host.spec.labels.get(window::LABEL);
        waits && host.takes_work() && label.is_some_and(is_open)
    });
    hosts.map(|(id, _)| id)
}

/// Those of them whose state has lines that need a word which nobody gave: with the name of those
/// lines.
fn due(state: &FleetState, now: Timestamp, plan: &PlanFn) -> Vec<(HostId, ContentHash)> {
    waiting(state, now)
        .filter_map(|id| {
            let planned = plan(state, id).ok()?;
            let lines = planner::restart_wanted(&planned.config);
            let digest = planner::restart_digest(&lines);
            let given = state.restart_allowed.get(id);
            let given = given.is_some_and(|given| given.lines == digest);
            (!lines.is_empty() && !given).then(|| (id.clone(), digest))
        })
        .collect()
}

async fn give<F: Fleet>(fleet: &F, host: &HostId, lines: ContentHash) {
    let command = Command::AllowRestart(AllowRestart {
        host: host.clone(),
        lines,
    });
    let actor = format!("node {}", fleet.node());
    let proposal = proposal(fleet, actor, "its restart window is open", command);
    match fleet.propose(proposal).await {
        Ok(Ok(_)) => tracing::info!(%host, "a restart is allowed: its window is open"),
        Ok(Err(rejection)) => tracing::info!(%host, %rejection, "a restart is not allowed"),
        Err(error) => tracing::info!(%host, %error, "a restart is not allowed yet"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use email_engine_protocol::desired::{
        CommandCheck, CommandLine, Disposition, HostConfig, HostPath, OnRemove, Policy, Resource,
        RestartSpec, Spec, TransactionSpec,
    };
    use email_engine_protocol::id::{ResourceId, Role};
    use email_engine_protocol::observed::StatusCounts;

    use super::*;
    use crate::pki::testbed::TestPki;
    use crate::push::testbed::{founded, host_id};
    use crate::state::{Outcome, RestartAllowed};
    use crate::tasks::Plan;
    use crate::tasks::tests::declare;

    const HOUR: u64 = 3_600_000;

    fn lines() -> Vec<String> {
        vec!["run-as-root no".to_owned()]
    }

    /// A planner whose states all have one line that needs a restart.
    fn planner_of_one_line() -> PlanFn {
        Arc::new(|state: &FleetState, host: &HostId| {
            let check = || CommandCheck {
                command: CommandLine {
                    program: HostPath::new("/usr/sbin/pmta").unwrap(),
                    arguments: Vec::new(),
                },
                seconds: 1,
                refused_by: Vec::new(),
                must_say: Vec::new(),
            };
            let transaction = Resource {
                id: ResourceId::new("transaction:pmta").unwrap(),
                spec: Spec::Transaction(TransactionSpec {
                    members: Vec::new(),
                    test: check(),
                    activate: check(),
                    unit: None,
                    read_back: Vec::new(),
                    health: Vec::new(),
                    restart: RestartSpec {
                        lines: lines(),
                        allowed: false,
                    },
                    attempt: 0,
                    drain: None,
                }),
                on_remove: OnRemove::Leave,
                policy: Policy::Enforce,
                after: Vec::new(),
                notify: Vec::new(),
            };
            Ok(Plan {
                config: HostConfig {
                    cluster: state.cluster.as_ref().unwrap().id,
                    host: host.clone(),
                    role: Role::Powermta,
                    disposition: Disposition::Active,
                    resources: vec![transaction],
                    large_removal: false,
                    accounting: None,
                },
                bodies: BTreeMap::new(),
            })
        })
    }

    fn state(convergence: Convergence) -> FleetState {
        let mut state = founded(&TestPki::new());
        for name in ["pmta1", "pmta2"] {
            declare(&mut state, name);
            let outcome = Outcome {
                accepted: None,
                running: None,
                last_good: None,
                attempted: None,
                convergence,
                counts: StatusCounts::default(),
                changed_at: Timestamp(0),
            };
            state.outcomes.insert(host_id(name), outcome);
        }
        // The other one has no window: it waits for an operator.
        let host = state.hosts.get_mut(&host_id("pmta1")).unwrap();
        let labels = &mut host.spec.labels;
        labels.insert(window::LABEL.to_owned(), "23:00-01:00".to_owned());
        state
    }

    fn hosts(state: &FleetState, now: u64) -> Vec<(HostId, ContentHash)> {
        due(state, Timestamp(now), &planner_of_one_line())
    }

    #[test]
    fn a_host_that_waits_gets_its_word_while_its_window_is_open_and_once() {
        let mut state = state(Convergence::Degraded);
        let digest = planner::restart_digest(&lines());
        let expected = [(host_id("pmta1"), digest)];
        for now in [23 * HOUR, 24 * HOUR, 25 * HOUR - 1] {
            assert_eq!(hosts(&state, now), expected, "{now}");
        }
        for now in [HOUR, 12 * HOUR, 23 * HOUR - 1, 25 * HOUR] {
            assert_eq!(hosts(&state, now), [], "{now}");
        }
        let allowed = |lines| RestartAllowed { lines, revision: 1 };
        state
            .restart_allowed
            .insert(host_id("pmta1"), allowed(ContentHash([1; 32])));
        assert_eq!(hosts(&state, 0), expected, "that was for other lines");
        state
            .restart_allowed
            .insert(host_id("pmta1"), allowed(digest));
        assert_eq!(hosts(&state, 0), []);
    }

    #[test]
    fn a_host_that_is_right_gets_no_word() {
        assert_eq!(hosts(&state(Convergence::Converged), 0), []);
    }
}
