//! `record-listings`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::ListingClass;
use email_engine_protocol::id::ListId;
use email_engine_protocol::time::Timestamp;

use super::{CODES, OBSERVERS, ROWS, SLACK, SUBJECTS, WORDS};
use crate::command::Rejection;
use crate::command::refuse::{at_most, cut};
use crate::command::verb::{Change, Turn, Verb};
use crate::dnsbl::query::Subject;
use crate::fleet::listing::{Asked, close, note_asked, note_sighting};
use crate::state::{FleetState, Keys, ListRun, Listing, Listings, Observer, SweepRules};

/// See [`Command::RecordListings`](crate::command::Command::RecordListings).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordListings {
    /// The sweep that it is of; none of a check that somebody asked for, or that confirms.
    pub sweep: Option<u64>,
    /// Which list said it.
    pub list: ListId,
    /// Who asked.
    pub observer: Observer,
    /// Whom it has something against.
    pub listed: Vec<Sighting>,
    /// Whom it has nothing against: of those that it had, or that are in quarantine.
    pub clean: BTreeSet<Subject>,
    /// Of whom nothing is known although the list is healthy.
    pub unknown: BTreeSet<Subject>,
    /// What the whole came to, with the last part of it.
    pub end: Option<RunEnd>,
}

/// Somebody was seen on a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Whom.
    pub subject: Subject,
    /// What the list answered.
    pub codes: BTreeSet<Ipv4Addr>,
    /// The strongest class of that.
    pub class: ListingClass,
    /// What the codes mean.
    pub meaning: String,
    /// The list's own words.
    pub reason: Option<String>,
}

/// What asking one list came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Why nothing that it said is believed; none when it is.
    pub trouble: Option<String>,
    /// Whom it was asked about.
    pub subjects: u32,
    /// How many of them it has something against.
    pub listed: u32,
    /// Of how many nothing is known.
    pub unknown: u32,
}

impl Verb for RecordListings {
    fn name(&self) -> &'static str {
        "record-listings"
    }

    fn object(&self) -> String {
        format!("list {}: {} listed", self.list, self.listed.len())
    }

    fn is_change_of_fleet(&self) -> bool {
        false
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("listed", self.listed.len(), SUBJECTS)?;
        at_most("clean", self.clean.len(), SUBJECTS)?;
        at_most("unknown", self.unknown.len(), SUBJECTS)?;
        at_most("observer.resolver", self.observer.resolver.len(), WORDS)?;
        let now = turn.now();
        if !self.is_wanted(state) {
            return Ok(Change::NONE);
        }
        let is_alone = state.voters().count() <= 1;
        let rules = state
            .listings
            .sweep
            .as_ref()
            .map_or_else(SweepRules::default, |sweep| sweep.rules);
        for sighting in &self.listed {
            if is_known(state, &sighting.subject) {
                self.see(
                    &mut state.listings,
                    sighting,
                    (now, is_alone, rules.confirm),
                );
                note_sighting(state, &sighting.subject, sighting.class, now);
            }
        }
        for subject in &self.clean {
            clear(&mut state.listings, subject, &self.list, now);
        }
        if let Some(end) = &self.end {
            note_health(&mut state.listings, &self.list, end, now);
        }
        self.answer_replies(state, now);
        if self.sweep.is_some() {
            self.note_unknown(state);
            self.note_run(state, now);
        }
        shorten(&mut state.listings);
        Ok(Change::DONE)
    }
}

impl RecordListings {
    /// What is of another sweep, or of a list that is through, was said by somebody who came too late, or
    /// was said twice.
    fn is_wanted(&self, state: &FleetState) -> bool {
        let Some(number) = self.sweep else {
            return true;
        };
        let sweep = state.listings.sweep.as_ref();
        sweep.is_some_and(|sweep| {
            let swept = sweep.lists.get(&self.list);
            sweep.number == number
                && sweep.closed_at.is_none()
                && swept.is_some_and(|swept| swept.run.is_none())
        })
    }

    fn see(
        &self,
        listings: &mut Listings,
        sighting: &Sighting,
        (now, is_alone, apart): (Timestamp, bool, u64),
    ) {
        let rows = listings.rows.or_default(&sighting.subject);
        let known = rows.remove(&self.list).filter(|row| row.is_open());
        let mut row = known.unwrap_or_else(|| {
            Arc::new(Listing {
                first_seen: now,
                last_seen: now,
                observers: BTreeMap::new(),
                codes: BTreeSet::new(),
                class: sighting.class,
                meaning: String::new(),
                reason: None,
                confirmed_at: None,
                cleared_at: None,
            })
        });
        let listing = Arc::make_mut(&mut row);
        let confirms = |(who, since): (&Observer, &Timestamp)| {
            who.is_independent_of(&self.observer, is_alone) && now.since(*since) >= apart
        };
        if listing.confirmed_at.is_none() && listing.observers.iter().any(confirms) {
            listing.confirmed_at = Some(now);
        }
        if listing.observers.len() < OBSERVERS {
            listing
                .observers
                .entry(self.observer.clone())
                .or_insert(now);
        }
        listing.last_seen = now;
        listing.codes = sighting.codes.iter().copied().take(CODES).collect();
        listing.class = sighting.class;
        listing.meaning = cut(&sighting.meaning, WORDS);
        if let Some(reason) = &sighting.reason {
            listing.reason = Some(cut(reason, WORDS));
        }
        rows.insert(self.list.clone(), row);
    }

