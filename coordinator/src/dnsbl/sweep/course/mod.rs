//! One list's way through a run: its test points, whom it is asked about, its test points again.

mod findings;

use std::collections::{BTreeMap, VecDeque};

use super::flights::{Item, Try};
use super::pace::{Micros, Patience, Spacing};
use super::{Errand, Manner};
use crate::dnsbl::health::{Health, judge_points, points};
use crate::dnsbl::query::{QueryName, Subject};
use crate::dnsbl::registry::Registry;
use crate::dnsbl::verdict::Answer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Asking,
    After,
    Done,
}

/// Where a list stands.
pub(super) struct Course<'a> {
    errand: Errand<'a>,
    stage: Stage,
    /// Next question of the stage.
    next: usize,
    /// What is asked again, by when and in order.
    again: BTreeMap<(Micros, u64), Try>,
    failures: u64,
    words: VecDeque<usize>,
    on_the_way: usize,
    /// Streams that are open.
    pub(super) streams: usize,
    spacing: Spacing,
    evenly: Spacing,
    patience: Patience,
    heard_at: Option<Micros>,
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
    /// When this stage began; of the last one, when all was over.
    stage_at: Micros,
}

impl<'a> Course<'a> {
    pub(super) fn new(errand: Errand<'a>, manner: &Manner) -> Self {
        let zone = errand.door.zone;
        let points: Vec<Subject> = points(zone).cloned().collect();
        Self {
            stage: Stage::Before,
            next: 0,
            again: BTreeMap::new(),
            failures: 0,
            words: VecDeque::new(),
            on_the_way: 0,
            streams: 0,
            spacing: Spacing::new(zone.per_second),
            evenly: Spacing::of_answers(),
            patience: Patience::new(manner.first_wait, manner.least_wait, manner.longest_wait),
            heard_at: None,
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
            stage_at: 0,
            errand,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Most questions on the way that it allows.
    pub(super) const fn bound(&self) -> usize {
        self.errand.door.zone.in_flight as usize
    }

    pub(super) const fn on_the_way(&self) -> usize {
        self.on_the_way
    }

    /// The next question that may go now, when so many may be on the way.
    pub(super) fn next(&mut self, now: Micros, room: usize) -> Option<Try> {
        if !self.has_room(room) || self.may_go_at() > now {
            return None;
        }
        let again = self.again.first_entry();
        let turn = if let Some(due) = again.filter(|again| again.key().0 <= now) {
            self.repeated += 1;
            due.remove()
        } else if let Some(subject) = self.words.pop_front() {
            Try::first(Item::Words(subject))
        } else {
            Try::first(self.fresh()?)
        };
        self.spacing.went(now);
        let room = self.bound().min(room);
        self.evenly.spread(self.patience.smoothed(), room);
        self.evenly.went(now);
        self.on_the_way += 1;
        self.asked += 1;
        Some(turn)
    }

    /// When there may be something to ask; none while only answers are waited for.
    pub(super) fn wakes_at(&self, room: usize) -> Option<Micros> {
        if self.is_done() || !self.has_room(room) {
            return None;
        }
        let is_fresh = !self.words.is_empty() || self.has_fresh();
        let due = self.again.first_key_value().map(|((due, _), _)| *due);
        let due = if is_fresh { Some(0) } else { due };
        due.map(|due| due.max(self.may_go_at()))
    }

    pub(super) fn name(&self, item: Item) -> Option<QueryName> {
        let subject = match item {
            Item::Point(at) => &self.points[at],
            Item::Subject(at) | Item::Words(at) => &self.errand.subjects[at],
        };
        self.errand.door.name(subject)
    }

    /// How long an answer is waited for.
    pub(super) fn wait(&self, attempt: u32) -> Micros {
        self.patience.wait(attempt, attempt + 1 >= self.attempts)
    }

    /// When what the resolver failed at is asked again: at once it would say the same.
    pub(super) fn pause(&self, attempt: u32) -> Micros {
        self.patience.pause(attempt)
    }

    /// A question is not on the way any more.
    pub(super) const fn left(&mut self) {
        self.on_the_way = self.on_the_way.saturating_sub(1);
    }

    /// Something came of a question that went then.
    pub(super) fn heard(&mut self, sent_at: Micros, now: Micros) {
        self.patience.took(now.saturating_sub(sent_at));
        self.heard_at = Some(now);
    }

    /// Whether anything came since: the list is there, and what is missing was lost.
    pub(super) fn heard_since(&self, then: Micros) -> bool {
        self.heard_at.is_some_and(|at| at > then)
    }

    /// Whether a question went in the stage that the list is in: test points are the same at both ends.
    pub(super) const fn is_of_this_stage(&self, sent_at: Micros) -> bool {
        sent_at >= self.stage_at
    }

    /// Whether a question was to be asked again, and is not any more.
    pub(super) fn forget(&mut self, item: Item) -> bool {
        let mut again = self.again.iter();
        let found = again.find(|(_, again)| again.item == item);
        let key = found.map(|(key, _)| *key);
        key.and_then(|key| self.again.remove(&key)).is_some()
    }

    /// A question was answered while it was open. What comes of those that were closed shows that the list is
    /// there, and not that asking it is of use.
    pub(super) fn answered(&mut self, item: Item, reply: Result<Answer, Option<String>>) {
        self.lost_in_row = 0;
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
    pub(super) fn failed(&mut self, again: Try, why: Answer, due: Micros) {
        if again.attempt < self.attempts && !self.is_given_up() {
            self.failures += 1;
            self.again.insert((due, self.failures), again);
            return;
        }
        self.lost_in_row += 1;
        self.settle(again.item, why);
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
            self.stage_at = now;
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

    fn may_go_at(&self) -> Micros {
        self.spacing.next_at().max(self.evenly.next_at())
    }

    fn has_room(&self, room: usize) -> bool {
        self.on_the_way < self.bound().min(room)
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
