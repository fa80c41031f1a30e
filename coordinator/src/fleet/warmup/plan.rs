//! What happens to a plan. Each function leaves `daily_quota` as it follows from the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use email_engine_protocol::api::{
    IpSpec, IpStatus, Phase, TenantWarmup, WarmupPlan, WarmupRates, WarmupReason, WarmupSettings,
    WarmupStep, WarmupStop, WarmupVerdict,
};
use email_engine_protocol::id::TenantId;
use email_engine_protocol::observed::DayCounts;
use email_engine_protocol::time::Timestamp;

use super::evidence::{day_begins, day_of};
use crate::state::FleetState;

/// The settings by which a tenant's identities warm up: the fleet's, as new hosts have them, and the
/// tenant's where those are tighter.
#[must_use]
pub fn settings_of(state: &FleetState, tenant: &TenantId) -> WarmupSettings {
    let none = TenantWarmup::default();
    let own = state.tenants.get(tenant).map_or(&none, |own| &own.warmup);
    fleet_settings(state).tightened(own)
}

/// The fleet's settings, as new hosts have them.
#[must_use]
pub fn fleet_settings(state: &FleetState) -> WarmupSettings {
    let release = state.default_release.as_ref();
    let fleet = release.and_then(|release| state.settings_of(release));
    fleet.map_or_else(WarmupSettings::default, |fleet| fleet.warmup.clone())
}

/// Brings plans in step with settings that became tighter: at once, and not with the next tick.
pub(crate) fn tighten(state: &mut FleetState, tenant: Option<&TenantId>) {
    let tenants = state
        .tenants
        .keys()
        .filter(|id| tenant.is_none_or(|only| only == *id));
    let settings: BTreeMap<_, _> = tenants
        .map(|id| (id.clone(), settings_of(state, id)))
        .collect();
    let settled = state.identities.iter().filter_map(|(address, identity)| {
        let mut settled = identity.warmup.clone();
        settle(&mut settled, settings.get(&identity.spec.tenant)?);
        (settled != identity.warmup).then_some((*address, settled))
    });
    for (address, settled) in settled.collect::<Vec<_>>() {
        if let Some(identity) = state.identities.get_mut(&address) {
            Arc::make_mut(identity).warmup = settled;
        }
    }
}

/// The plan of an identity that enters: in the phase that is declared, or through it where it is declared
/// active.
#[must_use]
pub fn begin(spec: &IpSpec, settings: &WarmupSettings, now: Timestamp) -> WarmupPlan {
    let phase = match spec.status {
        IpStatus::Active => Phase::Active,
        _ => spec.phase,
    };
    at_phase(phase, settings, now)
}

/// The plan of one that enters in the first phase on a day.
pub(super) fn entering(settings: &WarmupSettings, day: u32) -> WarmupPlan {
    at_phase(Phase::Week1, settings, day_begins(day))
}

/// A plan that begins in a phase.
#[must_use]
pub fn at_phase(phase: Phase, settings: &WarmupSettings, now: Timestamp) -> WarmupPlan {
    let reached = match phase {
        Phase::Active => settings.target,
        _ => settings.quota(phase),
    };
    WarmupPlan {
        phase,
        phase_started_at: now,
        reached,
        daily_quota: reached,
        paused_until: None,
        stopped: None,
        judged_on: None,
        verdict: None,
        rates: WarmupRates::default(),
        forgiven: None,
    }
}

/// The plan after a new declaration: another phase is entered anew, a status that begins to send begins
/// its phase, and whatever else is declared leaves the plan alone. A stop outlives them all.
#[must_use]
pub fn carry_over(
    plan: &WarmupPlan,
    old: &IpSpec,
    new: &IpSpec,
    settings: &WarmupSettings,
    now: Timestamp,
) -> WarmupPlan {
    let sends = |spec: &IpSpec| matches!(spec.status, IpStatus::Active | IpStatus::Warming);
    let is_through = new.status == IpStatus::Active && plan.phase != Phase::Active;
    let mut next = plan.clone();
    // A file that was written from what the API shows says the phase that was reached.
    let is_moved = old.phase != new.phase && new.phase != plan.phase;
    if is_moved || is_through {
        next = WarmupPlan {
            stopped: plan.stopped.clone(),
            paused_until: plan.paused_until,
            judged_on: plan.judged_on,
            forgiven: plan.forgiven.clone(),
            ..begin(new, settings, now)
        };
    } else if sends(new) && !sends(old) {
        next.phase_started_at = now;
    }
    settle(&mut next, settings);
    next
}

/// Carries a day's verdict out. The phase moves by one at most, whatever passed since the last verdict.
pub fn follow(
    plan: &mut WarmupPlan,
    verdict: &WarmupVerdict,
    rates: &WarmupRates,
    settings: &WarmupSettings,
    day: u32,
) {
    let now = day_begins(day);
    match verdict.step {
        WarmupStep::Advance => {
            plan.phase = next_phase(plan.phase);
            plan.phase_started_at = now;
            plan.reached = match plan.phase {
                Phase::Active => grown(plan.reached, settings),
                phase => settings.quota(phase),
            };
        }
        WarmupStep::Grow => plan.reached = grown(plan.reached, settings),
        WarmupStep::Pause => {
            let days = u64::from(settings.pause_days);
            let until = now.plus(days * Timestamp::DAY);
            // An operator's may last longer.
            plan.paused_until = Some(plan.paused_until.map_or(until, |before| before.max(until)));
        }
        WarmupStep::Resume => {
            plan.paused_until = None;
            // The days of the pause had half the quota: the phase has to be shown anew.
            plan.phase_started_at = now;
        }
        WarmupStep::Hold | WarmupStep::StayPaused => {}
    }
    plan.judged_on = Some(now);
    plan.verdict = Some(verdict.clone());
    plan.rates = rates.clone();
    settle(plan, settings);
}