    /// What replies asked for is known of those of whom the list said something, and after a sweep of all.
    fn answer_replies(&self, state: &mut FleetState, now: Timestamp) {
        let is_healthy = self.end.as_ref().is_some_and(|end| end.trouble.is_none());
        let sweep = state.listings.sweep.as_ref();
        if let Some(sweep) = sweep.filter(|_| self.sweep.is_some() && is_healthy) {
            let everybody = Asked::Everybody(sweep.began_at);
            note_asked(state, &self.list, &everybody, now);
        } else if self.sweep.is_none() {
            let listed = self.listed.iter().map(|one| one.subject.clone());
            let told = self.clean.iter().chain(&self.unknown).cloned();
            let told = listed.chain(told).collect();
            note_asked(state, &self.list, &Asked::These(&told), now);
        }
    }

    /// Whom the last healthy run knows nothing of, and whom it was asked about.
    fn note_unknown(&self, state: &mut FleetState) {
        let listings = &mut state.listings;
        let began_at = listings.sweep.as_ref().map(|sweep| sweep.began_at);
        let health = listings.lists.entry(self.list.clone()).or_default();
        if health.swept_from != began_at {
            health.swept_from = began_at;
            health.unknown = Keys::default();
        }
        health.unknown.extend(self.unknown.iter().cloned());
    }

    fn note_run(&self, state: &mut FleetState, now: Timestamp) {
        let Some(sweep) = &mut state.listings.sweep else {
            return;
        };
        if let Some(swept) = sweep.lists.get_mut(&self.list) {
            swept.clean.extend(self.clean.iter().cloned());
            swept.run = self.end.as_ref().map(|end| ListRun {
                observer: self.observer.clone(),
                at: now,
                trouble: end.trouble.as_ref().map(|trouble| cut(trouble, WORDS)),
                subjects: end.subjects,
                listed: end.listed,
                unknown: end.unknown,
            });
        }
        if sweep.lists.values().all(|swept| swept.run.is_some()) {
            close(state, now);
        }
    }
}

/// What left the fleet while it was asked about is nobody's any more.
fn is_known(state: &FleetState, subject: &Subject) -> bool {
    match subject {
        Subject::Address(address) => state.identities.contains_key(address),
        Subject::Name(name) => name.len() <= 253,
    }
}

fn clear(listings: &mut Listings, subject: &Subject, list: &ListId, now: Timestamp) {
    let row = listings
        .rows
        .get_mut(subject)
        .and_then(|rows| rows.get_mut(list));
    if let Some(row) = row.filter(|row| row.is_open()) {
        Arc::make_mut(row).cleared_at = Some(now);
    }
}

fn note_health(listings: &mut Listings, list: &ListId, end: &RunEnd, now: Timestamp) {
    let health = listings.lists.entry(list.clone()).or_default();
    if health.known_since == Timestamp::default() {
        health.known_since = now;
    }
    match &end.trouble {
        None => {
            health.healthy_at = Some(now);
            health.unhealthy = None;
        }
        Some(trouble) => {
            let since = health.unhealthy.as_ref().map_or(now, |(since, _)| *since);
            health.unhealthy = Some((since, cut(trouble, WORDS)));
        }
    }
}

/// Keeps the table within its bound: what ended longest ago goes first, then what was seen longest ago.
fn shorten(listings: &mut Listings) {
    let count: usize = listings.rows.values().map(BTreeMap::len).sum();
    if count <= ROWS + SLACK {
        return;
    }
    let mut all: Vec<_> = Vec::with_capacity(count);
    for (subject, rows) in &listings.rows {
        for (list, row) in rows {
            let order = (row.is_open(), row.is_confirmed(), row.last_seen);
            all.push((order, subject.clone(), list.clone()));
        }
    }
    all.sort_unstable();
    for (_, subject, list) in all.into_iter().take(count - ROWS) {
        if let Some(rows) = listings.rows.get_mut(&subject) {
            rows.remove(&list);
            if rows.is_empty() {
                listings.rows.remove(&subject);
            }
        }
    }
}
