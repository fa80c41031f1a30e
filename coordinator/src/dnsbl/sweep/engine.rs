//! Decides what goes out and what comes of what comes in. Without clock, sockets or randomness of its own.

use std::collections::VecDeque;

use super::course::Course;
use super::flights::{Flight, Flights, Way};
use super::pace::{Micros, micros};
use super::packet::ask;
use super::room::{Window, level};
use super::{Errand, Findings, Manner};
use crate::dnsbl::registry::Registry;
use crate::dnsbl::verdict::Answer;

pub use super::flights::Place;

/// Streams of one list at the same time.
const STREAMS: usize = 4;

/// A packet that is to be sent, or a question whose answer did not fit into one.
#[derive(Clone, PartialEq, Eq)]
pub struct Output {
    /// Which socket it goes from; for a stream, where its answer is waited for.
    pub place: Place,
    /// What.
    pub bytes: Vec<u8>,
}

/// Never prints what it sends: a key may be in it.
impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Output({} bytes)", self.bytes.len())
    }
}

/// One run over all lists.
pub struct Engine<'a> {
    pub(super) registry: &'a Registry,
    pub(super) manner: Manner,
    pub(super) courses: Vec<Course<'a>>,
    pub(super) flights: Flights,
    pub(super) streams: VecDeque<Place>,
    pub(super) window: Window,
    /// What each list may have on the way, and of how many lists and what window that was told.
    level: usize,
    shared: (usize, usize),
    turn: usize,
    pub(super) foreign: u64,
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("lists", &self.courses.len())
            .field("on_the_way", &self.flights.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Engine<'a> {
    /// A run that has not begun.
    #[must_use]
    pub fn new(registry: &'a Registry, errands: Vec<Errand<'a>>, manner: Manner) -> Self {
        let courses = errands
            .into_iter()
            .map(|errand| Course::new(errand, &manner));
        let mut engine = Self {
            registry,
            manner,
            courses: courses.collect(),
            flights: Flights::default(),
            streams: VecDeque::new(),
            window: Window::new(manner.in_flight),
            level: 1,
            shared: (0, 0),
            turn: 0,
            foreign: 0,
        };
        engine.share();
        engine
    }

    /// Whether all lists are through.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.courses.iter().all(Course::is_done)
    }

    /// Packets that were no answer to anything that was asked.
    #[must_use]
    pub const fn foreign(&self) -> u64 {
        self.foreign
    }

    /// The next packet that goes out now. Lists take turns.
    pub fn next(&mut self, now: Micros, random: &mut dyn FnMut() -> u8) -> Option<Output> {
        self.share();
        for _ in 0..self.courses.len() {
            let course = self.turn;
            self.turn = (self.turn + 1) % self.courses.len();
            if let Some(output) = self.next_of(course, now, random) {
                return Some(output);
            }
        }
        None
    }

    /// The next question that is asked over a stream. Whoever takes it says what became of it.
    pub fn next_stream(&mut self, now: Micros) -> Option<Output> {
        let queued = |place: &Place| self.flights.at(*place).filter(|one| one.way == Way::Queued);
        self.streams.retain(|place| queued(place).is_some());
        let at = self.streams.iter().position(|place| {
            queued(place).is_some_and(|flight| self.courses[flight.course].streams < STREAMS)
        })?;
        let place = self.streams.remove(at)?;
        let flight = self.flights.at(place)?;
        let bytes = flight.asked.bytes(place.1)?;
        self.courses[flight.course].streams += 1;
        // Whoever carries it gives it up first.
        let deadline = now + 2 * micros(self.manner.longest_wait);
        self.flights.reroute(place, Way::Stream, deadline);
        Some(Output { place, bytes })
    }

    /// Shares the window out anew, when it is another one or a list is through.
    fn share(&mut self) {
        let running = self.courses.iter().filter(|course| !course.is_done());
        let now = (running.clone().count(), self.window.size());
        if self.shared != now {
            let mut bounds: Vec<usize> = running.map(Course::bound).collect();
            self.level = level(&mut bounds, self.window.size());
            self.shared = now;
        }
    }

    fn next_of(
        &mut self,
        course: usize,
        now: Micros,
        random: &mut dyn FnMut() -> u8,
    ) -> Option<Output> {
        let one = &mut self.courses[course];
        one.advance(self.registry, now);
        let turn = one.next(now, self.level)?;
        let place = self.flights.free(self.manner.sockets, turn.from, random);
        let name = one.name(turn.item);
        let packet = name.and_then(|name| ask(&name, turn.item.record(), place.1, random));
        let Some((asked, bytes)) = packet else {
            one.left();
            one.answered(turn.item, Ok(Answer::Garbled));
            return None;
        };
        let flight = Flight {
            course,
            turn,
            asked,
            sent_at: now,
            number: self.window.went(),
            way: Way::Datagram,
            deadline: now + one.wait(turn.attempt),
        };
        self.flights.take_off(place, flight);
        Some(Output { place, bytes })
    }

    pub(super) fn lost(&mut self, place: Place, why: Answer, now: Micros) {
        let Some(flight) = self.flights.at(place) else {
            return;
        };
        let (way, turn, course) = (flight.way, flight.turn, flight.course);
        let one = &mut self.courses[course];
        let is_silence = why == Answer::Silence;
        let due = if is_silence {
            now
        } else {
            now + one.pause(turn.attempt)
        };
        if is_silence && way == Way::Datagram {
            if one.heard_since(flight.sent_at) {
                self.window.lost(flight.number, now);
            }
            one.left();
            // About as long as the question is open.
            let deadline = now + 2 * micros(self.manner.longest_wait);
            self.flights.reroute(place, Way::Late, deadline);
        } else {
            self.land(place);
        }
        let one = &mut self.courses[course];
        one.failed(turn.after(place.0), why, due);
        one.advance(self.registry, now);
    }

    pub(super) fn land(&mut self, place: Place) -> Option<Flight> {
        let flight = self.flights.land(place)?;
        let course = &mut self.courses[flight.course];
        course.left();
        if flight.way == Way::Stream {
            course.streams -= 1;
        }
        Some(flight)
    }

    /// Time went by: what was waited for long enough is lost.
    pub fn tick(&mut self, now: Micros) {
        while let Some(place) = self.flights.overdue(now) {
            let flight = self.flights.at(place);
            if flight.is_some_and(|flight| flight.way == Way::Late) {
                self.flights.land(place);
            } else {
                self.lost(place, Answer::Silence, now);
            }
        }
        for course in &mut self.courses {
            course.advance(self.registry, now);
        }
        self.share();
    }

    /// When time alone changes something.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Micros> {
        let courses = self.courses.iter();
        let courses = courses.filter_map(|course| course.wakes_at(self.level));
        courses.chain(self.flights.first_deadline()).min()
    }

    /// What came of it, in the order of the errands.
    #[must_use]
    pub fn findings(self) -> Vec<Findings> {
        let registry = self.registry;
        let courses = self.courses.into_iter();
        courses.map(|course| course.findings(registry)).collect()
    }
}
