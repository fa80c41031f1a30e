//! What is left under names that a content holds: asked of the product, remembered for this life.
//!
//! Two sorts of names are asked about. Those that are leaving, once the content in force takes
//! nothing new for them: the cluster is told. And those that the wanted content lacks: as long as one
//! holds something, or nobody knows, that content is held back, so that no mistake of a planner loses
//! what waits under a name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use email_engine_protocol::desired::{CountSpec, DrainSpec};
use email_engine_protocol::id::ResourceId;
use email_engine_protocol::limits;
use email_engine_protocol::observed::{DrainStatus, Observed};
use email_engine_protocol::time::Timestamp;

use super::shape;
use crate::host::System;
use crate::resources::time_limit;

/// From one look at a name to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// From the first look that found nothing to the one that confirms it: a message whose way was chosen
/// before the content came into force may still be on the line.
const LOOK_TWICE: Duration = Duration::from_secs(30);
/// The same where nothing is on any line.
const LOOK_TWICE_SIMULATED: Duration = Duration::from_millis(100);
/// Empty looks in a row after which a name is taken for empty: what was on its way when the content
/// came into force has arrived by the second.
const EMPTY_LOOKS: u32 = 2;
/// Names that are asked about before whoever else waits has a turn: each is a command.
const AT_ONCE: usize = 8;
/// Names that a reason tells.
const TOLD: usize = 5;

/// What is asked, and of which names.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Names that leave with the content in force.
    pub(super) leaving: &'a [String],
    /// Names that the wanted content lacks.
    pub(super) missing: &'a [String],
    /// How.
    pub(super) question: &'a CountSpec,
}

/// What was seen of one transaction's names.
#[derive(Debug, Default)]
pub(super) struct Drains {
    seen: BTreeMap<String, Seen>,
    /// Until when a product that did not answer is left alone.
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    messages: Observed<u64>,
    /// In a row, as one that is leaving.
    empty: u32,
    next: Instant,
}

/// Names of the content in force that a wanted one lacks and that nobody gave up; both lists of names
/// are in order.
pub(super) fn missing(good: &[String], wanted: &DrainSpec) -> Vec<String> {
    let is_in = |list: &Vec<String>, name: &String| list.binary_search(name).is_ok();
    let goes = |name: &&String| !is_in(&wanted.holds, name) && !is_in(&wanted.given_up, name);
    good.iter().filter(goes).cloned().collect()
}

impl Drains {
    /// Another content is wanted: what is known of names that it lacks is from before.
    pub(super) fn doubt(&mut self, missing: &[String], now: Instant) {
        for name in missing {
            if let Some(seen) = self.seen.get_mut(name) {
                seen.next = now;
            }
        }
    }

    /// When there is something to ask, if there ever is.
    pub(super) fn due(&self, asked: &Asked<'_>, now: Instant) -> Option<Instant> {
        let leaving = asked.leaving.iter().filter_map(|name| self.next(name, now));
        let missing = asked
            .missing
            .iter()
            .filter_map(|name| self.next_missing(name, now));
        let due = leaving.chain(missing).min()?;
        Some(self.rests_until.map_or(due, |rests| due.max(rests)))
    }

    fn next(&self, name: &str, now: Instant) -> Option<Instant> {
        match self.seen.get(name) {
            None => Some(now),
            Some(seen) => (seen.empty < EMPTY_LOOKS).then_some(seen.next),
        }
    }

    /// One look at a name that the wanted content lacks is enough, when it is a fresh one.
    fn next_missing(&self, name: &str, now: Instant) -> Option<Instant> {
        Some(self.seen.get(name).map_or(now, |seen| seen.next))
    }

    /// Asks about whatever is due, and forgets names that nobody asks about any more.
    pub(super) fn ask(
        &mut self,
        system: &mut dyn System,
        id: &ResourceId,
        asked: &Asked<'_>,
        (now, at): (Instant, Timestamp),
    ) {
        let names: BTreeSet<&String> = asked.leaving.iter().chain(asked.missing).collect();
        self.seen.retain(|name, _| names.contains(name));
        if self.rests_until.is_some_and(|rests| rests > now) {
            return;
        }
        let twice = if system.is_simulated() {
            LOOK_TWICE_SIMULATED
        } else {
            LOOK_TWICE
        };
        let leaving: BTreeSet<&String> = asked.leaving.iter().collect();
        let is_due = |seen: &Self, name: &String| {
            let leaves = leaving.contains(name);
            let next = if leaves {
                seen.next(name, now)
            } else {
                seen.next_missing(name, now)
            };
            next.is_some_and(|next| next <= now)
        };
        let due = names.into_iter().filter(|name| is_due(self, name));
        let mut due: Vec<&String> = due.collect();
        // Who waits longest is asked first, so that no slow answer keeps anybody from a turn.
        due.sort_by_key(|name| self.seen.get(*name).map(|seen| seen.next));
        let begin = Instant::now();
        for name in due.into_iter().take(AT_ONCE) {
            let counted = count(system, id, asked.question, name);
            // An answer may take its time: the pause until the next question begins after it.
            let now = now + begin.elapsed();
            let silent = matches!(counted, Err(Unanswered::Silent(_)));
            let counted = counted.map_err(Unanswered::into_reason);
            self.note(name, counted, (now, at), twice);
            if silent {
                // A product that does not answer one question answers no other.
                self.rests_until = Some(now + LOOK_AGAIN);
                return;
            }
        }
    }

