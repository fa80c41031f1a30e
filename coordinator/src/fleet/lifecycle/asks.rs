//! Takes an edge of the table, or says why not.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{Check, IpStatus, Phase, Verdict};
use email_engine_protocol::time::Timestamp;

use super::preflight::told;
use super::rest::{IDLE_MILLIS, idle_millis, idle_since, is_idle, resumes_at, unclean};
use super::table::{Edge, Step, When, edges_from};
use super::{Event, Preflight, Standing, allowed_from, sends};
use crate::state::{Declared, Quarantine};

fn or_nothing(allowed: &[String]) -> String {
    match allowed {
        [] => "nothing else: it goes when its queue is empty".to_owned(),
        some => some.join(", "),
    }
}

/// Why an identity stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such edge.
    #[error("there is no way from {} to {to}: from {} an identity may become {}", from.as_str(), from.as_str(), or_nothing(allowed))]
    NoEdge {
        /// Where it is.
        from: IpStatus,
        /// Where it was to go.
        to: String,
        /// Where it may go.
        allowed: Vec<String>,
    },
    /// It has not been seen to be fit for sending.
    #[error("{} becomes {} only when preflight is ok, and it is not: {}", from.as_str(), to.as_str(), told(missing))]
    Preflight {
        /// Where it is.
        from: IpStatus,
        /// Where it was to go.
        to: IpStatus,
        /// All that is missing.
        missing: BTreeMap<Check, Verdict>,
    },
    /// The edge is there, its time is not.
    #[error("{} becomes {} later: {}", from.as_str(), to.as_str(), missing.join("; "))]
    NotYet {
        /// Where it is.
        from: IpStatus,
        /// Where it was to go.
        to: IpStatus,
        /// What is missing.
        missing: Vec<String>,
    },
    /// What was declared of it cannot be.
    #[error("{what}")]
    Impossible {
        /// What and why.
        what: String,
    },
}

/// An identity after a turn of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Where it stands.
    pub standing: Standing,
    /// What preflight missed and was overruled.
    pub forced: BTreeSet<Check>,
}

/// Where an identity stands after an event.
///
/// # Errors
/// When the table has no such edge, or its condition does not hold.
pub fn next(
    standing: &Standing,
    event: &Event,
    now: Timestamp,
    preflight: &Preflight,
) -> Result<Turned, Refusal> {
    let step = event.step();
    let edges = edges_from(standing.status).filter(|edge| edge.step == step);
    let to = || step.leads_to().to_owned();
    take(standing, edges, event, to, (now, preflight))
}

/// Where an identity stands after somebody declared it to stand there. What the file says of itself is
/// no evidence: it may take the edges that an operator may, under their conditions.
///
/// # Errors
/// The same; and when the parts of the declaration do not go together.
pub fn declare(
    standing: &Standing,
    wanted: Declared,
    now: Timestamp,
    preflight: &Preflight,
) -> Result<Turned, Refusal> {
    let mut turned = Turned {
        standing: standing.clone(),
        forced: BTreeSet::new(),
    };
    if wanted.status != standing.status {
        let edges = edges_from(standing.status)
            .filter(|edge| edge.to == wanted.status && edge.step.can_be_declared());
        let edges: Vec<&Edge> = edges.collect();
        let step = edges.first().map_or(Step::Retire, |edge| edge.step);
        let event = declared_event(step);
        let to = || wanted.status.as_str().to_owned();
        turned = take(standing, edges.into_iter(), &event, to, (now, preflight))?;
    }
    // Whoever sends at the full quota is through.
    if wanted.phase != standing.phase && turned.standing.status != IpStatus::Active {
        turned.standing.phase = wanted.phase;
    }
    if wanted.reserve != standing.reserve && wanted.status == standing.status {
        turned.standing.reserve = wanted.reserve;
    }
    goes_together(&turned.standing)?;
    Ok(turned)
}

/// What cannot be, however it came to be said.
fn goes_together(standing: &Standing) -> Result<(), Refusal> {
    let Standing {
        status,
        phase,
        reserve,
        ..
    } = standing;
    if *reserve && *status != IpStatus::Active {
        let what = format!(
            "an identity is kept in reserve while it is active; this one is {}",
            status.as_str()
        );
        return Err(Refusal::Impossible { what });
    }
    if *status == IpStatus::Warming && *phase == Phase::Active {
        let what = "an identity that warms up is in one of week_1 to week_6".to_owned();
        return Err(Refusal::Impossible { what });
    }
    Ok(())
}

const fn declared_event(step: Step) -> Event {
    match step {
        Step::Activate => Event::Activate,
        Step::Graduate => Event::Graduate,
        Step::Idle => Event::Idle,
        Step::Quarantine => Event::Quarantine {
            lists: BTreeSet::new(),
        },
        Step::Release => Event::Release,
        Step::Reserve => Event::Reserve { kept: true },
        Step::Rest => Event::Rest,
        Step::Retire => Event::Retire,
    }
}

