//! Does what follows from confirmed listings: takes identities out and slows them, has their replacements looked
//! at and promotes them, opens breakers and pulls brakes.
//!
//! What is due is read from the applied state at once with each change, so that a listed identity is out within
//! a moment of its confirmation; whether it is right is judged again when the command is applied. Candidates are
//! looked at beside that, because lists answer when they like: whoever ends in between has promoted nobody, and
//! the next leader looks again. `complaints` are read beside it as well, because a disk takes its time.

mod candidate;
pub(super) mod complaints;
mod due;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::dnsbl::desk::Desk;
use crate::push::{Fleet, now};
use crate::state::FleetState;
use crate::tasks::{SessionsFn, leads, say};

use candidate::Looking;
use due::{Due, due, is_same};

/// At least between two looks.
const AGAIN: Duration = Duration::from_millis(100);
/// A look without a change: budgets are free again, searches end.
const IDLE: Duration = Duration::from_secs(5);
/// Between two looks at candidates for one event, when those of before did not fit.
const SEARCH: Duration = Duration::from_secs(60);

/// Acts while this node leads.
pub(super) async fn run<F: Fleet>(fleet: F, desk: Desk, sessions: SessionsFn) {
    let mut applied = fleet.applied();
    let mut leadership = fleet.leadership();
    let looking = Looking {
        fleet: fleet.clone(),
        desk,
        sessions,
    };
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
                let Due { commands, wanted } = look(state.clone()).await;
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
            sleep(AGAIN).await;
            tokio::select! {
                changed = timeout(IDLE, applied.changed()) => {
                    if let Ok(Err(_)) = changed {
                        return;
                    }
                }
                Some(done) = searches.join_next() => {
                    match done {
                        Ok(event) => {
                            tried.insert(event, Some(Instant::now()));
                        }
                        // Which one it was is not known: those that are under way are begun once more.
                        Err(_) => tried.retain(|_, last| last.is_some()),
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

/// What a copy of the state asks for, while others are served.
async fn look(state: FleetState) -> Due {
    let looked = tokio::task::spawn_blocking(move || due(&state, now().max(state.now)));
    looked.await.unwrap_or_default()
}
