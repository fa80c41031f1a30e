//! Verbs about DNS: what was seen of identities' records, that somebody wants it seen anew, and what the fleet
//! makes in zones that it may change.

mod ask;
mod publish;
mod record;
#[cfg(test)]
mod tests;
mod zones;

pub use ask::AskDns;
pub(crate) use publish::NAMES as PUBLISH_NAMES;
pub use publish::{BeginPublish, EndPublish, Marks};
pub use record::{RecordDns, SeenDns};
pub use zones::{RemoveDnsZone, SetDnsZone};

/// Identities of one command.
pub(crate) const PER_COMMAND: usize = 200;
