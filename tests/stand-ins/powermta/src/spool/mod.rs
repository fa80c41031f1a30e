//! Accepted mail on disk: what was accepted is there after a kill, until it is delivered or bounced.

mod envelope;
mod store;

pub(crate) use envelope::{Envelope, NO_VMTA, Recipient, domain_of};
pub(crate) use store::{SpoolError, Store};
