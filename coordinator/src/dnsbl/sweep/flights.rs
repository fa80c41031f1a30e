//! Questions on their way, each at a place of its own until it is answered or nobody waits for it any more.

use std::collections::{BTreeMap, BTreeSet};

use super::pace::Micros;
use super::packet::{Asked, Record};

/// Where a question waits for its answer: a socket, and an id on it.
pub type Place = (u16, u16);

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

impl Item {
    /// What is asked for.
    pub(super) const fn record(self) -> Record {
        match self {
            Self::Point(_) | Self::Subject(_) => Record::Address,
            Self::Words(_) => Record::Text,
        }
    }
}

/// A question that is asked: how often it was before, and from which socket it was last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    pub(super) item: Item,
    pub(super) attempt: u32,
    pub(super) from: Option<u16>,
}

impl Try {
    pub(super) const fn first(item: Item) -> Self {
        Self {
            item,
            attempt: 0,
            from: None,
        }
    }

    /// The same once it was of no use.
    pub(super) const fn after(self, socket: u16) -> Self {
        Self {
            item: self.item,
            attempt: self.attempt + 1,
            from: Some(socket),
        }
    }
}

/// How an answer may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In a packet.
    Datagram,
    /// In a packet, although it was waited for long enough and the question may be asked again.
    Late,
    /// Over a stream that is to be opened.
    Queued,
    /// Over a stream.
    Stream,
}

/// A question on its way.
pub(super) struct Flight {
    pub(super) course: usize,
    pub(super) turn: Try,
    pub(super) asked: Asked,
    pub(super) sent_at: Micros,
    pub(super) number: u64,
    pub(super) way: Way,
    pub(super) deadline: Micros,
}

/// All of them.
#[derive(Default)]
pub(super) struct Flights {
    all: BTreeMap<Place, Flight>,
    deadlines: BTreeSet<(Micros, Place)>,
}

impl Flights {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn at(&self, place: Place) -> Option<&Flight> {
        self.all.get(&place)
    }

    /// A place where nothing waits, on another socket than the one that was of no use. There are many times
    /// more places than questions on the way.
    pub(super) fn free(
        &self,
        sockets: u16,
        not: Option<u16>,
        random: &mut dyn FnMut() -> u8,
    ) -> Place {
        loop {
            let [a, b, c, d] = [random(), random(), random(), random()];
            let drawn = u16::from_be_bytes([a, b]);
            let socket = match not {
                Some(not) if sockets > 1 => (not + 1 + drawn % (sockets - 1)) % sockets,
                _ => drawn % sockets.max(1),
            };
            let place = (socket, u16::from_be_bytes([c, d]));
            if !self.all.contains_key(&place) {
                return place;
            }
        }
    }

    pub(super) fn take_off(&mut self, place: Place, flight: Flight) {
        self.deadlines.insert((flight.deadline, place));
        self.all.insert(place, flight);
    }

    /// It is waited for in another way, and until then.
    pub(super) fn reroute(&mut self, place: Place, way: Way, deadline: Micros) {
        if let Some(flight) = self.all.get_mut(&place) {
            self.deadlines.remove(&(flight.deadline, place));
            self.deadlines.insert((deadline, place));
            (flight.way, flight.deadline) = (way, deadline);
        }
    }

    pub(super) fn land(&mut self, place: Place) -> Option<Flight> {
        let flight = self.all.remove(&place)?;
        self.deadlines.remove(&(flight.deadline, place));
        Some(flight)
    }

    /// One that was waited for long enough.
    pub(super) fn overdue(&self, now: Micros) -> Option<Place> {
        let (deadline, place) = self.deadlines.first()?;
        (*deadline <= now).then_some(*place)
    }

    pub(super) fn first_deadline(&self) -> Option<Micros> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Where a question is waited for by now. Seldom asked: all are looked at.
    pub(super) fn of(&self, course: usize, item: Item) -> Option<Place> {
        let mut all = self.all.iter();
        let found = all.find(|(_, flight)| {
            flight.course == course && flight.turn.item == item && flight.way != Way::Late
        });
        found.map(|(place, _)| *place)
    }
}
