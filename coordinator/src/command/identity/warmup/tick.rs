//! `tick-warmup`.
//!
//! The evidence is not part of the state, so that what it came to is in the command; what follows from it is
//! decided here, by the settings of the state. Each identity is judged once a day and never for a day
//! before one that it was judged for, whoever proposes it and however often.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use email_engine_protocol::api::{Cause, IpStatus, Phase, WarmupRates, WarmupStep, WarmupVerdict};
use email_engine_protocol::time::Timestamp;

use super::{REASONS, tell};
use crate::alerts::rules::{self, Line, OfIdentity, OfTenant, TenantEvent};
use crate::command::Rejection;
use crate::command::RejectionCode::Invalid;
use crate::command::identity::life::remember;
use crate::command::refuse::{at_most, refuse};
use crate::command::verb::{Change, Turn, Verb};
use crate::fleet::lifecycle::{Event, Preflight, Standing, next};
use crate::fleet::warmup::{self, day_begins, day_of};
use crate::state::{FleetState, Identity};

/// Most verdicts of one command.
pub(crate) const VERDICTS: usize = 1_000;

/// See [`Command::TickWarmup`](crate::command::Command::TickWarmup).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickWarmup {
    /// The UTC day that begins, in days since 1970-01-01.
    pub day: u32,
    /// What the days before it came to.
    pub verdicts: Vec<Ticked>,
}

/// What a day's evidence came to, of one identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticked {
    /// Which identity.
    pub address: IpAddr,
    /// The phase that was judged.
    pub phase: Phase,
    /// Its beginning: a plan that begins elsewhere is another one.
    pub phase_started_at: Timestamp,
    /// What came of it.
    pub verdict: WarmupVerdict,
    /// By which rates.
    pub rates: WarmupRates,
}

impl Ticked {
    /// Whether an operator would want to know.
    #[must_use]
    pub const fn is_news(&self) -> bool {
        !matches!(
            self.verdict.step,
            WarmupStep::Hold | WarmupStep::StayPaused | WarmupStep::Grow
        )
    }

    /// Whether it was judged as the plan stands: not stopped or let go on since, and not judged for this day
    /// or a later one.
    fn fits(&self, identity: &Identity, day: u32) -> bool {
        let plan = &identity.warmup;
        let sends = matches!(identity.spec.status, IpStatus::Active | IpStatus::Warming);
        let is_newer = plan.judged_on.is_none_or(|judged| judged < day_begins(day));
        let is_same = (plan.phase, plan.phase_started_at) == (self.phase, self.phase_started_at);
        let may = match self.verdict.step {
            WarmupStep::Advance => plan.phase != Phase::Active && plan.paused_until.is_none(),
            WarmupStep::Grow => plan.phase == Phase::Active && plan.paused_until.is_none(),
            WarmupStep::Resume | WarmupStep::StayPaused => plan.paused_until.is_some(),
            WarmupStep::Hold | WarmupStep::Pause => true,
        };
        sends && is_newer && is_same && may && plan.stopped.is_none()
    }
}

impl Verb for TickWarmup {
    fn name(&self) -> &'static str {
        "tick-warmup"
    }

    fn object(&self) -> String {
        let day = day_begins(self.day).to_string();
        let day = day.split('T').next().unwrap_or_default().to_owned();
        let mut words = vec![format!("{day}, {} identities", self.verdicts.len())];
        for one in self.verdicts.iter().filter(|one| one.is_news()) {
            let step = match one.verdict.step {
                WarmupStep::Advance => "advance",
                WarmupStep::Pause => "pause",
                _ => "resume",
            };
            words.push(format!("{step} {}", one.address));
        }
        words.join("; ")
    }

    fn apply(&self, state: &mut FleetState, turn: &mut Turn<'_>) -> Result<Change, Rejection> {
        at_most("verdicts", self.verdicts.len(), VERDICTS)?;
        for one in &self.verdicts {
            at_most("reasons", one.verdict.reasons.len(), REASONS)?;
        }
        let today = day_of(turn.now());
        if self.day > today {
            let accepted = format!("today, {today}, or a day before it");
            return Err(refuse(Invalid, "day", &self.day, accepted));
        }
        let mut change = Change::NONE;
        let revision = state.revision + 1;
        for one in &self.verdicts {
            let found = state.identities.get(&one.address);
            let Some(identity) = found.filter(|found| one.fits(found, self.day)) else {
                continue;
            };
            let goes_on = matches!(one.verdict.step, WarmupStep::Advance | WarmupStep::Grow);
            // Judged before that was known.
            if goes_on && state.warmup_obstacle(identity).is_some() {
                continue;
            }
            let settings = warmup::settings_of(state, &identity.spec.tenant);
            if let Some(identity) = state.identities.get_mut(&one.address) {
                let identity = Arc::make_mut(identity);
                let plan = &mut identity.warmup;
                warmup::follow(plan, &one.verdict, &one.rates, &settings, self.day);
                identity.spec.phase = identity.warmup.phase;
                end_warming(identity, (revision, &*turn));
                change = Change::DONE;
            }
            self.tell(state, one, turn.now());
        }
        Ok(change)
    }
}

