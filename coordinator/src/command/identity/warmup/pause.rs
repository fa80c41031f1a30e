//! `pause-warmup`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::PAUSE_DAYS;
use email_engine_protocol::time::Timestamp;

use super::{change, sending};
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, WrongState};
use crate::command::refuse::refuse;
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::warmup;
use crate::state::FleetState;

/// See [`Command::PauseWarmup`](crate::command::Command::PauseWarmup).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseWarmup {
    /// Which identity.
    pub address: IpAddr,
    /// For how long; as long as after a broken line when absent.
    pub days: Option<u32>,
}

impl Verb for PauseWarmup {
    fn name(&self) -> &'static str {
        "pause-warmup"
    }

    fn object(&self) -> String {
        format!("ip {}", self.address)
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        if let Some(days) = self.days.filter(|days| !(1..=PAUSE_DAYS).contains(days)) {
            let accepted = format!("1 to {PAUSE_DAYS}");
            return Err(refuse(Invalid, "days", &days, accepted));
        }
        if sending(state, self.address)?.warmup.stopped.is_some() {
            let accepted = "an identity that is not stopped: that is more than a pause";
            return Err(refuse(WrongState, "address", &self.address, accepted));
        }
        change(state, self.address, |plan, settings| {
            let days = u64::from(self.days.unwrap_or(settings.pause_days));
            let until = turn.now().plus(days * Timestamp::DAY);
            warmup::pause(plan, until, settings);
        });
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{IpSpec, IpStatus};

    use super::*;
    use crate::command::fixture::{Fleet, address, identity};
    use crate::command::{ChangeIdentity, Command};

    fn pause(days: Option<u32>) -> Command {
        let address = address(0);
        Command::PauseWarmup(PauseWarmup { address, days })
    }

    #[test]
    fn a_pause_halves_the_quota_and_a_shorter_one_does_not_end_a_longer() {
        let mut fleet = Fleet::with_identities(1);
        fleet.accept(pause(Some(10)));
        let until = fleet.state.identities[&address(0)].warmup.paused_until;
        assert_eq!(until, Some(fleet.now().plus(10 * Timestamp::DAY)));
        fleet.accept(pause(None));
        let row = &fleet.state.identities[&address(0)];
        assert_eq!((row.daily_quota(), row.warmup.paused_until), (50, until));
        // 100 a day in the second week; whoever takes mail still does.
        assert_eq!((row.warmup.reached, row.takes_mail()), (100, true));
    }

    #[test]
    fn days_out_of_bounds_and_an_identity_that_does_not_send_are_refused() {
        let mut fleet = Fleet::with_identities(1);
        for days in [0, 91] {
            let rejection = fleet.refuse(pause(Some(days)));
            assert_eq!(
                (rejection.code, rejection.field.as_str()),
                (Invalid, "days")
            );
        }
        let ip = IpSpec {
            status: IpStatus::Resting,
            ..identity(0)
        };
        fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(ip)));
        assert_eq!(fleet.refuse(pause(None)).code, WrongState);
    }
}
