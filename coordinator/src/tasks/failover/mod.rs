//! Does what follows from confirmed listings: takes identities out and slows them, has their replacements looked
//! at and promotes them, opens breakers and pulls brakes.
//!
//! What is due is read from the applied state at once with each change, so that a listed identity is out within
//! a moment of its confirmation; whether it is right is judged again when the command is applied. Candidates are
//! looked at beside that, because lists answer when they like: whoever ends in between has promoted nobody, and
//! the next leader looks again.

mod candidate;
mod complaints;
mod due;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::command::Command;
use crate::dnsbl::desk::Desk;
use crate::fleet::warmup::Evidence;
use crate::push::{Fleet, now};
use crate::state::FleetState;
use crate::tasks::{SessionsFn, leads, say};

use candidate::Looking;
use due::{due, is_same, wanted};

/// At least between two looks.
const AGAIN: Duration = Duration::from_millis(100);
/// A look without a change: budgets are free again, searches end.
const IDLE: Duration = Duration::from_secs(5);
/// Between two looks at candidates for one event, when those of before did not fit.
const SEARCH: Duration = Duration::from_secs(60);
/// Between two looks at complaints, which are read from a disk.
const COUNTED: Duration = Duration::from_secs(300);

/// Acts while this node leads.
pub(super) async fn run<F: Fleet>(
    fleet: F,
    desk: Desk,
    sessions: SessionsFn,
    evidence: Arc<dyn Evidence>,
) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    let looking = Looking {
        fleet: fleet.clone(),
        desk,
        sessions,
    };
    let mut counted: Option<Instant> = None;
    while leads(&mut leadership).await {
        // Searches of before may have been another leader's meanwhile.
        let mut searches: JoinSet<u64> = JoinSet::new();
        let mut tried: BTreeMap<u64, Option<Instant>> = BTreeMap::new();
        let mut looked: Option<(Instant, FleetState)> = None;
        let mut events = BTreeSet::new();
        while leadership.borrow().is_leader {
            applied.mark_unchanged();
            let state = fleet.view(FleetState::clone);
            let is_idle = looked
                .as_ref()
                .is_some_and(|(at, before)| at.elapsed() < IDLE && is_same(before, &state));
            if !is_idle {
                let (commands, wanted) = look(state.clone()).await;
                for (reason, command) in commands {
                    say(&fleet, reason, command).await;
                }
                events = wanted;
                looked = Some((Instant::now(), state));
            }
            tried.retain(|event, _| events.contains(event));
            for event in events.iter().copied() {
                let is_time = tried
                    .get(&event)
                    .is_none_or(|last| last.is_some_and(|last| last.elapsed() >= SEARCH));
                if is_time {
                    // None while it is looked for.
                    tried.insert(event, None);
                    let looking = looking.clone();
                    searches.spawn(async move {
                        looking.look(event).await;
                        event
                    });
                }
            }
            if counted.is_none_or(|last| last.elapsed() >= COUNTED) {
                counted = Some(Instant::now());
                for command in complaints::look(&fleet, &evidence).await {
                    say(&fleet, "too many complain", command).await;
                }
            }
            sleep(AGAIN).await;
            tokio::select! {
                changed = timeout(IDLE, applied.changed()) => {
                    if let Ok(Err(_)) = changed {
                        return;
                    }
                }
                Some(done) = searches.join_next() => {
                    if let Ok(event) = done {
                        tried.insert(event, Some(Instant::now()));
                    }
                }
                changed = leadership.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// What a copy of the state asks for, and events for which somebody may be promoted, while others are served.
async fn look(state: FleetState) -> (Vec<(&'static str, Command)>, BTreeSet<u64>) {
    let looked = tokio::task::spawn_blocking(move || {
        let at = now().max(state.now);
        (due(&state, at), wanted(&state, at))
    });
    looked.await.unwrap_or_default()
}