/// An operator's pause. One that lasts longer already stays.
pub fn pause(plan: &mut WarmupPlan, until: Timestamp, settings: &WarmupSettings) {
    plan.paused_until = Some(plan.paused_until.map_or(until, |before| before.max(until)));
    plan.verdict = Some(WarmupVerdict {
        step: WarmupStep::Pause,
        reasons: vec![WarmupReason::Operator],
    });
    settle(plan, settings);
}

/// No new mail from now on.
pub fn stop(
    plan: &mut WarmupPlan,
    reasons: Vec<WarmupReason>,
    rates: WarmupRates,
    settings: &WarmupSettings,
    now: Timestamp,
) {
    plan.rates = rates;
    plan.stopped = Some(WarmupStop { at: now, reasons });
    settle(plan, settings);
}

/// A plan that begins or goes on where another one of the same address was stopped, or was not.
pub fn stay_stopped(plan: &mut WarmupPlan, stopped: Option<WarmupStop>, settings: &WarmupSettings) {
    plan.stopped = stopped;
    settle(plan, settings);
}

/// An operator's word that it may go on, after a stop or a pause: in the phase that it had, which has to
/// be shown anew. After a stop it is judged by what is counted from now on, or the next report would stop it
/// again for what is mended; a pause forgives nothing.
pub fn resume(
    plan: &mut WarmupPlan,
    counted: DayCounts,
    settings: &WarmupSettings,
    now: Timestamp,
) {
    if plan.stopped.take().is_some() {
        plan.forgiven = Some(DayCounts {
            day: day_of(now),
            ..counted
        });
    }
    plan.paused_until = None;
    plan.phase_started_at = now;
    plan.verdict = Some(WarmupVerdict {
        step: WarmupStep::Resume,
        reasons: vec![WarmupReason::Operator],
    });
    settle(plan, settings);
}

/// Whether an identity is judged: it takes mail, and has not come to its target.
#[must_use]
pub fn is_warming(spec: &IpSpec, plan: &WarmupPlan, settings: &WarmupSettings) -> bool {
    let sends = matches!(spec.status, IpStatus::Active | IpStatus::Warming);
    sends
        && (plan.phase != Phase::Active
            || plan.reached < settings.target
            || plan.paused_until.is_some())
}

/// Mails a day that an identity of this status may send.
#[must_use]
pub const fn quota_now(status: IpStatus, plan: &WarmupPlan) -> u32 {
    match status {
        IpStatus::Active | IpStatus::Warming => plan.daily_quota,
        _ => 0,
    }
}

/// Share of new mail, 0 to 100, of whoever is not stopped. Real mail, and little of it, keeps a reserve warm.
#[must_use]
pub const fn weight(status: IpStatus, phase: Phase, reserve: bool) -> u8 {
    match (status, phase) {
        (IpStatus::Active, _) if reserve => 5,
        (IpStatus::Active, _) | (IpStatus::Warming, Phase::Active) => 100,
        (IpStatus::Warming, Phase::Week6) => 70,
        (IpStatus::Warming, Phase::Week5) => 50,
        (IpStatus::Warming, Phase::Week4) => 40,
        (IpStatus::Warming, Phase::Week3) => 30,
        (IpStatus::Warming, Phase::Week2) => 20,
        (IpStatus::Warming, Phase::Week1) => 10,
        _ => 0,
    }
}

/// Settings that became tighter count at once; looser ones when a phase is entered.
pub(super) fn settle(plan: &mut WarmupPlan, settings: &WarmupSettings) {
    let most = match plan.phase {
        Phase::Active => settings.target,
        phase => settings.quota(phase),
    };
    plan.reached = plan.reached.min(most);
    plan.daily_quota = if plan.stopped.is_some() {
        0
    } else if plan.paused_until.is_some() {
        half(plan.reached)
    } else {
        plan.reached
    };
}

/// Half of a quota, and never nothing: whoever sends nothing is not kept warm, and is not judged.
#[must_use]
pub const fn half(quota: u32) -> u32 {
    let half = quota / 2;
    if half == 0 { 1 } else { half }
}

const fn next_phase(phase: Phase) -> Phase {
    match phase {
        Phase::Week1 => Phase::Week2,
        Phase::Week2 => Phase::Week3,
        Phase::Week3 => Phase::Week4,
        Phase::Week4 => Phase::Week5,
        Phase::Week5 => Phase::Week6,
        Phase::Week6 | Phase::Active => Phase::Active,
    }
}

/// A day's growth, rounded down, by one at least, and never above the target.
fn grown(reached: u32, settings: &WarmupSettings) -> u32 {
    let more = u64::from(reached) * u64::from(settings.growth_percent) / 100;
    let grown = u64::from(reached) + more.max(1);
    u32::try_from(grown)
        .unwrap_or(u32::MAX)
        .min(settings.target)
}
