//! The state becomes targets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::{Disposition, FileContent, HostConfig};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{HostId, Role};
use email_engine_protocol::observed::{Convergence, StatusCounts};

use super::declare;
use crate::command::Command;
use crate::pki::testbed::{TestPki, now};
use crate::planner::Affected;
use crate::push::testbed::{FakeFleet, file, founded, host_id, wait_for};
use crate::push::{Fleet, Registry};
use crate::raft::Planned;
use crate::state::{FleetState, Outcome};
use crate::tasks::plan::{AffectedFn, Planning};
use crate::tasks::{Plan, PlanFn, plan};

/// A body that all hosts have.
const SHARED: &[u8] = b"the same everywhere";

/// What each host shall have, as the planner of these tests knows it.
pub(super) type Wishes = Arc<Mutex<BTreeMap<HostId, Result<Role, String>>>>;

struct Plans {
    fleet: FakeFleet,
    wishes: Wishes,
    planned: watch::Receiver<Planned>,
}

/// Starts planning for hosts whose plan differs by nothing but a role.
fn planning(hosts: &[&str]) -> Plans {
    let pki = TestPki::new();
    let mut state = founded(&pki);
    let wishes = Wishes::default();
    for host in hosts {
        declare(&mut state, host);
        let wish = Ok(Role::Powermta);
        wishes.lock().unwrap().insert(host_id(host), wish);
    }
    let fleet = FakeFleet::new(state);
    let planned = start_planning(fleet.clone(), wishes.clone());
    Plans {
        fleet,
        wishes,
        planned,
    }
}

pub(super) fn start_planning<F: Fleet>(fleet: F, wishes: Wishes) -> watch::Receiver<Planned> {
    // What is wished is no part of the state.
    start(fleet, wishes, Arc::default(), |_, _| Affected::Everybody)
}

/// Hosts that were planned, one after the other.
type Asked = Arc<Mutex<Vec<HostId>>>;

fn start<F: Fleet>(
    fleet: F,
    wishes: Wishes,
    asked: Asked,
    affected: AffectedFn,
) -> watch::Receiver<Planned> {
    let plan: PlanFn = Arc::new(move |state, host| {
        asked.lock().unwrap().push(host.clone());
        let role = wishes.lock().unwrap()[host].clone()?;
        let cluster = state.cluster.as_ref().unwrap().id;
        let content = FileContent::Body {
            hash: ContentHash::of(SHARED),
            length: SHARED.len() as u64,
        };
        Ok(Plan {
            config: HostConfig {
                cluster,
                host: host.clone(),
                role,
                disposition: Disposition::Active,
                resources: vec![file("/etc/shared", content)],
                large_removal: false,
                accounting: None,
            },
            bodies: BTreeMap::from([(ContentHash::of(SHARED), SHARED.to_vec())]),
        })
    });
    let (planned, seen) = watch::channel(Planned::default());
    tokio::spawn(plan::run(Planning {
        fleet,
        registry: Registry::default(),
        plan,
        affected,
        planned,
    }));
    seen
}

pub(super) fn number(state: &FleetState, host: &str) -> u64 {
    let target = state.targets.get(&host_id(host));
    target.map_or(0, |target| target.generation.number)
}

#[tokio::test]
async fn what_is_planned_becomes_the_target_once() {
    let plans = planning(&["a", "b"]);
    let both = |state: &FleetState| number(state, "a") == 1 && number(state, "b") == 1;
    plans.fleet.until(both, "both hosts have a target").await;
    assert_eq!(plans.fleet.log().len(), 1, "in one command");
    // Changes that change no plan make no target; the one that does makes one, for its host alone.
    plans.fleet.change(|_| ());
    let wish = Ok(Role::Api);
    plans.wishes.lock().unwrap().insert(host_id("b"), wish);
    plans.fleet.change(|_| ());
    let newer = |state: &FleetState| number(state, "b") == 2;
    plans.fleet.until(newer, "b has its next target").await;
    assert_eq!(plans.fleet.view(|state| number(state, "a")), 1);
    // What is stored already does not travel again.
    let log = plans.fleet.log();
    let [Command::SetTargets(first), Command::SetTargets(second)] = &log[..] else {
        panic!("not two commands: {log:?}");
    };
    let shared = ContentHash::of(SHARED);
    assert_eq!(first.bodies.len(), 3);
    assert!(first.bodies.contains_key(&shared) && !second.bodies.contains_key(&shared));
    let manifests: Vec<_> = second.bodies.keys().copied().collect();
    assert_eq!(manifests, [second.targets[0].digest]);
}

