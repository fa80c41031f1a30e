//! Turns the state into targets: for every host that a change may concern, plan; where the plan is not the
//! target, propose it.
//!
//! The plan is made from a copy of the state, so it may be old when it is proposed; `apply` refuses
//! it then (its parent is not current), and the next pass plans anew. What is refused for another
//! reason is halved until the host is found whose target it is; that one waits (`Refused`), and
//! holds up nobody.

mod known;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::desired::HostConfig;
use email_engine_protocol::id::HostId;
use email_engine_protocol::limits;

use super::leads;
use super::refused::Refused;
use crate::command::{Command, NewTarget, RejectionCode, SetTargets};
use crate::planner::Affected;
use crate::push::{Fleet, Frozen, Registry, metric_names, proposal};
use crate::raft::{PlanErrors, Planned, ProposeError};
use crate::state::{FleetState, Host, HostLifecycle};
use known::Known;

/// A burst of commands is planned once.
const SETTLE: Duration = Duration::from_millis(20);
/// A pass without a change, for whatever was missed.
const IDLE: Duration = Duration::from_secs(30);
/// After a pass that came to nothing.
const AGAIN: Duration = Duration::from_secs(1);
/// Bytes of bodies in one command; one host may need more.
const COMMAND_BYTES: usize = 2 * 1024 * 1024;
/// Hosts in one command.
const COMMAND_HOSTS: usize = 256;
/// Passes in a row that may find themselves late before they take a breath.
const STALE_PASSES: u32 = 10;

/// One host's whole desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The manifest.
    pub config: HostConfig,
    /// The bodies that it names.
    pub bodies: BTreeMap<ContentHash, Vec<u8>>,
}

/// The planner: pure, and told why when it cannot.
pub type PlanFn = Arc<dyn Fn(&FleetState, &HostId) -> Result<Plan, String> + Send + Sync>;

/// Whose plan may differ between two states.
pub type AffectedFn = fn(&FleetState, &FleetState) -> Affected;

/// What planning needs.
pub(super) struct Planning<F> {
    pub(super) fleet: F,
    pub(super) registry: Registry,
    pub(super) plan: PlanFn,
    pub(super) affected: AffectedFn,
    pub(super) planned: watch::Sender<Planned>,
}

/// A target to propose, with all that it needs.
#[derive(Clone)]
struct Draft {
    target: NewTarget,
    bodies: BTreeMap<ContentHash, Vec<u8>>,
}

/// What a host's plan came to.
enum Drawn {
    /// Its target.
    Same(ContentHash),
    /// Something else.
    New(Draft),
}

/// How a pass went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Everything that can be planned is.
    Settled,
    /// Somebody was faster: plan anew.
    Stale,
    /// Not committed.
    Failed,
}

/// Plans while this node leads.
pub(super) async fn run<F: Fleet>(planning: Planning<F>) {
    let mut applied = planning.fleet.applied();
    let mut leadership = planning.fleet.leadership();
    let (mut refused, mut stale) = (Refused::default(), 0);
    let mut known = Known::new(Instant::now());
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let pass = pass(&planning, &mut refused, &mut known).await;
        stale = if pass == Pass::Stale { stale + 1 } else { 0 };
        planning.planned.send_if_modified(|held| {
            let before = held.failed;
            held.failed = match pass {
                Pass::Failed => before.saturating_add(1),
                Pass::Settled | Pass::Stale => 0,
            };
            held.failed != before
        });
        // A change wakes it at once; after a failure it would only fail again.
        if pass == Pass::Failed || stale > STALE_PASSES {
            sleep(AGAIN).await;
        } else {
            let wait = match pass {
                Pass::Stale => Duration::ZERO,
                _ => refused
                    .next(Instant::now())
                    .map_or(IDLE, |next| next.min(IDLE)),
            };
            if let Ok(Err(_)) = timeout(wait, applied.changed()).await {
                return;
            }
        }
        sleep(SETTLE).await;
        if !leadership.borrow().is_leader {
            refused = Refused::default();
            known = Known::new(Instant::now());
            planning.planned.send_replace(Planned::default());
        }
    }
}

async fn pass<F: Fleet>(planning: &Planning<F>, refused: &mut Refused, known: &mut Known) -> Pass {
    let Some(drafted) = draft_all(planning, known).await else {
        return Pass::Failed;
    };
    let Drafted {
        revision,
        mut drafts,
        errors,
    } = drafted;
    refused.retain(|host| drafts.iter().any(|draft| draft.target.host == *host));
    let now = Instant::now();
    drafts.retain(|draft| !refused.holds(&draft.target.host, &draft.target.digest, now));
    let settled = drafts.is_empty().then_some(revision);
    note(planning, settled, &errors, refused);
    let mut whole = Pass::Settled;
    let mut waiting: VecDeque<Vec<Draft>> = commands(drafts).into();
    while let Some(mut drafts) = waiting.pop_front() {
        match propose(planning, &drafts).await {
            Proposed::Set => {
                for draft in &drafts {
                    refused.forget(&draft.target.host);
                }
            }
            Proposed::Stale => whole = Pass::Stale,
            Proposed::Failed => return Pass::Failed,
            Proposed::Refused(_) if drafts.len() > 1 => {
                let rest = drafts.split_off(drafts.len() / 2);
                waiting.extend([drafts, rest]);
            }
            Proposed::Refused(reason) => {
                for Draft { target, .. } in &drafts {
                    refused.note(&target.host, target.digest, &reason, Instant::now());
                }
            }
        }
    }
    note(planning, settled, &errors, refused);
    whole
}

