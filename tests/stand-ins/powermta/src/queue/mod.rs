//! Queues `domain/vmta`: what waits, when it may go, and what a receiver's answers change.
//!
//! Everything here is a function of its arguments and the time given; sockets are `deliver`'s.

mod item;
mod key;
pub(crate) mod limits;
mod one;
mod queues;
mod reroute;
mod window;

pub(crate) use item::{Batch, Item};
pub(crate) use key::QueueKey;
pub(crate) use one::{Mode, Queue, millis};
pub(crate) use queues::{Assignment, Queues, Taken};

#[cfg(test)]
mod tests;
