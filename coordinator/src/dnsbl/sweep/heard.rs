//! What the [`engine`](super::engine) makes of what comes in.

use super::course::Course;
use super::engine::Engine;
use super::flights::{Place, Way};
use super::pace::{Micros, micros};
use super::packet::{Reply, id_of};
use crate::dnsbl::verdict::Answer;

impl Engine<'_> {
    /// A packet came to a socket, from the address that was asked.
    pub fn received(&mut self, socket: u16, packet: &[u8], now: Micros) {
        let place = id_of(packet).map(|id| (socket, id));
        let waiting = place.and_then(|place| Some((place, self.flights.at(place)?)));
        let Some((place, flight)) = waiting else {
            self.foreign += 1;
            return;
        };
        match flight.way {
            Way::Datagram => {
                let reply = flight.asked.read(packet);
                self.take(place, reply, now);
            }
            Way::Late => {
                let reply = flight.asked.read(packet);
                self.take_late(place, reply, now);
            }
            Way::Queued | Way::Stream => self.foreign += 1,
        }
    }

    /// What came over a stream; nothing when that failed.
    pub fn streamed(&mut self, place: Place, packet: Option<&[u8]>, now: Micros) {
        let flight = self.flights.at(place);
        let Some(flight) = flight.filter(|flight| flight.way == Way::Stream) else {
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
            Reply::Truncated => {
                let deadline = now + micros(self.manner.longest_wait);
                self.flights.reroute(place, Way::Queued, deadline);
                self.streams.push_back(place);
                return;
            }
            Reply::Answer(Answer::ServerFailure) => {
                return self.lost(place, Answer::ServerFailure, now);
            }
            Reply::Answer(answer) => Ok(answer),
            Reply::Words(words) => Err(words),
        };
        let on_the_way = self.courses.iter().map(Course::on_the_way).sum();
        if let Some(flight) = self.land(place) {
            self.window.answered(on_the_way, now);
            let course = &mut self.courses[flight.course];
            course.heard(flight.sent_at, now);
            course.answered(flight.turn.item, reply);
            course.advance(self.registry, now);
        }
    }

    /// An answer after its time is as good, as long as the question is open: it needs not be asked again.
    fn take_late(&mut self, place: Place, reply: Reply, now: Micros) {
        let reply = match reply {
            Reply::Answer(Answer::ServerFailure) | Reply::Foreign | Reply::Truncated => {
                self.foreign += 1;
                return;
            }
            Reply::Answer(answer) => Ok(answer),
            Reply::Words(words) => Err(words),
        };
        let Some(flight) = self.flights.land(place) else {
            return;
        };
        let item = flight.turn.item;
        let course = &mut self.courses[flight.course];
        course.heard(flight.sent_at, now);
        let is_open = course.is_of_this_stage(flight.sent_at) && {
            course.forget(item)
                || self
                    .flights
                    .of(flight.course, item)
                    .is_some_and(|again| self.land(again).is_some())
        };
        if !is_open {
            self.foreign += 1;
            return;
        }
        let course = &mut self.courses[flight.course];
        course.answered(item, reply);
        course.advance(self.registry, now);
    }
}
