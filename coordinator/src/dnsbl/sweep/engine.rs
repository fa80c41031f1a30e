//! Decides what goes out and what comes of what comes in. Without clock, sockets or randomness of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::course::{Course, Item};
use super::pace::{Micros, micros};
use super::packet::{Asked, Record, Reply, ask, id_of};
use super::{Errand, Findings, Manner};
use crate::dnsbl::registry::Registry;
use crate::dnsbl::verdict::Answer;

/// Where a question waits for its answer: a socket, and an id on it.
pub type Place = (u16, u16);

/// What is to be sent.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// A packet from a socket.
    Datagram {
        /// Which socket.
        socket: u16,
        /// What.
        bytes: Vec<u8>,
    },
    /// A question whose answer did not fit into a packet.
    Stream {
        /// Which.
        place: Place,
        /// What.
        bytes: Vec<u8>,
    },
}

/// Never prints what it sends: a key may be in it.
impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, bytes) = match self {
            Self::Datagram { bytes, .. } => ("Datagram", bytes),
            Self::Stream { bytes, .. } => ("Stream", bytes),
        };
        write!(f, "{name}({} bytes)", bytes.len())
    }
}

/// A question on its way.
struct Flight {
    course: usize,
    item: Item,
    attempt: u32,
    asked: Asked,
    bytes: Vec<u8>,
    sent_at: Micros,
    deadline: Micros,
    by_stream: bool,
}

