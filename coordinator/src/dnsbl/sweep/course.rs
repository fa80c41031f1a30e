//! One list's way through a run: its test points, whom it is asked about, its test points again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::pace::{Micros, Patience, Spacing};
use super::{Errand, Findings, Found, Manner};
use crate::dnsbl::health::{Health, judge_points, points};
use crate::dnsbl::query::{QueryName, Subject};
use crate::dnsbl::registry::Registry;
use crate::dnsbl::verdict::{Answer, Verdict, Why, judge};

/// One question of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A test point, first or last.
    Point(usize),
    /// Whether a subject is listed.
    Subject(usize),
    /// Why it is.
    Words(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Asking,
    After,
    Done,
}

/// A question that is asked again.
#[derive(Clone, Copy, Debug)]
struct Again {
    due: Micros,
    item: Item,
    attempt: u32,
}

/// Where a list stands.
pub(super) struct Course<'a> {
    errand: Errand<'a>,
    stage: Stage,
    /// Next question of the stage.
    next: usize,
    again: VecDeque<Again>,
    words: VecDeque<usize>,
    on_the_way: usize,
    pub(super) spacing: Spacing,
    pub(super) patience: Patience,
    lost_in_row: u32,
    attempts: u32,
    give_up: u32,
    points: Vec<Subject>,
    point_answers: Vec<Answer>,
    before: Health,
    after: Health,
    answers: Vec<Option<Answer>>,
    reasons: BTreeMap<usize, String>,
    asked: u64,
    repeated: u64,
    ended_at: Micros,
}