/// What a look at the whole fleet gave.
#[derive(Default)]
struct Drafted {
    /// Of the fleet that was looked at.
    revision: u64,
    /// Targets that are not current.
    drafts: Vec<Draft>,
    /// Hosts that cannot be planned.
    errors: PlanErrors,
}

/// Plans every host whose plan may be another than its target; none when the planner panicked.
async fn draft_all<F: Fleet>(planning: &Planning<F>, known: &mut Known) -> Option<Drafted> {
    let state = planning.fleet.view(FleetState::clone);
    let Some(epoch) = state.cluster.as_ref().map(|cluster| cluster.epoch) else {
        return Some(Drafted::default());
    };
    let mut frozen = planning.registry.frozen();
    // A node that lagged when a host reported to it took its own past for the host's future.
    frozen.retain(|id, frozen| {
        let target = state.targets.get(id).map(|target| target.generation);
        frozen.holds_in(epoch) && Some(frozen.accepted) > target
    });
    let plan = planning.plan.clone();
    let affected = planning.affected;
    let mut learning = std::mem::replace(known, Known::new(Instant::now()));
    let planned = tokio::task::spawn_blocking(move || {
        learning.enter(&state, affected, Instant::now());
        let drafted = draft_due(&state, epoch, &frozen, &plan, &mut learning);
        (drafted, learning)
    });
    match planned.await {
        Ok((drafted, learned)) => {
            *known = learned;
            Some(drafted)
        }
        Err(_) => {
            tracing::error!("the planner panicked");
            None
        }
    }
}

fn draft_due(
    state: &FleetState,
    epoch: u64,
    frozen: &BTreeMap<HostId, Frozen>,
    plan: &PlanFn,
    known: &mut Known,
) -> Drafted {
    let mut drafted = Drafted {
        revision: state.revision,
        ..Drafted::default()
    };
    let hosts = state.hosts.iter();
    let hosts = hosts.filter(|(_, host)| host.lifecycle != HostLifecycle::Retired);
    let mut due = Vec::new();
    for (id, host) in hosts {
        if frozen.contains_key(id) || ahead(state, id, epoch) {
            known.forget(id);
        } else if !known.is_settled(id, epoch) {
            due.push((id, host));
        }
    }
    if due.is_empty() {
        return drafted;
    }
    if let Err(violation) = known.check(state) {
        tracing::error!(%violation, "nobody is planned");
        let every = due.iter();
        let every = every.map(|(id, _)| ((*id).clone(), violation.to_string()));
        drafted.errors.extend(every);
        due.iter().for_each(|(id, _)| known.forget(id));
        return drafted;
    }
    for (id, host) in due {
        known.forget(id);
        match draft(state, id, host, epoch, plan) {
            Ok(Drawn::Same(digest)) => known.note(id, digest),
            Ok(Drawn::New(draft)) => {
                known.note(id, draft.target.digest);
                drafted.drafts.push(draft);
            }
            Err(error) => {
                drafted.errors.insert(id.clone(), error);
            }
        }
    }
    drafted
}

/// A host whose own signed word is ahead of the state ("state from the future"), whichever node has
/// its session.
fn ahead(state: &FleetState, host: &HostId, epoch: u64) -> bool {
    let accepted = state.outcomes.get(host).and_then(|seen| seen.accepted);
    let target = state.targets.get(host).map(|target| target.generation);
    accepted.is_some_and(|accepted| accepted.epoch >= epoch && Some(accepted) > target)
}