/// One run over all lists.
pub struct Engine<'a> {
    registry: &'a Registry,
    manner: Manner,
    courses: Vec<Course<'a>>,
    flights: BTreeMap<Place, Flight>,
    deadlines: BTreeSet<(Micros, Place)>,
    streams: VecDeque<Place>,
    turn: usize,
    foreign: u64,
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
        Self {
            registry,
            manner,
            courses: courses.collect(),
            flights: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            streams: VecDeque::new(),
            turn: 0,
            foreign: 0,
        }
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

    /// The next thing that goes out now. Lists take turns.
    pub fn next(&mut self, now: Micros, random: &mut dyn FnMut() -> u8) -> Option<Output> {
        if let Some(place) = self.streams.pop_front()
            && let Some(flight) = self.flights.get(&place)
        {
            let bytes = flight.bytes.clone();
            return Some(Output::Stream { place, bytes });
        }
        for _ in 0..self.courses.len() {
            if self.flights.len() >= self.manner.in_flight {
                return None;
            }
            let course = self.turn;
            self.turn = (self.turn + 1) % self.courses.len();
            if let Some(output) = self.next_of(course, now, random) {
                return Some(output);
            }
        }
        None
    }

    fn next_of(
        &mut self,
        course: usize,
        now: Micros,
        random: &mut dyn FnMut() -> u8,
    ) -> Option<Output> {
        let one = &mut self.courses[course];
        one.advance(self.registry, now);
        let (item, attempt) = one.next(now)?;
        let place = self.free(random);
        let one = &mut self.courses[course];
        let name = one.name(item);
        let packet = name.and_then(|name| ask(&name, item.record(), place.1, random));
        let Some((asked, bytes)) = packet else {
            one.answered(item, Ok(Answer::Garbled), 0);
            return None;
        };
        let deadline = now + one.patience.wait(attempt);
        let flight = Flight {
            course,
            item,
            attempt,
            asked,
            bytes: bytes.clone(),
            sent_at: now,
            deadline,
            by_stream: false,
        };
        self.deadlines.insert((deadline, place));
        self.flights.insert(place, flight);
        let socket = place.0;
        Some(Output::Datagram { socket, bytes })
    }

    /// A place where nothing waits. There are many times more of them than questions on the way.
    fn free(&self, random: &mut dyn FnMut() -> u8) -> Place {
        loop {
            let [a, b, c, d] = [random(), random(), random(), random()];
            let socket = u16::from_be_bytes([a, b]) % self.manner.sockets.max(1);
            let place = (socket, u16::from_be_bytes([c, d]));
            if !self.flights.contains_key(&place) {
                return place;
            }
        }
    }

    /// A packet came to a socket, from the address that was asked.
    pub fn received(&mut self, socket: u16, packet: &[u8], now: Micros) {
        let place = id_of(packet).map(|id| (socket, id));
        let waiting = place.and_then(|place| Some((place, self.flights.get(&place)?)));
        let Some((place, flight)) = waiting.filter(|(_, flight)| !flight.by_stream) else {
            self.foreign += 1;
            return;
        };
        let reply = flight.asked.read(packet);
        self.take(place, reply, now);
    }

    /// What came over a stream; nothing when that failed.
    pub fn streamed(&mut self, place: Place, packet: Option<&[u8]>, now: Micros) {
        let Some(flight) = self.flights.get(&place).filter(|flight| flight.by_stream) else {
            return;
        };
        match packet.map(|packet| flight.asked.read(packet)) {
            Some(Reply::Truncated | Reply::Foreign) => {
                self.take(place, Reply::Answer(Answer::Garbled), now);
            }
            Some(reply) => self.take(place, reply, now),
            None => self.lost(place, Answer::Silence, now),
        }
    }

    fn take(&mut self, place: Place, reply: Reply, now: Micros) {
        let reply = match reply {
            Reply::Foreign => {
                // The right one may still come: whoever guesses must not end the wait for it.
                self.foreign += 1;
                return;
            }
            Reply::Truncated => return self.reroute(place, now),
            Reply::Answer(Answer::ServerFailure) => {
                return self.lost(place, Answer::ServerFailure, now);
            }
            Reply::Answer(answer) => Ok(answer),
            Reply::Words(words) => Err(words),
        };
        if let Some(flight) = self.land(place) {
            let course = &mut self.courses[flight.course];
            course.answered(flight.item, reply, now.saturating_sub(flight.sent_at));
            course.advance(self.registry, now);
        }
    }

    fn reroute(&mut self, place: Place, now: Micros) {
        let wait = micros(self.manner.longest_wait);
        if let Some(flight) = self.flights.get_mut(&place) {
            self.deadlines.remove(&(flight.deadline, place));
            flight.by_stream = true;
            flight.deadline = now + wait;
            self.deadlines.insert((flight.deadline, place));
            self.streams.push_back(place);
        }
    }

    fn lost(&mut self, place: Place, why: Answer, now: Micros) {
        if let Some(flight) = self.land(place) {
            let course = &mut self.courses[flight.course];
            let due = match why {
                // It answered at once: asked again at once it would say the same.
                Answer::ServerFailure => now + course.patience.wait(flight.attempt),
                _ => now,
            };
            course.failed((flight.item, flight.attempt), why, due);
            course.advance(self.registry, now);
        }
    }

    fn land(&mut self, place: Place) -> Option<Flight> {
        let flight = self.flights.remove(&place)?;
        self.deadlines.remove(&(flight.deadline, place));
        Some(flight)
    }

    /// Time went by: what was waited for long enough is lost.
    pub fn tick(&mut self, now: Micros) {
        while let Some((deadline, place)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.lost(place, Answer::Silence, now);
        }
        for course in &mut self.courses {
            course.advance(self.registry, now);
        }
    }

    /// When time alone changes something.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Micros> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let room = self.flights.len() < self.manner.in_flight;
        let courses = self
            .courses
            .iter()
            .filter(|_| room)
            .filter_map(Course::wakes_at);
        courses.chain(deadline).min()
    }

    /// What came of it, in the order of the errands.
    #[must_use]
    pub fn findings(self) -> Vec<Findings> {
        let registry = self.registry;
        let courses = self.courses.into_iter();
        courses.map(|course| course.findings(registry)).collect()
    }
}

impl Item {
    /// What is asked for.
    pub(super) const fn record(self) -> Record {
        match self {
            Self::Point(_) | Self::Subject(_) => Record::Address,
            Self::Words(_) => Record::Text,
        }
    }
}