impl TickWarmup {
    /// What people are told of a verdict that was followed.
    fn tell(&self, state: &mut FleetState, one: &Ticked, now: Timestamp) {
        let Some(identity) = state.identities.get(&one.address) else {
            return;
        };
        let plan = &identity.warmup;
        match (one.verdict.step, plan.paused_until) {
            (WarmupStep::Advance, _) => {
                let tenant = identity.spec.tenant.clone();
                let what = OfTenant::advanced(self.day, one.address, plan.phase);
                state.raise(rules::Event::Tenant(TenantEvent { tenant, what }), now);
            }
            (WarmupStep::Pause, Some(until)) => {
                let reasons = one.verdict.reasons.iter().map(Line::said).collect();
                let paused = OfIdentity::WarmupPaused { reasons, until };
                tell(state, one.address, paused, now);
            }
            _ => {}
        }
    }
}

/// An identity that is through is active.
fn end_warming(identity: &mut Identity, at: (u64, &Turn<'_>)) {
    if identity.warmup.phase != Phase::Active || identity.spec.status != IpStatus::Warming {
        return;
    }
    let (standing, now) = (Standing::of(identity), at.1.now());
    let preflight = Preflight::of(&identity.life.checks, now);
    if let Ok(turned) = next(&standing, &Event::Graduate, now, &preflight) {
        let Identity { spec, life, .. } = identity;
        turned.standing.put(spec, life);
        let from = Some(standing.status);
        remember(life, spec, from, Cause::Graduated, turned.forced, at);
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::api::{AlertKind, IpSpec, WarmupReason};
    use proptest::prelude::*;

    use super::*;
    use crate::command::fixture::{Fleet, address, identity};
    use crate::command::{ChangeIdentity, Command, Effect, PauseWarmup};

    fn tick(fleet: &Fleet, day: u32, step: WarmupStep) -> Command {
        let plan = &fleet.state.identities[&address(0)].warmup;
        let ticked = Ticked {
            address: address(0),
            phase: plan.phase,
            phase_started_at: plan.phase_started_at,
            verdict: WarmupVerdict {
                step,
                reasons: vec![WarmupReason::LinesHold],
            },
            rates: WarmupRates::default(),
        };
        Command::TickWarmup(TickWarmup {
            day,
            verdicts: vec![ticked],
        })
    }

    fn today(fleet: &Fleet) -> u32 {
        day_of(fleet.now())
    }

    #[test]
    fn a_day_is_followed_once_and_one_before_it_never() {
        let mut fleet = Fleet::with_identities(1);
        let day = today(&fleet);
        fleet.accept(tick(&fleet, day, WarmupStep::Advance));
        let row = &fleet.state.identities[&address(0)];
        assert_eq!((row.warmup.phase, row.daily_quota()), (Phase::Week3, 250));
        // Another leader says the same, or judged the plan as it is now: the day is over.
        for again in [day, day - 1] {
            let tick = tick(&fleet, again, WarmupStep::Advance);
            assert_eq!(fleet.accept(tick).effect, Effect::Unchanged);
        }
        let tomorrow = tick(&fleet, day + 1, WarmupStep::Advance);
        let rejection = fleet.refuse(tomorrow);
        assert_eq!((rejection.code, rejection.field.as_str()), (Invalid, "day"));
        let told = fleet.state.audit.last().unwrap();
        assert!(
            told.object.ends_with(", 1 identities; advance 192.0.2.1"),
            "{}",
            told.object
        );
    }

    #[test]
    fn people_are_told_of_who_goes_further_and_who_pauses_and_not_of_who_waits() {
        let mut fleet = Fleet::with_identities(1);
        let kinds = |fleet: &Fleet| -> Vec<AlertKind> {
            let all = fleet.state.alerts.last.keys();
            all.map(|key| key.kind).collect()
        };
        for (step, mut wanted) in [
            (WarmupStep::Hold, vec![]),
            (WarmupStep::Advance, vec![AlertKind::WarmupAdvanced]),
            (
                WarmupStep::Pause,
                vec![AlertKind::WarmupAdvanced, AlertKind::WarmupPaused],
            ),
        ] {
            fleet.accept(tick(&fleet, today(&fleet), step));
            let mut told = kinds(&fleet);
            told.sort();
            wanted.sort();
            assert_eq!(told, wanted, "{step:?}");
            fleet.wait(Timestamp::DAY - Timestamp::HOUR);
        }
    }

    #[test]
    fn a_verdict_of_another_plan_is_passed_over() {
        let mut fleet = Fleet::with_identities(1);
        let day = today(&fleet);
        let before = tick(&fleet, day, WarmupStep::Advance);
        let ip = IpSpec {
            phase: Phase::Week5,
            ..identity(0)
        };
        fleet.accept(Command::ChangeIdentity(ChangeIdentity::of(ip)));
        assert_eq!(fleet.accept(before).effect, Effect::Unchanged);
        // Paused since it was judged, it does not advance either.
        let before = tick(&fleet, day, WarmupStep::Advance);
        let address = address(0);
        fleet.accept(Command::PauseWarmup(PauseWarmup {
            address,
            days: None,
        }));
        assert_eq!(fleet.accept(before).effect, Effect::Unchanged);
        assert_eq!(fleet.state.identities[&address].daily_quota(), 500);
    }

    #[test]
    fn six_weeks_make_it_active_and_it_grows_from_there() {
        let mut fleet = Fleet::with_identities(1);
        for _ in 0..5 {
            fleet.wait(Timestamp::DAY - Timestamp::HOUR);
            let day = today(&fleet);
            fleet.accept(tick(&fleet, day, WarmupStep::Advance));
        }
        let row = &fleet.state.identities[&address(0)];
        assert_eq!((row.spec.status, row.weight()), (IpStatus::Active, 100));
        assert_eq!(row.daily_quota(), 2_400);
        fleet.wait(Timestamp::DAY - Timestamp::HOUR);
        let tick = tick(&fleet, today(&fleet), WarmupStep::Grow);
        fleet.accept(tick);
        assert_eq!(fleet.state.identities[&address(0)].daily_quota(), 2_880);
        let row = &fleet.state.identities[&address(0)];
        let phases = (row.spec.phase, row.warmup.phase);
        assert_eq!(phases, (Phase::Active, Phase::Active));
        let last = row.life.history.back().unwrap();
        assert_eq!((last.cause, last.to), (Cause::Graduated, IpStatus::Active));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_leaders_repeat_a_day_moves_one_phase_at_most(
            ticks in prop::collection::vec((0..4_u32, 0..3_u8), 1..30),
        ) {
            let mut fleet = Fleet::with_identities(1);
            fleet.wait(3 * (Timestamp::DAY - Timestamp::HOUR));
            let first = today(&fleet) - 3;
            let mut days = std::collections::BTreeSet::new();
            for (ahead, step) in ticks {
                let step = match step {
                    0 => WarmupStep::Hold,
                    1 => WarmupStep::Advance,
                    _ => WarmupStep::Grow,
                };
                let command = tick(&fleet, first + ahead, step);
                let proposal = fleet.proposal(command);
                let _ = fleet.state.apply(&proposal);
                days.insert(first + ahead);
                let phase = fleet.state.identities[&address(0)].warmup.phase as usize;
                prop_assert!(phase <= Phase::Week2 as usize + days.len());
            }
        }
    }
}
