//! Keeps the fleet's records right in zones that it may change: what rotations, new identities and those that
//! are gone need is published without anybody's word.
//!
//! It goes by the state and by what the zone shows, and may be stopped anywhere: what is about to be made is
//! written down before, and a change whose end nobody heard of is found by its marks. Two leaders at once do no
//! harm: the server refuses the change of whoever read the zone before the other one changed it. Several zones are
//! seen to at the same time, each by a task of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use email_engine_protocol::api::ZoneMode;
use email_engine_protocol::mail::DomainName;

use crate::command::{AskDns, BeginPublish, Command, EndPublish, Marks};
use crate::dns::primary::{Reader, UpdateError, Writer};
use crate::dns::publish::{Draft, ZonePlan, plan};
use crate::dns::wanted::of_fleet;
use crate::push::{Fleet, now, proposal};
use crate::seal::Vault;
use crate::state::FleetState;
use crate::tasks::{leads, say};

/// At least between two searches for what is due, and longer for each identity that is searched.
const AGAIN: Duration = Duration::from_secs(1);
const PER_IDENTITY: Duration = Duration::from_micros(100);
/// A search without a change: time makes things due.
const IDLE: Duration = Duration::from_secs(10);
/// Zones at the same time: a server that does not answer takes seconds, and delays nobody else's zone.
const AT_ONCE: usize = 8;
/// Changes of one zone in a row, where they do not fit into one, or others change it meanwhile.
const ROUNDS: usize = 256;
/// Times that others may be faster, one after the other.
const OVERTAKEN: usize = 3;

/// Publishes while this node leads.
pub(crate) async fn run<F: Fleet>(fleet: F, vault: Arc<Vault>) {
    let (reader, writer) = (Reader::default(), Writer::new(vault));
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    let (mut running, mut jobs) = (BTreeMap::new(), JoinSet::new());
    while leads(&mut leadership).await {
        applied.mark_unchanged();
        let (is_any, searched) = fleet.view(|state| {
            let mut zones = state.dns_zones.declared.values();
            let is_any = zones.any(|zone| zone.mode == ZoneMode::Manage);
            (is_any, state.identities.len())
        });
        if is_any {
            for zone in due(&fleet).await {
                begin(&fleet, (reader, &writer), zone, &mut running, &mut jobs);
            }
            sleep(PER_IDENTITY * u32::try_from(searched).unwrap_or(u32::MAX)).await;
        }
        sleep(AGAIN).await;
        tokio::select! {
            changed = timeout(IDLE, applied.changed()) => {
                if let Ok(Err(_)) = changed {
                    return;
                }
            }
            Some(_) = jobs.join_next() => {}
        }
        while jobs.try_join_next().is_some() {}
        running.retain(|_, job| !job.is_finished());
    }
}

/// Sees to a zone by a task of its own, unless it is seen to or there are enough: then it is due later.
fn begin<F: Fleet>(
    fleet: &F,
    (reader, writer): (Reader, &Writer),
    zone: DomainName,
    running: &mut BTreeMap<DomainName, AbortHandle>,
    jobs: &mut JoinSet<()>,
) {
    if running.len() >= AT_ONCE || running.contains_key(&zone) {
        return;
    }
    let (fleet, writer, of) = (fleet.clone(), writer.clone(), zone.clone());
    let job = jobs.spawn(async move { see_to(&fleet, &reader, &writer, &of).await });
    running.insert(zone, job);
}

/// Zones that are to be seen to. Thought out beside the runtime, on a copy: it goes through the whole fleet.
async fn due<F: Fleet>(fleet: &F) -> Vec<DomainName> {
    let state = fleet.view(FleetState::clone);
    let found = tokio::task::spawn_blocking(move || {
        let at = now().max(state.now);
        let domains = of_fleet(&state, &|_| true, at);
        let zones = state.dns_zones.declared.iter();
        let managed = zones.filter(|(_, zone)| zone.mode == ZoneMode::Manage);
        let due = managed.filter(|(name, zone)| {
            let draft = Draft::of(&state, &domains, name, at);
            draft.is_some_and(|draft| draft.is_due(zone.last.as_ref(), at))
        });
        due.map(|(name, _)| name.clone()).collect()
    });
    found.await.unwrap_or_default()
}

async fn drafted<F: Fleet>(fleet: &F, zone: &DomainName) -> Option<Draft> {
    let (state, zone) = (fleet.view(FleetState::clone), zone.clone());
    let drafted = tokio::task::spawn_blocking(move || {
        let at = now().max(state.now);
        Draft::of(&state, &of_fleet(&state, &|_| true, at), &zone, at)
    });
    drafted.await.ok().flatten()
}

/// What became of one round.
enum Round {
    /// Nothing more can be done now.
    Over,
    /// There is more.
    More,
    /// Somebody else changed the zone in between.
    Overtaken,
}

