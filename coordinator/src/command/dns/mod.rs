//! Verbs about DNS: what was seen of identities' records, and that somebody wants it seen anew.

mod ask;
mod record;
#[cfg(test)]
mod tests;

pub use ask::AskDns;
pub use record::{RecordDns, SeenDns};

/// Identities of one command.
pub(crate) const PER_COMMAND: usize = 200;
