//! The table of edges.

use email_engine_protocol::api::RotationStage::{
    self, Publish, Retired, Switched, Switching, Verified,
};
use email_engine_protocol::api::{RotationCause, Statement, Verdict};
use email_engine_protocol::time::Timestamp;

use crate::fleet::lifecycle::FRESH_MILLIS;
use crate::state::Rotation;

/// What happens to a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It begins, or an emergency makes haste of one that is under way.
    Begin(RotationCause),
    /// Somebody looked at the new record.
    See(Verdict),
    /// What its stage waits for may have come.
    Go,
}

/// What an edge may ask beside the rotation itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// Its host is at a target that knows of the stage, and nothing that left another host signs for it.
    pub has_host_applied: bool,
    /// Whether mail may ever have left it.
    pub sent_ever: bool,
}

/// Why a rotation stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such edge.
    #[error("a rotation that is {} does not become {to}: {}", name(*from), allowed(*from))]
    NoEdge {
        /// Where it is.
        from: Option<RotationStage>,
        /// Where it was to go.
        to: &'static str,
    },
    /// The edge is there, its time is not.
    #[error("{} becomes {} later: {missing}", name(*from), name(*to))]
    NotYet {
        /// Where it is.
        from: Option<RotationStage>,
        /// Where it was to go.
        to: Option<RotationStage>,
        /// What is missing.
        missing: String,
    },
}

/// An [`Event`] without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begin,
    Hurry,
    See,
    Go,
}

/// What an edge asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// The new record was seen as it must be, just now.
    Valid,
    /// It was seen otherwise.
    Invalid,
    /// The host has the new key's file, and the record was seen valid within a day.
    Placed,
    /// The host signs with the new key, and the old one's record need not stay.
    AppliedForGood,
    /// The host signs with the new key.
    Applied,
    /// All days are counted.
    Counted,
}

/// One way from one stage to another; no stage is no rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: Option<RotationStage>,
    pub(super) step: Step,
    pub(super) to: Option<RotationStage>,
    pub(super) when: When,
}

const fn edge(
    from: Option<RotationStage>,
    step: Step,
    to: Option<RotationStage>,
    when: When,
) -> Edge {
    Edge {
        from,
        step,
        to,
        when,
    }
}

/// All edges. Of two with the same stage and step the first whose condition holds is taken.
#[rustfmt::skip]
pub(super) const EDGES: &[Edge] = &[
    edge(None,            Step::Begin, Some(Publish),   When::Always),
    edge(None,            Step::Hurry, Some(Publish),   When::Always),
    edge(Some(Publish),   Step::Hurry, Some(Publish),   When::Always),
    edge(Some(Publish),   Step::See,   Some(Verified),  When::Valid),
    edge(Some(Publish),   Step::See,   Some(Publish),   When::Always),
    edge(Some(Verified),  Step::Hurry, Some(Verified),  When::Always),
    edge(Some(Verified),  Step::See,   Some(Publish),   When::Invalid),
    edge(Some(Verified),  Step::See,   Some(Verified),  When::Always),
    edge(Some(Verified),  Step::Go,    Some(Switching), When::Placed),
    edge(Some(Switching), Step::Hurry, Some(Switching), When::Always),
    edge(Some(Switching), Step::See,   Some(Switching), When::Always),
    edge(Some(Switching), Step::Go,    Some(Retired),   When::AppliedForGood),
    edge(Some(Switching), Step::Go,    Some(Switched),  When::Applied),
    edge(Some(Switched),  Step::Hurry, Some(Publish),   When::Always),
    edge(Some(Switched),  Step::Go,    Some(Retired),   When::Counted),
    edge(Some(Retired),   Step::Begin, Some(Publish),   When::Always),
    edge(Some(Retired),   Step::Hurry, Some(Publish),   When::Always),
    edge(Some(Retired),   Step::Go,    None,            When::Counted),
];