impl<'a> Course<'a> {
    pub(super) fn new(errand: Errand<'a>, manner: &Manner) -> Self {
        let zone = errand.door.zone;
        let points: Vec<Subject> = points(zone).cloned().collect();
        Self {
            stage: Stage::Before,
            next: 0,
            again: VecDeque::new(),
            words: VecDeque::new(),
            on_the_way: 0,
            spacing: Spacing::new(zone.per_second),
            patience: Patience::new(manner.first_wait, manner.least_wait, manner.longest_wait),
            lost_in_row: 0,
            attempts: manner.attempts.max(1),
            give_up: manner.give_up.max(1),
            point_answers: vec![Answer::Silence; points.len()],
            points,
            before: Health::Silent,
            after: Health::Silent,
            answers: vec![None; errand.subjects.len()],
            reasons: BTreeMap::new(),
            asked: 0,
            repeated: 0,
            ended_at: 0,
            errand,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The next question that may go now, and how often it went before.
    pub(super) fn next(&mut self, now: Micros) -> Option<(Item, u32)> {
        if !self.has_room() || self.spacing.next_at() > now {
            return None;
        }
        let due = self.again.iter().position(|again| again.due <= now);
        let (item, attempt) = if let Some(again) = due.and_then(|at| self.again.remove(at)) {
            self.repeated += 1;
            (again.item, again.attempt)
        } else if let Some(subject) = self.words.pop_front() {
            (Item::Words(subject), 0)
        } else {
            (self.fresh()?, 0)
        };
        self.spacing.went(now);
        self.on_the_way += 1;
        self.asked += 1;
        Some((item, attempt))
    }

    /// When there may be something to ask; none while only answers are waited for.
    pub(super) fn wakes_at(&self) -> Option<Micros> {
        if self.is_done() || !self.has_room() {
            return None;
        }
        let is_fresh = !self.words.is_empty() || self.has_fresh();
        let due = self.again.iter().map(|again| again.due).min();
        let due = if is_fresh { Some(0) } else { due };
        due.map(|due| due.max(self.spacing.next_at()))
    }

    pub(super) fn name(&self, item: Item) -> Option<QueryName> {
        let subject = match item {
            Item::Point(at) => &self.points[at],
            Item::Subject(at) | Item::Words(at) => &self.errand.subjects[at],
        };
        self.errand.door.name(subject)
    }

    /// A question was answered, `took` after it went.
    pub(super) fn answered(
        &mut self,
        item: Item,
        reply: Result<Answer, Option<String>>,
        took: Micros,
    ) {
        self.patience.took(took);
        self.lost_in_row = 0;
        self.on_the_way = self.on_the_way.saturating_sub(1);
        match (item, reply) {
            (Item::Words(at), Err(Some(words))) => {
                let words = self.errand.door.redact(&words);
                self.reasons.insert(at, words);
            }
            (Item::Words(_), _) | (_, Err(_)) => {}
            (item, Ok(answer)) => self.settle(item, answer),
        }
    }

    /// A question went unanswered, or the resolver failed at it, which is what it says while a list does not
    /// answer it: it is asked again, in its own time, as often as may be.
    pub(super) fn failed(&mut self, (item, attempt): (Item, u32), why: Answer, due: Micros) {
        self.on_the_way = self.on_the_way.saturating_sub(1);
        if attempt + 1 < self.attempts && !self.is_given_up() {
            let attempt = attempt + 1;
            self.again.push_back(Again { due, item, attempt });
            return;
        }
        self.lost_in_row += 1;
        self.settle(item, why);
        if self.is_given_up() && self.stage == Stage::Asking {
            self.next = self.errand.subjects.len();
            self.again.clear();
            self.words.clear();
        }
    }

    /// Goes on to the next stage once nothing is left of this one.
    pub(super) fn advance(&mut self, registry: &Registry, now: Micros) {
        while !self.is_done()
            && self.on_the_way == 0
            && self.again.is_empty()
            && self.words.is_empty()
            && !self.has_fresh()
        {
            self.stage = match self.stage {
                Stage::Before => {
                    self.before =
                        judge_points(registry, self.errand.door.zone, &self.point_answers);
                    if self.before.is_healthy() {
                        Stage::Asking
                    } else {
                        Stage::Done
                    }
                }
                Stage::Asking if self.is_given_up() => Stage::Done,
                Stage::Asking => {
                    self.point_answers.fill(Answer::Silence);
                    Stage::After
                }
                Stage::After | Stage::Done => {
                    self.after = judge_points(registry, self.errand.door.zone, &self.point_answers);
                    Stage::Done
                }
            };
            self.next = 0;
            self.ended_at = now;
        }
    }

    /// What came of it.
    pub(super) fn findings(mut self, registry: &Registry) -> Findings {
        let zone = self.errand.door.zone;
        if !self.before.is_healthy() {
            self.after = self.before.clone();
        }
        let trouble = [&self.before, &self.after]
            .into_iter()
            .find(|health| !health.is_healthy());
        let trouble = trouble.map(|health| Why::Unhealthy(health.words().to_owned()));
        let answers = self.answers.iter().zip(self.errand.subjects);
        let found = answers.enumerate().map(|(at, (answer, subject))| {
            let verdict = match (answer, &trouble) {
                (None, None) => Verdict::Unknown(Why::GivenUp),
                (_, Some(why)) => Verdict::Unknown(why.clone()),
                (Some(answer), None) => judge(registry, zone, answer),
            };
            let is_listed = matches!(verdict, Verdict::Listed(_));
            let reason = self.reasons.remove(&at).filter(|_| is_listed);
            Found {
                subject,
                verdict,
                reason,
            }
        });
        Findings {
            list: zone.id.clone(),
            found: found.collect(),
            before: self.before,
            after: self.after,
            asked: self.asked,
            repeated: self.repeated,
            took: Duration::from_micros(self.ended_at),
        }
    }

    fn settle(&mut self, item: Item, answer: Answer) {
        match item {
            Item::Point(at) => self.point_answers[at] = answer,
            Item::Subject(at) => {
                // Whatever has addresses may be a listing, and then its reason is wanted.
                let may_be_listed = matches!(&answer, Answer::Addresses(all)
                    if all.iter().all(|one| one.octets()[0] == 127));
                if may_be_listed && !self.is_given_up() {
                    self.words.push_back(at);
                }
                self.answers[at] = Some(answer);
            }
            Item::Words(_) => {}
        }
    }

    const fn is_given_up(&self) -> bool {
        self.lost_in_row >= self.give_up
    }

    fn has_room(&self) -> bool {
        self.on_the_way < self.errand.door.zone.in_flight as usize
    }

    fn has_fresh(&self) -> bool {
        match self.stage {
            Stage::Before | Stage::After => self.next < self.points.len(),
            Stage::Asking => self.next < self.errand.subjects.len(),
            Stage::Done => false,
        }
    }

    fn fresh(&mut self) -> Option<Item> {
        if !self.has_fresh() {
            return None;
        }
        let at = self.next;
        self.next += 1;
        Some(match self.stage {
            Stage::Asking => Item::Subject(at),
            _ => Item::Point(at),
        })
    }
}
