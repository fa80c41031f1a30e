//! Looks everybody up on lists of bad senders: the leader begins sweeps, every node asks the lists that are
//! its own (or a late node's), and looks a second time at what others saw. What a list said is proposed at
//! once; nothing here decides what follows.
//!
//! Each list is asked by a task of its own, so that one that is slow delays nobody else's report. A node that
//! ends in between has said nothing: another takes its lists over.

mod replies;
pub(super) mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use email_engine_protocol::api::ListingClass;
use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use super::say;
use crate::command::{BeginSweep, Command};
use crate::dnsbl::desk::Desk;
use crate::dnsbl::query::Subject;
use crate::dnsbl::registry::{Class, Kind, Registry, Zone};
use crate::fleet::listing::{due, subjects, to_confirm};
use crate::push::{Fleet, now};
use crate::state::{FleetState, ListWeight};

/// Between two looks, while nothing happens.
const IDLE: Duration = Duration::from_secs(5);
/// At least between two looks.
const AGAIN: Duration = Duration::from_millis(500);
/// How much longer than two periods a sweep may take before the next one begins all the same.
const PATIENCE: u64 = 60 * Timestamp::SECOND;
/// How long what a list said is offered to a cluster that does not take it.
const OFFERED: u32 = 300;

/// What one list is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    list: ListId,
    /// The sweep that it is of; a second look is of none.
    sweep: Option<u64>,
}

/// Asks while this node runs.
pub(super) async fn run<F: Fleet>(fleet: F, desk: Desk) {
    let mut applied = fleet.applied();
    let mut running: BTreeSet<Job> = BTreeSet::new();
    // A second look that found nothing out is not repeated at once, and no more is a look because of replies.
    let mut looked: BTreeMap<ListId, Timestamp> = BTreeMap::new();
    let mut asked = replies::Lately::default();
    let mut jobs: JoinSet<Job> = JoinSet::new();
    loop {
        applied.mark_unchanged();
        if let Some(begin) = begin(&fleet, &desk) {
            say(&fleet, "it is time for a sweep", begin).await;
        }
        let is_alone = fleet.view(|state| state.voters().count() <= 1);
        let at = now();
        let swept = fleet.view(|state| {
            let sweep = state.listings.sweep.as_ref().map(|sweep| sweep.number);
            (sweep, due(state, fleet.node(), at.max(state.now)))
        });
        for list in swept.1 {
            let job = Job {
                list,
                sweep: swept.0,
            };
            start(&fleet, &desk, job, None, (&mut running, &mut jobs));
        }
        if let Some((observer, resolver)) = desk.second_look(is_alone) {
            let wanted = fleet.view(|state| to_confirm(state, &observer, at.max(state.now)));
            let apart = desk.config().rules().confirm;
            for (list, subjects) in wanted {
                let recent = looked
                    .get(&list)
                    .is_some_and(|last| at.since(*last) < apart);
                if recent {
                    continue;
                }
                looked.insert(list.clone(), at);
                let job = Job { list, sweep: None };
                let second = Some((subjects, observer.clone(), resolver));
                start(&fleet, &desk, job, second, (&mut running, &mut jobs));
            }
        }
        for (list, subjects) in asked.due(&fleet, &desk, at) {
            let job = Job {
                list: list.clone(),
                sweep: None,
            };
            let wanted = (subjects.clone(), desk.observer(), desk.config().resolver);
            if start(&fleet, &desk, job, Some(wanted), (&mut running, &mut jobs)) {
                asked.note(&list, subjects, at);
            }
        }
        sleep(AGAIN).await;
        tokio::select! {
            changed = timeout(IDLE, applied.changed()) => {
                if let Ok(Err(_)) = changed {
                    return;
                }
            }
            Some(done) = jobs.join_next() => {
                if let Ok(job) = done {
                    running.remove(&job);
                }
            }
        }
        while let Some(Ok(job)) = jobs.try_join_next() {
            running.remove(&job);
        }
    }
}

type Second = (
    BTreeSet<Subject>,
    crate::state::Observer,
    std::net::SocketAddr,
);

/// Begins to ask a list, unless that is under way or this node cannot ask it: then it says so.
fn start<F: Fleet>(
    fleet: &F,
    desk: &Desk,
    job: Job,
    second: Option<Second>,
    (running, jobs): (&mut BTreeSet<Job>, &mut JoinSet<Job>),
) -> bool {
    let Some(zone) = Registry::built_in().zone(&job.list) else {
        return false;
    };
    if running.contains(&job) {
        return false;
    }
    let prepared = fleet.view(|state| {
        let door = desk.door(state, zone).ok()?;
        let wanted = match &second {
            Some((subjects, ..)) => subjects.clone(),
            None => subjects(state, zone.kind),
        };
        Some((door, wanted.into_iter().collect::<Vec<_>>()))
    });
    let Some((door, subjects)) = prepared else {
        return false;
    };
    running.insert(job.clone());
    let (fleet, desk) = (fleet.clone(), desk.clone());
    jobs.spawn(async move {
        let (observer, resolver) = match second {
            Some((_, observer, resolver)) => (observer, Some(resolver)),
            None => (desk.observer(), None),
        };
        match desk.ask(vec![door], &subjects, resolver).await {
            Ok(findings) => {
                for findings in findings {
                    report::report(&fleet, &observer, job.sweep, &findings).await;
                }
            }
            Err(error) => {
                tracing::warn!(list = %job.list, %error, "a list cannot be asked");
                // Not again at once: what is wrong here is not right a moment later.
                sleep(IDLE).await;
            }
        }
        job
    });
    true
}

/// The command that begins the next sweep, when this node leads and it is time.
fn begin<F: Fleet>(fleet: &F, desk: &Desk) -> Option<Command> {
    if !fleet.leadership().borrow().is_leader || desk.config().sweep_seconds == 0 {
        return None;
    }
    fleet.view(|state| {
        let at = now().max(state.now);
        let every = desk.config().rules().every;
        let is_time = state.listings.sweep.as_ref().is_none_or(|sweep| {
            let age = at.since(sweep.began_at);
            // One that is not through may be with a list that answers slowly.
            age >= every && (sweep.closed_at.is_some() || age >= every.saturating_mul(2) + PATIENCE)
        });
        (is_time && !state.identities.is_empty())
            .then(|| next_sweep(state, desk))
            .flatten()
    })
}

/// The next sweep over all lists that are configured here, shared out over all that vote.
pub(crate) fn next_sweep(state: &FleetState, desk: &Desk) -> Option<Command> {
    let doors = desk.doors(state);
    let lists: BTreeMap<ListId, ListWeight> = doors
        .iter()
        .map(|door| (door.zone.id.clone(), weight(door.zone)))
        .collect();
    if lists.is_empty() {
        return None;
    }
    Some(Command::BeginSweep(BeginSweep {
        number: state
            .listings
            .sweep
            .as_ref()
            .map_or(1, |sweep| sweep.number + 1),
        lists,
        members: state.voters().map(|node| node.id).collect(),
        rules: desk.config().rules(),
    }))
}

/// What a listing on a list may do to an address, by the strongest of its codes.
fn weight(zone: &Zone) -> ListWeight {
    let has = |class| {
        let listed = Class::Listed(class);
        zone.codes.iter().any(|code| code.class == listed)
    };
    if zone.kind != Kind::Ip {
        ListWeight::Told
    } else if has(ListingClass::A) {
        ListWeight::TakesOut
    } else if has(ListingClass::B) {
        ListWeight::Slows
    } else {
        ListWeight::Told
    }
}