    fn note(
        &mut self,
        name: &str,
        counted: Result<u64, String>,
        (now, at): (Instant, Timestamp),
        twice: Duration,
    ) {
        let before = self.seen.remove(name);
        let empty = match (&counted, &before) {
            (Ok(0), Some(before)) => before.empty.saturating_add(1),
            (Ok(0), None) => 1,
            _ => 0,
        };
        let fresh = match counted {
            Ok(value) => Observed::Known { value, at },
            Err(reason) => Observed::Unknown { reason, since: at },
        };
        // Only news has a new time.
        let messages = match (before.map(|before| before.messages), fresh) {
            (Some(old @ Observed::Known { value, .. }), Observed::Known { value: new, .. })
                if value == new =>
            {
                old
            }
            (Some(Observed::Unknown { since, .. }), Observed::Unknown { reason, .. }) => {
                Observed::Unknown { reason, since }
            }
            (_, fresh) => fresh,
        };
        let wait = if empty == 1 { twice } else { LOOK_AGAIN };
        let next = now + wait;
        self.seen.insert(
            name.to_owned(),
            Seen {
                messages,
                empty,
                next,
            },
        );
    }

    /// Which of these names hold something, or may: in words.
    pub(super) fn holding(&self, missing: &[String]) -> Vec<String> {
        let holding = |name: &String| match self.seen.get(name).map(|seen| &seen.messages) {
            Some(Observed::Known { value: 0, .. }) => None,
            Some(Observed::Known { value, .. }) => Some(format!("{name} holds {value} messages")),
            Some(Observed::Unknown { reason, .. }) => {
                Some(format!("what {name} holds is not known: {reason}"))
            }
            None => Some(format!("{name} was not asked about yet")),
        };
        let mut told: Vec<String> = missing.iter().filter_map(holding).collect();
        let more = told.len().saturating_sub(TOLD);
        told.truncate(TOLD);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        told
    }

    /// What is told of names that are leaving, as far as they were asked about.
    pub(super) fn statuses(&self, leaving: &[String]) -> impl Iterator<Item = DrainStatus> {
        leaving.iter().filter_map(|name| {
            let seen = self.seen.get(name)?;
            Some(DrainStatus {
                name: name.clone(),
                messages: seen.messages.clone(),
                is_over: seen.empty >= EMPTY_LOOKS,
            })
        })
    }
}

/// Why there is no count.
enum Unanswered {
    /// Nothing that can be understood was said.
    Form(String),
    /// Nothing was said.
    Silent(String),
}

impl Unanswered {
    fn into_reason(self) -> String {
        let (Self::Form(mut reason) | Self::Silent(mut reason)) = self;
        reason.truncate(reason.floor_char_boundary(limits::DRAIN_BYTES));
        reason
    }
}

fn count(
    system: &mut dyn System,
    id: &ResourceId,
    question: &CountSpec,
    name: &str,
) -> Result<u64, Unanswered> {
    let seconds = match question.seconds {
        0 => limits::PROBE_DEFAULT_SECONDS,
        seconds => seconds.min(limits::PROBE_SECONDS),
    };
    let answer = system.ask(id, &question.about(name), time_limit(seconds));
    let answer = answer.map_err(|error| Unanswered::Silent(error.to_string()))?;
    if system.is_simulated() && answer.is_empty() {
        return Ok(0);
    }
    shape::count(&answer, question, name).map_err(Unanswered::Form)
}

#[cfg(test)]
mod tests {
    use super::super::tests::question;
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_a_content_lacks_and_nobody_gave_up_is_missing() {
        let wanted = DrainSpec {
            holds: names(&["a", "c"]),
            leaving: Vec::new(),
            given_up: names(&["d"]),
            question: question(),
        };
        assert_eq!(missing(&names(&["a", "b", "d", "e"]), &wanted), ["b", "e"]);
    }

    #[test]
    fn a_name_is_empty_after_two_looks_in_a_row_and_not_asked_about_again() {
        let (begin, question, leaving) = (Instant::now(), question(), names(&["a"]));
        let asked = Asked {
            leaving: &leaving,
            missing: &[],
            question: &question,
        };
        let mut drains = Drains::default();
        assert_eq!(drains.due(&asked, begin), Some(begin));
        for (step, (counted, over)) in [
            (Ok(0), false),
            (Ok(2), false),
            (Ok(0), false),
            (Err("no answer".to_owned()), false),
            (Ok(0), false),
            (Ok(0), true),
        ]
        .into_iter()
        .enumerate()
        {
            let at = Timestamp(step as u64);
            drains.note("a", counted, (begin, at), LOOK_TWICE);
            let status = drains.statuses(&leaving).next().unwrap();
            assert_eq!(status.is_over, over, "{step}");
        }
        let status = drains.statuses(&leaving).next().unwrap();
        let since = Observed::Known {
            value: 0,
            at: Timestamp(4),
        };
        assert_eq!(status.messages, since, "no news, no new time");
        assert_eq!(drains.due(&asked, begin), None);
        // As one that a content lacks it is looked at again.
        let lacked = Asked {
            leaving: &[],
            missing: &leaving,
            question: &question,
        };
        drains.doubt(&leaving, begin);
        assert_eq!(drains.due(&lacked, begin), Some(begin));
    }

    #[test]
    fn what_holds_something_or_may_is_told_and_the_rest_counted() {
        let mut drains = Drains::default();
        let now = (Instant::now(), Timestamp(1));
        let all = names(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        drains.note("a", Ok(0), now, LOOK_TWICE);
        drains.note("b", Ok(7), now, LOOK_TWICE);
        drains.note("c", Err("its form is unknown".to_owned()), now, LOOK_TWICE);
        let told = drains.holding(&all);
        assert_eq!(told[0], "b holds 7 messages");
        assert_eq!(told[1], "what c holds is not known: its form is unknown");
        assert_eq!(told[2], "d was not asked about yet");
        assert_eq!(told.last().unwrap(), "and 2 more");
        assert_eq!(drains.holding(&all[..1]), Vec::<String>::new());
    }
}