/// Takes the first of the edges whose condition holds.
fn take<'a>(
    standing: &Standing,
    edges: impl Iterator<Item = &'a Edge>,
    event: &Event,
    to: impl FnOnce() -> String,
    (now, preflight): (Timestamp, &Preflight),
) -> Result<Turned, Refusal> {
    let mut refusal = None;
    for edge in edges {
        match holds(standing, edge, event, now, preflight) {
            Ok(forced) => {
                let standing = moved(standing, edge.to, event, now);
                goes_together(&standing)?;
                return Ok(Turned { standing, forced });
            }
            Err(refused) => refusal = Some(refused),
        }
    }
    Err(refusal.unwrap_or_else(|| Refusal::NoEdge {
        from: standing.status,
        to: to(),
        allowed: allowed_from(standing.status),
    }))
}

/// Whether an edge's condition holds, and what of it was overruled.
fn holds(
    standing: &Standing,
    edge: &Edge,
    event: &Event,
    now: Timestamp,
    preflight: &Preflight,
) -> Result<BTreeSet<Check>, Refusal> {
    let (from, to) = (edge.from, edge.to);
    let not_yet = |missing: Vec<String>| Refusal::NotYet { from, to, missing };
    let idle = idle_millis(standing, now);
    let fine = match edge.when {
        When::Always => Ok(()),
        When::Clean => {
            // No list ever had it: what was somebody's word is undone by an admin's.
            let by_word = |out: &&Quarantine| !(preflight.overruled && out.lists.is_empty());
            let out = standing.quarantine.as_ref().filter(by_word);
            let missing = out.map(|out| unclean(out, now));
            match missing.unwrap_or_default() {
                missing if missing.is_empty() => Ok(()),
                missing => Err(missing),
            }
        }
        When::Idle if is_idle(standing, now) => Ok(()),
        When::Idle => Err(vec![format!(
            "it was idle for {} of 30 days, and takes mail for {} of 7",
            idle / Timestamp::DAY,
            now.since(standing.since) / Timestamp::DAY
        )]),
        When::InReserve if standing.reserve => Ok(()),
        When::InReserve => Err(vec![
            "it is active already, with its whole weight".to_owned(),
        ]),
        When::Listed => match event {
            Event::Quarantine { lists } if !lists.is_empty() => Ok(()),
            _ => Err(vec![
                "one that takes no mail is taken out when a list has it: say which".to_owned(),
            ]),
        },
        When::Through if standing.phase != Phase::Active => {
            Err(vec!["it has not passed week 6".to_owned()])
        }
        When::Through if idle >= IDLE_MILLIS => Err(vec![format!(
            "it passed week 6 and has sent nothing for {} days, 30 are too many",
            idle / Timestamp::DAY
        )]),
        When::Through | When::Preflight => return fit(preflight, from, to),
    };
    fine.map(|()| BTreeSet::new()).map_err(not_yet)
}

fn fit(preflight: &Preflight, from: IpStatus, to: IpStatus) -> Result<BTreeSet<Check>, Refusal> {
    let missing = preflight.missing();
    if missing.is_empty() || preflight.overruled {
        return Ok(missing.into_keys().collect());
    }
    Err(Refusal::Preflight { from, to, missing })
}

/// The identity at the end of an edge.
fn moved(standing: &Standing, to: IpStatus, event: &Event, now: Timestamp) -> Standing {
    let mut after = standing.clone();
    after.status = to;
    if to != standing.status {
        after.since = now;
    }
    // Whoever sent at the full quota is through, whatever was written beside it.
    if standing.status == IpStatus::Active || to == IpStatus::Active {
        after.phase = Phase::Active;
    }
    after.reserve = matches!(event, Event::Reserve { kept: true });
    if sends(to) && !standing.sends() {
        let resumed = resumes_at(standing, now);
        // One whose rest is too long for production begins again with the last week.
        after.phase = match to {
            IpStatus::Active => Phase::Active,
            _ => resumed.min(Phase::Week6),
        };
        (after.idle_from, after.sent_ever) = (idle_since(standing, now), true);
    }
    // While nobody knows when it sent last, it may have been a moment ago.
    if standing.sends() && !sends(to) && standing.last_sent.is_none() {
        after.idle_from = now.max(standing.idle_from);
    }
    after.quarantine = match (event, to) {
        (Event::Quarantine { lists }, IpStatus::Quarantine) => {
            let mut all = lists.clone();
            let seen_before = standing.quarantine.as_ref();
            all.extend(seen_before.iter().flat_map(|out| out.lists.iter().cloned()));
            let before = seen_before.map_or(now, |out| out.last_sighting);
            Some(Quarantine {
                // What waited is gone, whoever lists it now.
                expired: seen_before.and_then(|out| out.expired.clone()),
                ..Quarantine::new(all, now.max(before))
            })
        }
        _ => None,
    };
    after
}
