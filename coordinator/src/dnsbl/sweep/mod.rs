//! Asks many lists about many subjects, through one resolver.
//!
//! [`engine`] decides: which question goes out now, what an answer belongs to, what is asked again, when a
//! list is given up. It takes packets, time and random bytes, and gives packets; so every misfortune is a
//! test without a network. `course` is one list's way through its run, `pace` how fast questions may go and
//! how long an answer may take, `room` how many may be on the way, `flights` those that are, `heard` what comes
//! of answers, `packet` the form of both. [`mod@drive`] is the IO around it: sockets of our own with ports of
//! the kernel's choice, and TCP where an answer did not fit.
//!
//! Each list has its own pace, its own time-outs, its own part of the room and streams of its own, so that one
//! that is slow, capped or gone delays nobody but itself.

mod course;
pub mod drive;
pub mod engine;
mod flights;
mod heard;
mod pace;
mod packet;
mod room;
#[cfg(test)]
mod tests;

use std::time::Duration;

use email_engine_protocol::id::ListId;

use super::health::Health;
use super::query::{Door, Subject};
use super::verdict::Verdict;

pub use drive::{DriveError, drive};

/// One list and whom it is asked about.
#[derive(Clone, Debug)]
pub struct Errand<'a> {
    door: Door<'a>,
    subjects: Vec<Subject>,
}

impl<'a> Errand<'a> {
    /// Of these subjects the ones that the list can be asked about.
    #[must_use]
    pub fn new(door: Door<'a>, subjects: impl IntoIterator<Item = Subject>) -> Self {
        let subjects = subjects.into_iter();
        let subjects = subjects
            .filter(|subject| door.name(subject).is_some())
            .collect();
        Self { door, subjects }
    }

    /// Whom it is asked about.
    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }
}

/// How questions are asked, whatever the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Most questions on the way at the same time, of all lists.
    pub in_flight: usize,
    /// How often a question is asked before it counts as lost.
    pub attempts: u32,
    /// How long the first answer of a list may take; later ones are judged by those before.
    pub first_wait: Duration,
    /// Shortest and longest that an answer is waited for.
    pub least_wait: Duration,
    /// See there.
    pub longest_wait: Duration,
    /// Lost questions in a row after which a list is given up.
    pub give_up: u32,
    /// Sockets, each with a port of its own.
    pub sockets: u16,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            in_flight: 512,
            attempts: 5,
            first_wait: Duration::from_millis(800),
            least_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(4),
            give_up: 32,
            sockets: 8,
        }
    }
}

/// What became of an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Which list.
    pub list: ListId,
    /// How it answered its test points first.
    pub before: Health,
    /// And last.
    pub after: Health,
    /// What is known of each subject, in the errand's order.
    pub found: Vec<Found>,
    /// Questions that went out, repeated ones included.
    pub asked: u64,
    /// Questions that had to be asked again.
    pub repeated: u64,
    /// How long it took.
    pub took: Duration,
}

impl Findings {
    /// How the list answered, at its worse end.
    #[must_use]
    pub const fn health(&self) -> &Health {
        if self.before.is_healthy() {
            &self.after
        } else {
            &self.before
        }
    }
}

/// What is known of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whom.
    pub subject: Subject,
    /// What.
    pub verdict: Verdict,
    /// The list's own words, of a listing.
    pub reason: Option<String>,
}
