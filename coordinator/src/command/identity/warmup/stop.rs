//! `stop-warmup`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{WarmupRates, WarmupReason};
use email_engine_protocol::time::Timestamp;

use super::{REASONS, change, sending, tell};
use crate::alerts::rules::{Line, OfIdentity};
use crate::command::Rejection;
use crate::command::RejectionCode::{Invalid, WrongState};
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::warmup;
use crate::state::FleetState;

/// See [`Command::StopWarmup`](crate::command::Command::StopWarmup).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopWarmup {
    /// Which identity.
    pub address: IpAddr,
    /// The beginning of the phase that was judged: a plan that an operator let go on meanwhile is another.
    pub phase_started_at: Timestamp,
    /// The lines that are broken.
    pub reasons: Vec<WarmupReason>,
    /// By which rates.
    pub rates: WarmupRates,
}

impl Verb for StopWarmup {
    fn name(&self) -> &'static str {
        "stop-warmup"
    }

    fn object(&self) -> String {
        let reasons: Vec<_> = self.reasons.iter().map(ToString::to_string).collect();
        format!("ip {}: {}", self.address, reasons.join("; "))
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("reasons", self.reasons.len(), REASONS)?;
        if self.reasons.is_empty() {
            let accepted = "the lines that are broken";
            return Err(refuse(Invalid, "reasons", &"none", accepted));
        }
        let plan = &sending(state, self.address)?.warmup;
        if plan.stopped.is_some() {
            return Ok(Change::NONE);
        }
        if plan.phase_started_at != self.phase_started_at {
            let accepted = format!("the plan since {}", plan.phase_started_at);
            let field = "phase_started_at";
            return Err(refuse(WrongState, field, &self.phase_started_at, accepted));
        }
        change(state, self.address, |plan, settings| {
            let (reasons, rates) = (self.reasons.clone(), self.rates.clone());
            warmup::stop(plan, reasons, rates, settings, turn.now());
        });
        let stopped = OfIdentity::WarmupStopped {
            reasons: self.reasons.iter().map(Line::said).collect(),
        };
        tell(state, self.address, stopped, turn.now());
        Ok(Change::DONE)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{AlertKind, IpSpec, Phase, Rate};
    use email_engine_protocol::observed::DayCounts;

    use super::*;
    use crate::command::fixture::{Fleet, address, identity};
    use crate::command::{ChangeIdentity, Command, Effect, ResumeWarmup};

    fn stop(fleet: &Fleet) -> Command {
        let rate = Rate {
            events: 11,
            of: 100,
            measured: true,
        };
        Command::StopWarmup(Box::new(StopWarmup {
            address: address(0),
            phase_started_at: fleet.state.identities[&address(0)].warmup.phase_started_at,
            reasons: vec![WarmupReason::Bounces { rate, line: 1_000 }],
            rates: WarmupRates::default(),
        }))
    }

    #[test]
    fn a_stopped_identity_takes_no_mail_until_somebody_says_why_it_may() {
        let mut fleet = Fleet::with_identities(1);
        let stop = stop(&fleet);
        fleet.accept(stop.clone());
        let row = &fleet.state.identities[&address(0)];
        assert_eq!(
            (row.takes_mail(), row.weight(), row.daily_quota()),
            (false, 0, 0)
        );
        let told = fleet.state.audit.last().unwrap();
        assert_eq!(
            told.object,
            "ip 192.0.2.1: hard bounces 11.00 % (11 of 100), above 10.00 %"
        );
        let alert = fleet.state.alerts.last.keys().next().unwrap();
        assert_eq!(alert.kind, AlertKind::WarmupStopped);
        assert_eq!(fleet.accept(stop.clone()).effect, Effect::Unchanged);
        // Another declaration does not end it.
        let ip = IpSpec {
            phase: Phase::Week4,
            ..identity(0)
        };
        fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(ip)));
        assert!(!fleet.state.identities[&address(0)].takes_mail());
        fleet.accept(Command::ResumeWarmup(Box::new(ResumeWarmup {
            address: address(0),
            reason: "the list was cleaned".to_owned(),
            counted: DayCounts::default(),
        })));
        assert_eq!(fleet.state.identities[&address(0)].daily_quota(), 500);
        // What was judged before that word says nothing of what came after it.
        assert_eq!(fleet.refuse(stop).code, WrongState);
    }
}
