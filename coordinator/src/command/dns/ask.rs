//! `ask-dns`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::command::Rejection;
use crate::command::refuse::{at_most, not_found};
use crate::command::verb::{Change, Turn, Verb};
use crate::state::FleetState;

/// Most identities of one command.
const MOST: usize = 100_000;

/// See [`Command::AskDns`](crate::command::Command::AskDns).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskDns {
    /// Whose records shall be looked at.
    pub addresses: BTreeSet<IpAddr>,
}

impl Verb for AskDns {
    fn name(&self) -> &'static str {
        "ask-dns"
    }

    fn object(&self) -> String {
        match (self.addresses.len(), self.addresses.first()) {
            (1, Some(address)) => format!("ip {address}"),
            (many, _) => format!("{many} ips"),
        }
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("addresses", self.addresses.len(), MOST)?;
        let unknown = |address: &&IpAddr| !state.identities.contains_key(address);
        if let Some(address) = self.addresses.iter().find(unknown) {
            return Err(not_found("addresses", address, "identity"));
        }
        let now = turn.now();
        let asked = self.addresses.iter().map(|address| (*address, now));
        state.dns_looks.asked.extend(asked);
        Ok(Change::DONE)
    }
}
