//! `resume-warmup`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::observed::DayCounts;

use super::{GROUPS, change, sending};
use crate::command::Rejection;
use crate::command::RejectionCode::WrongState;
use crate::command::refuse::{at_most, refuse, text};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::warmup;
use crate::state::FleetState;

/// See [`Command::ResumeWarmup`](crate::command::Command::ResumeWarmup).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeWarmup {
    /// Which identity.
    pub address: IpAddr,
    /// What was wrong and is mended.
    pub reason: String,
    /// What is counted of this day so far: it is not held against the identity any more.
    pub counted: DayCounts,
}

impl Verb for ResumeWarmup {
    fn name(&self) -> &'static str {
        "resume-warmup"
    }

    fn object(&self) -> String {
        format!("ip {}: {}", self.address, self.reason)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        text("reason", &self.reason)?;
        at_most("counted", self.counted.groups.len(), GROUPS)?;
        let plan = &sending(state, self.address)?.warmup;
        if plan.stopped.is_none() && plan.paused_until.is_none() {
            let accepted = "an identity whose warm-up is stopped or paused";
            return Err(refuse(WrongState, "address", &self.address, accepted));
        }
        change(state, self.address, |plan, settings| {
            warmup::resume(plan, self.counted.clone(), settings, turn.now());
        });
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::RejectionCode::Invalid;
    use crate::command::fixture::{Fleet, address};
    use crate::command::{Command, PauseWarmup};

    fn resume(reason: &str) -> Command {
        Command::ResumeWarmup(Box::new(ResumeWarmup {
            address: address(0),
            reason: reason.to_owned(),
            counted: DayCounts::default(),
        }))
    }

    #[test]
    fn a_word_without_a_reason_or_for_nothing_is_refused() {
        let mut fleet = Fleet::with_identities(1);
        let rejection = fleet.refuse(resume("the list was cleaned"));
        assert_eq!(rejection.code, WrongState);
        let address = address(0);
        fleet.accept(Command::PauseWarmup(PauseWarmup {
            address,
            days: None,
        }));
        let rejection = fleet.refuse(resume(""));
        assert_eq!(
            (rejection.code, rejection.field.as_str()),
            (Invalid, "reason")
        );
        fleet.accept(resume("the list was cleaned"));
        let told = fleet.state.audit.last().unwrap();
        assert_eq!(told.object, "ip 192.0.2.1: the list was cleaned");
        let row = &fleet.state.identities[&address];
        assert_eq!((row.daily_quota(), row.warmup.paused_until), (100, None));
    }
}
