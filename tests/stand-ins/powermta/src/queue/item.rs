//! What waits in a queue.

use std::sync::Arc;

use crate::spool::Envelope;

/// One recipient of one message.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) envelope: Arc<Envelope>,
    /// Which of its recipients.
    pub(crate) index: usize,
    /// Not before this time.
    pub(crate) due: i64,
    pub(crate) attempts: u32,
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
