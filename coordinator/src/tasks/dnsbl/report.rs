//! Says what a list said, in as many commands as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::sleep;

use super::OFFERED;
use crate::alerts::rules::{Event, Line, ListEvent, OfList};
use crate::command::{
    ALERTS_TOGETHER, Command, LISTING_SUBJECTS, RaiseAlerts, RecordListings, RunEnd, Sighting,
};
use crate::dnsbl::query::Subject;
use crate::dnsbl::sweep::Findings;
use crate::dnsbl::verdict::{Verdict, Why};
use crate::fleet::listing::{rows, wait_for_answer, watched};
use crate::push::{Fleet, now, proposal};
use crate::state::{FleetState, Observer};
use crate::tasks::say;

/// Between two offers.
const AGAIN: Duration = Duration::from_secs(1);

/// Proposes it until it is taken, or nobody wants it any more.
pub(in crate::tasks) async fn report<F: Fleet>(
    fleet: &F,
    observer: &Observer,
    sweep: Option<u64>,
    findings: &Findings,
) {
    let parts = fleet.view(|state| parts(state, observer, sweep, findings));
    tell_strange(fleet, findings).await;
    tracing::info!(
        list = %findings.list, health = findings.health().words(), asked = findings.asked,
        repeated = findings.repeated, took = ?findings.took, "a list was asked"
    );
    for part in parts {
        let mut left = OFFERED;
        // An unclear outcome is asked about again under its own id.
        let actor = format!("node {}", fleet.node());
        let offer = proposal(
            fleet,
            actor,
            "what a list said",
            Command::RecordListings(Box::new(part)),
        );
        loop {
            match fleet.propose(offer.clone()).await {
                Ok(Ok(_)) => break,
                Ok(Err(rejection)) => {
                    tracing::warn!(list = %findings.list, %rejection, "what a list said is not taken");
                    return;
                }
                Err(error) if left == 0 => {
                    tracing::warn!(list = %findings.list, %error, "what a list said could not be said");
                    return;
                }
                Err(_) => {
                    left -= 1;
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Answers that no table has, each with one for whom it was given.
fn strange(findings: &Findings) -> BTreeMap<Ipv4Addr, &Subject> {
    let found = findings.found.iter();
    let codes = found.flat_map(|found| {
        let codes = match &found.verdict {
            Verdict::Listed(listed) => listed.strange.iter().copied().collect(),
            Verdict::Unknown(Why::NewCode(code)) => vec![*code],
            _ => Vec::new(),
        };
        codes.into_iter().map(|code| (code, &found.subject))
    });
    codes.collect()
}

/// Tells people of them, once a day each.
async fn tell_strange<F: Fleet>(fleet: &F, findings: &Findings) {
    let strange = strange(findings);
    if strange.is_empty() {
        return;
    }
    let codes: Vec<_> = strange.keys().map(ToString::to_string).collect();
    tracing::warn!(list = %findings.list, codes = codes.join(", "), "a list answers with codes that are not known");
    let events = strange.into_iter().map(|(code, subject)| {
        Event::List(ListEvent {
            list: Line::said(&findings.list),
            what: OfList::NewCode {
                code: Line::said(code),
                about: Line::said(subject),
            },
        })
    });
    let raised: Vec<Event> = fleet.view(|state| {
        let at = now().max(state.now);
        let is_news = |event: &Event| !state.alerts.was_raised(&event.key(), at);
        events.filter(is_news).take(ALERTS_TOGETHER).collect()
    });
    if !raised.is_empty() {
        let resolved = Vec::new();
        let command = Command::RaiseAlerts(RaiseAlerts { raised, resolved });
        say(fleet, "a list answers strangely", command).await;
    }
}

/// What is to be written down, the last part with the end. Of those that are clean only whom it matters of.
fn parts(
    state: &FleetState,
    observer: &Observer,
    sweep: Option<u64>,
    findings: &Findings,
) -> Vec<RecordListings> {
    let watched = watched(state);
    let waiting = wait_for_answer(state, &findings.list);
    let matters = |subject: &Subject| {
        watched.contains(subject)
            || waiting.contains(subject)
            || rows(state, subject).any(|(list, row)| *list == findings.list && row.is_open())
    };
    let part = || RecordListings {
        sweep,
        list: findings.list.clone(),
        observer: observer.clone(),
        listed: Vec::new(),
        clean: BTreeSet::new(),
        unknown: BTreeSet::new(),
        end: None,
    };
    let is_healthy = findings.health().is_healthy();
    let mut parts = vec![part()];
    let mut end = RunEnd {
        trouble: (!is_healthy).then(|| findings.health().words().to_owned()),
        subjects: u32::try_from(findings.found.len()).unwrap_or(u32::MAX),
        listed: 0,
        unknown: 0,
    };
    for found in &findings.found {
        let is_full = |part: &RecordListings| {
            part.listed.len() + part.clean.len() + part.unknown.len() >= LISTING_SUBJECTS
        };
        if parts.last().is_none_or(is_full) {
            parts.push(part());
        }
        let Some(last) = parts.last_mut() else {
            continue;
        };
        match &found.verdict {
            Verdict::Listed(listed) => {
                end.listed += 1;
                last.listed.push(Sighting {
                    subject: found.subject.clone(),
                    codes: listed.codes.clone(),
                    class: listed.class,
                    meaning: listed.meaning.clone(),
                    reason: found.reason.clone(),
                });
            }
            Verdict::Clean if matters(&found.subject) => {
                last.clean.insert(found.subject.clone());
            }
            Verdict::Clean => {}
            Verdict::Unknown(_) => {
                end.unknown += 1;
                if is_healthy {
                    last.unknown.insert(found.subject.clone());
                }
            }
        }
    }
    if let Some(last) = parts.last_mut() {
        last.end = Some(end);
    }
    parts
}