/// Brings one zone to where it shall be, as far as that goes.
async fn see_to<F: Fleet>(fleet: &F, reader: &Reader, writer: &Writer, zone: &DomainName) {
    let mut overtaken = 0;
    for _ in 0..ROUNDS {
        if !fleet.leadership().borrow().is_leader {
            return;
        }
        let Some(draft) = drafted(fleet, zone).await else {
            return;
        };
        if draft.mode != ZoneMode::Manage {
            return;
        }
        let is_last = overtaken + 1 == OVERTAKEN;
        match round(fleet, reader, writer, &draft, is_last).await {
            Round::Over => return,
            Round::More => overtaken = 0,
            Round::Overtaken => overtaken += 1,
        }
    }
}

async fn round<F: Fleet>(
    fleet: &F,
    reader: &Reader,
    writer: &Writer,
    draft: &Draft,
    is_last: bool,
) -> Round {
    let seen = match reader.read(draft).await {
        Ok(seen) => seen,
        Err(error) => {
            let why = format!("{error}; nothing is planned from half of a zone");
            end(fleet, draft, None, Some(why)).await;
            return Round::Over;
        }
    };
    let plan = plan(draft, &seen, false);
    if plan.guard.is_some() {
        let stuck = plan.stuck();
        end(fleet, draft, None, stuck).await;
        return Round::Over;
    }
    if plan.ops.is_empty() {
        end(fleet, draft, Some((&plan, true)), plan.stuck()).await;
        return Round::Over;
    }
    match change(fleet, writer, draft, &plan).await {
        Changed::Done => {
            end(fleet, draft, Some((&plan, true)), plan.stuck()).await;
            ask(fleet, draft, &plan).await;
            match plan.later {
                0 => Round::Over,
                _ => Round::More,
            }
        }
        Changed::NotWritten => Round::Over,
        Changed::Not(UpdateError::Changed) if !is_last => Round::Overtaken,
        Changed::Not(error) => {
            let why = chain(&error);
            end(fleet, draft, Some((&plan, false)), Some(why)).await;
            Round::Over
        }
    }
}

enum Changed {
    Done,
    /// What is about to be made could not be written down: nothing was done.
    NotWritten,
    Not(UpdateError),
}

async fn change<F: Fleet>(fleet: &F, writer: &Writer, draft: &Draft, plan: &ZonePlan) -> Changed {
    if !plan.begin.is_empty() {
        let begin = Command::BeginPublish(BeginPublish {
            zone: draft.zone.clone(),
            marks: plan.begin.clone(),
        });
        if !written(fleet, "it is about to be published", begin).await {
            return Changed::NotWritten;
        }
    }
    let zone = &draft.zone;
    let row = fleet.view(|state| state.dns_zones.declared.get(zone).cloned());
    // Another server or mode by now: the plan is of another zone.
    let row = row.filter(|row| (row.mode, row.server) == (ZoneMode::Manage, draft.server));
    let Some(row) = row else {
        return Changed::NotWritten;
    };
    let (changes, serial) = (plan.ops.len(), plan.serial);
    match writer.update(&row, plan, now().0 / 1_000).await {
        Ok(()) => {
            tracing::info!(%zone, serial, changes, "published");
            Changed::Done
        }
        Err(error) => {
            tracing::warn!(%zone, serial, changes, error = chain(&error), "not published");
            Changed::Not(error)
        }
    }
}

/// Writes down what became of a zone, by the plan and whether it was carried out. What is not written now is found
/// again by the next look. Of a plan that came to nothing only what was seen is written: or each key that was
/// wanted while a server refuses would be an intention for ever.
async fn end<F: Fleet>(
    fleet: &F,
    draft: &Draft,
    plan: Option<(&ZonePlan, bool)>,
    stuck: Option<String>,
) {
    let (there, gone) = match plan {
        Some((plan, true)) => (plan.there.clone(), plan.gone.clone()),
        Some((plan, false)) => (Marks::new(), plan.vanished.clone()),
        None => (Marks::new(), Marks::new()),
    };
    let command = EndPublish {
        zone: draft.zone.clone(),
        wanted: draft.digest(),
        serial: plan.map(|(plan, _)| plan.serial),
        there,
        gone,
        stuck,
    };
    let command = Command::EndPublish(Box::new(command));
    let _ = written(fleet, "what became of a zone", command).await;
}

/// Has every authoritative server asked whether it shows what was published.
async fn ask<F: Fleet>(fleet: &F, draft: &Draft, plan: &ZonePlan) {
    let addresses = draft.addresses_of(plan.names());
    let living = |state: &FleetState| {
        let living = addresses
            .iter()
            .filter(|one| state.identities.contains_key(*one));
        living.copied().collect()
    };
    let addresses: std::collections::BTreeSet<_> = fleet.view(living);
    if !addresses.is_empty() {
        let command = Command::AskDns(AskDns { addresses });
        say(fleet, "it was published", command).await;
    }
}

async fn written<F: Fleet>(fleet: &F, reason: &str, command: Command) -> bool {
    let actor = format!("node {}", fleet.node());
    let name = command.verb().map_or("", |verb| verb.name());
    let proposal = proposal(fleet, actor, reason, command);
    match fleet.propose(proposal).await {
        Ok(Ok(_)) => true,
        Ok(Err(rejection)) => {
            tracing::warn!(command = name, %rejection, "not written down");
            false
        }
        Err(error) => {
            tracing::info!(command = name, %error, "not written down yet");
            false
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