fn draft(
    state: &FleetState,
    id: &HostId,
    host: &Host,
    epoch: u64,
    plan: &PlanFn,
) -> Result<Drawn, String> {
    let Plan { config, mut bodies } = plan(state, id)?;
    let manifest = config.to_bytes();
    let digest = ContentHash::of(&manifest);
    let current = state.targets.get(id);
    // After a restore the same content still needs a generation of the new epoch: agents may have
    // accepted more in the old one.
    if current.is_some_and(|current| current.digest == digest && current.generation.epoch == epoch)
    {
        return Ok(Drawn::Same(digest));
    }
    config.check().map_err(|error| error.to_string())?;
    let named = config.bodies();
    // Pieces of artifacts are stored already.
    let is_had = |hash: &ContentHash| bodies.contains_key(hash) || state.bodies.contains_key(hash);
    if let Some(missing) = named.iter().find(|hash| !is_had(hash)) {
        return Err(format!(
            "the plan names body {missing} and does not bring it"
        ));
    }
    bodies.insert(digest, manifest);
    // Refused when it is applied, and the targets beside it too: it must not get that far.
    if let Some((hash, body)) = bodies
        .iter()
        .find(|(_, body)| body.len() as u64 > limits::BODY_BYTES)
    {
        let (length, limit) = (body.len(), limits::BODY_BYTES);
        return Err(format!(
            "body {hash} has {length} bytes, at most {limit} are accepted"
        ));
    }
    let target = NewTarget {
        host: id.clone(),
        parent: current.map(|current| current.digest),
        digest,
        bodies: named,
        resources: u32::try_from(config.resources.len()).unwrap_or(u32::MAX),
        planner_version: host.release.planner_version,
        release: host.release.clone(),
        planned_from: state.revision,
    };
    bodies.retain(|hash, _| {
        let needed = *hash == digest || target.bodies.contains(hash);
        needed && !state.bodies.contains_key(hash)
    });
    Ok(Drawn::New(Draft { target, bodies }))
}

/// Few commands, none of them large.
fn commands(drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
    let mut commands: Vec<Vec<Draft>> = Vec::new();
    let mut filled = 0;
    for draft in drafts {
        let size: usize = draft.bodies.values().map(Vec::len).sum();
        let full = commands
            .last()
            .is_none_or(|last| last.len() >= COMMAND_HOSTS);
        if full || filled + size > COMMAND_BYTES {
            commands.push(Vec::new());
            filled = 0;
        }
        filled += size;
        if let Some(last) = commands.last_mut() {
            last.push(draft);
        }
    }
    commands
}

/// What became of a command.
enum Proposed {
    Set,
    /// Somebody was faster.
    Stale,
    /// Not committed, or for no fault of its hosts: all may be proposed again.
    Failed,
    /// One of its targets is not acceptable.
    Refused(String),
}

async fn propose<F: Fleet>(planning: &Planning<F>, drafts: &[Draft]) -> Proposed {
    let targets = drafts.iter().map(|draft| draft.target.clone());
    let bodies = drafts.iter().flat_map(|draft| draft.bodies.clone());
    let command = Command::SetTargets(SetTargets {
        targets: targets.collect(),
        bodies: bodies.collect(),
    });
    let hosts: Vec<String> = drafts
        .iter()
        .map(|draft| draft.target.host.to_string())
        .collect();
    let actor = format!("node {}", planning.fleet.node());
    let proposal = proposal(&planning.fleet, actor, "planned", command);
    match planning.fleet.propose(proposal).await {
        Ok(Ok(_)) => {
            tracing::info!(?hosts, "targets set");
            Proposed::Set
        }
        Ok(Err(rejection)) => match rejection.code {
            RejectionCode::StaleParent => Proposed::Stale,
            RejectionCode::Clock | RejectionCode::ClusterState => {
                tracing::warn!(?hosts, %rejection, "targets not set");
                Proposed::Failed
            }
            _ => {
                tracing::warn!(?hosts, %rejection, "targets refused");
                Proposed::Refused(format!("its target is refused: {rejection}"))
            }
        },
        Err(error @ ProposeError::TooLarge { .. }) => {
            tracing::warn!(?hosts, %error, "targets cannot be set");
            Proposed::Refused(format!("its target cannot be set: {error}"))
        }
        Err(error) => {
            tracing::info!(?hosts, %error, "targets not set");
            Proposed::Failed
        }
    }
}

/// Keeps the errors, and how far is planned, for whoever asks; each error is logged once.
fn note<F>(planning: &Planning<F>, settled: Option<u64>, errors: &PlanErrors, refused: &Refused) {
    let mut errors = errors.clone();
    for (host, reason) in refused.reasons() {
        errors
            .entry(host.clone())
            .or_insert_with(|| reason.to_owned());
    }
    planning.planned.send_if_modified(|held| {
        for (host, error) in &errors {
            if held.errors.get(host) != Some(error) {
                tracing::error!(%host, error, "host cannot be planned");
            }
        }
        let mended = held
            .errors
            .keys()
            .filter(|host| !errors.contains_key(*host));
        for host in mended {
            tracing::info!(%host, "host can be planned again");
        }
        // Counts of hosts are far below 2^52.
        #[expect(clippy::cast_precision_loss)]
        metrics::gauge!(metric_names::PLAN_ERRORS).set(errors.len() as f64);
        let planned = Planned {
            revision: settled.unwrap_or(held.revision),
            errors,
            failed: held.failed,
        };
        let changes = *held != planned;
        *held = planned;
        changes
    });
}
