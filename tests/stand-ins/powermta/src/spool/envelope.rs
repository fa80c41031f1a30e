//! What is known of a message apart from its text.

use serde::{Deserialize, Serialize};

/// Stands where the guide prints it: no virtual MTA was chosen.
pub(crate) const NO_VMTA: &str = "{default}";

/// A message's envelope and how it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) id: u64,
    pub(crate) orig: String,
    pub(crate) env_id: String,
    pub(crate) job_id: String,
    pub(crate) vmta: String,
    pub(crate) pool: String,
    pub(crate) size: usize,
    /// Milliseconds since 1970.
    pub(crate) queued_at: i64,
    /// `name (address)` of who submitted.
    pub(crate) src_mta: String,
    pub(crate) user: String,
    pub(crate) suppress_dsn: bool,
    pub(crate) recipients: Vec<Recipient>,
}

/// One of its recipients.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recipient {
    pub(crate) address: String,
    pub(crate) orcpt: String,
    /// `NOTIFY=NEVER` was said.
    pub(crate) never_notify: bool,
    /// Domain of the queue that holds it.
    pub(crate) queue: String,
    pub(crate) attempts: u32,
    pub(crate) done: bool,
}

impl Recipient {
    /// A recipient of whom nothing special was said.
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            orcpt: String::new(),
            never_notify: false,
            queue: domain_of(address),
            attempts: 0,
            done: false,
        }
    }
}

impl Envelope {
    /// The virtual MTA as the accounting file has it: empty for none.
    pub(crate) fn vmta_or_empty(&self) -> &str {
        if self.vmta == NO_VMTA { "" } else { &self.vmta }
    }
}

/// The domain of an address, in lower case; without one, nothing.
pub(crate) fn domain_of(address: &str) -> String {
    address
        .rsplit_once('@')
        .map_or_else(String::new, |(_, domain)| domain.to_lowercase())
}
