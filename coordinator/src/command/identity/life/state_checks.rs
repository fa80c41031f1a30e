//! `state-checks`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Check, Statement, Verdict};

use super::ACTOR_CHARS;
use crate::command::Rejection;
use crate::command::RejectionCode::{Forbidden, Invalid};
use crate::command::refuse::{cut, not_found, refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::lifecycle::state_listing;
use crate::state::FleetState;

/// See [`Command::StateChecks`](crate::command::Command::StateChecks).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChecks {
    /// Of which identity.
    pub address: IpAddr,
    /// What was seen; of the others nothing is said.
    pub verdicts: BTreeMap<Check, Verdict>,
    /// Whether it is the sweep's word, or an admin's, which may end a quarantine.
    pub sweeps: bool,
}

impl Verb for StateChecks {
    fn name(&self) -> &'static str {
        "state-checks"
    }

    fn object(&self) -> String {
        let one = |(check, verdict): (&Check, &Verdict)| match verdict {
            Verdict::Valid => format!("{check} valid"),
            Verdict::Invalid { .. } => format!("{check} invalid"),
            Verdict::Unknown { .. } => format!("{check} unknown"),
        };
        let said: Vec<String> = self.verdicts.iter().map(one).collect();
        format!("ip {}: {}", self.address, said.join(", "))
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        let Some(identity) = state.identities.get(&self.address) else {
            return Err(not_found("address", &self.address, "identity"));
        };
        if self.verdicts.is_empty() {
            let accepted = "at least one of a, ptr, spf, dkim, dmarc, address, listing";
            return Err(refuse(Invalid, "checks", &"", accepted));
        }
        if self.verdicts.contains_key(&Check::NextDkim) {
            let accepted = "state-next-key, which says of which selector";
            return Err(refuse(Invalid, "checks", &Check::NextDkim, accepted));
        }
        for (check, verdict) in &self.verdicts {
            match verdict {
                Verdict::Valid => {}
                Verdict::Invalid { what } => text(&format!("checks.{check}.what"), what)?,
                Verdict::Unknown { why } => text(&format!("checks.{check}.why"), why)?,
            }
        }
        let clean = self.verdicts.get(&Check::Listing) == Some(&Verdict::Valid);
        if clean && !self.sweeps && identity.life.quarantine.is_some() {
            let accepted = "invalid or unknown: that no list has one in quarantine is said by the sweep, or by \
                            an admin of the whole fleet, because it lets the identity out";
            return Err(refuse(Forbidden, "checks.listing", &"valid", accepted));
        }
        let mut changed = (**identity).clone();
        let (by, at) = (cut(&turn.proposal.actor, ACTOR_CHARS), turn.now());
        let life = &mut changed.life;
        for (check, verdict) in &self.verdicts {
            let statement = Statement {
                verdict: verdict.clone(),
                by: by.clone(),
                at,
            };
            life.checks.insert(*check, statement);
        }
        if let (Some(out), Some(verdict)) =
            (&mut life.quarantine, self.verdicts.get(&Check::Listing))
        {
            state_listing(out, verdict, at);
        }
        state.identities.insert(self.address, Arc::new(changed));
        Ok(Change::DONE)
    }
}