/// Only an identity's own host is said to be concerned by it here.
#[tokio::test]
async fn who_is_not_concerned_is_not_planned_again() {
    let mut state = founded(&TestPki::new());
    let wishes = Wishes::default();
    for host in ["a", "b"] {
        declare(&mut state, host);
        let wish = Ok(Role::Powermta);
        wishes.lock().unwrap().insert(host_id(host), wish);
    }
    let (fleet, asked) = (FakeFleet::new(state), Asked::default());
    let by_attempts: AffectedFn = |before, after| match before.hosts == after.hosts {
        true => Affected::Hosts(after.attempts.keys().cloned().collect()),
        false => Affected::Everybody,
    };
    let mut planned = start(fleet.clone(), wishes, Arc::clone(&asked), by_attempts);
    let mut settled = async || {
        let mut changed = 0;
        fleet.change(|state| {
            state.revision += 1;
            changed = state.revision;
        });
        let settled = planned.wait_for(|at| at.revision >= changed);
        drop(wait_for(settled, "the change is planned").await.unwrap());
        std::mem::take(&mut *asked.lock().unwrap())
    };
    let first = settled().await;
    assert!(first.contains(&host_id("a")) && first.contains(&host_id("b")));
    assert_eq!(settled().await, [], "neither is another than it was");
    fleet.change(|state| *state.attempts.or_default(&host_id("b")) += 1);
    let then = settled().await;
    assert!(
        !then.contains(&host_id("a")) && then.contains(&host_id("b")),
        "{then:?}"
    );
    // A target that somebody else set is not what was planned.
    fleet.change(|state| {
        state.attempts.clear();
        let target = state.targets.get_mut(&host_id("a")).unwrap();
        target.digest = ContentHash([9; 32]);
    });
    let again = settled().await;
    assert!(again.contains(&host_id("a")), "{again:?}");
}

#[tokio::test]
async fn what_is_said_to_be_planned_has_its_targets() {
    let mut plans = planning(&["a", "b"]);
    for round in 1..=20 {
        let role = [Role::Powermta, Role::Api][round % 2];
        plans.wishes.lock().unwrap().insert(host_id("b"), Ok(role));
        let mut changed = 0;
        plans.fleet.change(|state| {
            state.revision += 1;
            changed = state.revision;
        });
        let settled = plans.planned.wait_for(|at| at.revision >= changed);
        drop(wait_for(settled, "the change is planned").await.unwrap());
        assert_eq!(plans.fleet.view(|state| number(state, "b")), round as u64);
    }
}

#[tokio::test]
async fn a_host_that_cannot_be_planned_holds_up_nobody_and_is_named() {
    let mut plans = planning(&["a", "b"]);
    let wish = Err("no such template".to_owned());
    plans.wishes.lock().unwrap().insert(host_id("a"), wish);
    plans.fleet.change(|_| ());
    let b = |state: &FleetState| number(state, "b") == 1;
    plans.fleet.until(b, "b has a target").await;
    let named = plans
        .planned
        .wait_for(|planned| planned.errors.contains_key(&host_id("a")));
    let named = wait_for(named, "the error is kept").await.unwrap();
    let errors = named.errors.clone();
    drop(named);
    assert_eq!(errors[&host_id("a")], "no such template");
    let wish = Ok(Role::Api);
    plans.wishes.lock().unwrap().insert(host_id("a"), wish);
    plans.fleet.change(|_| ());
    let mended = plans.planned.wait_for(|at| at.errors.is_empty());
    wait_for(mended, "the error is gone").await.unwrap();
}

#[tokio::test]
async fn a_broken_invariant_plans_nobody_and_is_named() {
    let mut plans = planning(&["a", "b"]);
    let both = |state: &FleetState| number(state, "a") == 1 && number(state, "b") == 1;
    plans.fleet.until(both, "both hosts have a target").await;
    let role = |role: Role| {
        let wish = Ok(Role::Api);
        plans.wishes.lock().unwrap().insert(host_id("b"), wish);
        plans.fleet.change(|state| {
            let host = state.hosts.get_mut(&host_id("a")).unwrap();
            host.spec.role = role;
        });
    };
    // Two tenants could share it: no command lets that through.
    role(Role::Mailwizz);
    let named = plans.planned.wait_for(|at| at.errors.len() == 2);
    let named = wait_for(named, "it is named for both").await.unwrap();
    for error in named.errors.values() {
        assert!(error.contains("MailWizz host a has no tenant"), "{error}");
    }
    drop(named);
    assert_eq!(plans.fleet.log().len(), 1, "b has what it had");
    role(Role::Powermta);
    let newer = |state: &FleetState| number(state, "b") == 2;
    plans.fleet.until(newer, "b has its next target").await;
}

#[tokio::test]
async fn a_host_from_the_future_waits_for_a_new_epoch_and_then_gets_everything_anew() {
    let plans = planning(&["a", "b"]);
    let both = |state: &FleetState| number(state, "a") == 1 && number(state, "b") == 1;
    plans.fleet.until(both, "both hosts have a target").await;
    let ahead = Outcome {
        accepted: Some(Generation {
            epoch: 1,
            number: 9,
        }),
        running: None,
        last_good: None,
        attempted: None,
        convergence: Convergence::Converged,
        counts: StatusCounts::default(),
        changed_at: now(),
    };
    for host in ["a", "b"] {
        let wish = Ok(Role::Api);
        plans.wishes.lock().unwrap().insert(host_id(host), wish);
    }
    plans
        .fleet
        .change(|state| state.outcomes.insert(host_id("a"), ahead));
    let b = |state: &FleetState| number(state, "b") == 2;
    plans.fleet.until(b, "b has its next target").await;
    assert_eq!(plans.fleet.view(|state| number(state, "a")), 1, "frozen");
    plans
        .fleet
        .change(|state| state.cluster.as_mut().unwrap().epoch = 2);
    let anew = |state: &FleetState| {
        state
            .targets
            .values()
            .all(|target| target.generation.epoch == 2)
    };
    plans.fleet.until(anew, "both are targeted anew").await;
}
