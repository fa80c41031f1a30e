//! What waits in a queue.

use std::sync::Arc;

use crate::spool::Envelope;

/// What an item has unless it is said.
pub(crate) const ORDINARY: u8 = 50;

/// One recipient of one message.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) envelope: Arc<Envelope>,
    /// Which of its recipients.
    pub(crate) index: usize,
    /// Not before this time.
    pub(crate) due: i64,
    pub(crate) attempts: u32,
    /// From 0 to 100; who has more goes first.
    pub(crate) priority: u8,
    /// It has come to the end of a loop of reroutes, and goes no further.
    pub(crate) looped: bool,
}

impl Item {
    pub(crate) fn address(&self) -> &str {
        &self.envelope.recipients[self.index].address
    }
}

/// Recipients of one message that go in one transaction.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
}