/// Where a rotation stands after an event; no stage is that it is over and nothing of it is left.
///
/// # Errors
/// When the table has no such edge, or its condition does not hold.
pub fn next(
    rotation: Option<&Rotation>,
    event: &Event,
    facts: &Facts,
) -> Result<Option<RotationStage>, Refusal> {
    let (from, step) = (rotation.map(|one| one.stage), step_of(event));
    let mut refusal = None;
    let edges = EDGES
        .iter()
        .filter(|edge| edge.from == from && edge.step == step);
    for edge in edges {
        match missing(edge.when, rotation, event, facts) {
            None => return Ok(edge.to),
            Some(missing) => {
                let to = edge.to;
                refusal = Some(Refusal::NotYet { from, to, missing });
            }
        }
    }
    let to = match event {
        Event::Begin(_) => "publish",
        Event::See(_) => "verified",
        Event::Go => "anything else by itself",
    };
    Err(refusal.unwrap_or(Refusal::NoEdge { from, to }))
}

const fn step_of(event: &Event) -> Step {
    match event {
        Event::Begin(RotationCause::Emergency) => Step::Hurry,
        Event::Begin(_) => Step::Begin,
        Event::See(_) => Step::See,
        Event::Go => Step::Go,
    }
}

/// What a condition misses.
fn missing(
    when: When,
    rotation: Option<&Rotation>,
    event: &Event,
    facts: &Facts,
) -> Option<String> {
    let by_emergency = rotation.is_some_and(|one| one.cause == RotationCause::Emergency);
    let unless =
        |holds: bool, missing: &dyn Fn() -> String| if holds { None } else { Some(missing()) };
    match when {
        When::Always => None,
        When::Valid => unless(matches!(event, Event::See(Verdict::Valid)), &|| {
            "the new record was not seen valid".to_owned()
        }),
        When::Invalid => unless(
            matches!(event, Event::See(Verdict::Invalid { .. })),
            &|| "the new record was not seen invalid".to_owned(),
        ),
        When::Placed => unseen(rotation, facts.now).or_else(|| {
            unless(facts.has_host_applied, &|| {
                "its host did not report that it has the new key".to_owned()
            })
        }),
        When::AppliedForGood => unless(
            facts.has_host_applied && (by_emergency || !facts.sent_ever),
            &|| "what was signed with the old key is still judged by its record".to_owned(),
        ),
        When::Applied => unless(facts.has_host_applied, &|| {
            "its host did not report that it signs with the new key".to_owned()
        }),
        When::Counted => {
            let left = rotation.map_or(0, |one| one.wanted.saturating_sub(one.counted));
            unless(left == 0, &|| {
                format!(
                    "{} more days are to be counted",
                    left.div_ceil(Timestamp::DAY)
                )
            })
        }
    }
}

/// Why what was seen of the new record is not good enough for signing with its key.
fn unseen(rotation: Option<&Rotation>, now: Timestamp) -> Option<String> {
    let seen = rotation.and_then(|rotation| rotation.seen.as_ref());
    let Some(Statement { verdict, at, .. }) = seen else {
        return Some("nobody looked at the new record".to_owned());
    };
    if *verdict != Verdict::Valid {
        return Some("the new record was not seen valid".to_owned());
    }
    // A time that is still to come is of a clock that was set back: it is as fresh as can be.
    (now.since(*at) > FRESH_MILLIS).then(|| {
        format!("the new record was seen valid last at {at}, which is more than 24 hours ago")
    })
}

/// For people.
fn name(stage: Option<RotationStage>) -> &'static str {
    stage.map_or("not under way", RotationStage::as_str)
}

/// What may become of it from here, for people.
fn allowed(from: Option<RotationStage>) -> &'static str {
    match from {
        None => "one may begin",
        Some(Publish) => {
            "it becomes verified when the new record is seen valid on all authoritative servers; an \
             emergency makes haste of it"
        }
        Some(Verified) => {
            "it becomes switching when its host has the new key, publish when its record is seen invalid; \
             an emergency makes haste of it"
        }
        Some(Switching) => {
            "it becomes switched, or retired in an emergency, when its host signs with the new key"
        }
        Some(Switched) => {
            "it becomes retired when 14 days and a queue's life are counted; an emergency \
                           begins another one"
        }
        Some(Retired) => "it ends when 30 days are counted; another one may begin",
    }
}
