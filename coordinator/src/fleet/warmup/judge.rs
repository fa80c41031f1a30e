//! What the evidence comes to: once a day how a plan goes on, and on every report whether it must end.

use std::collections::BTreeSet;

use email_engine_protocol::api::{
    Phase, Rate, WarmupPlan, WarmupRates, WarmupReason, WarmupSettings, WarmupStep, WarmupVerdict,
};
use email_engine_protocol::id::ReceiverGroup;
use email_engine_protocol::observed::DayCounts;
use email_engine_protocol::time::Timestamp;

use super::evidence::{LEAST_RESULTS, day_begins, rates, window};

/// Opens as the application reports them: known of some tenants only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opens {
    /// Opened.
    pub opened: u64,
    /// Out of so many delivered.
    pub delivered: u64,
}

/// What is known beside the counts.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// All that was sent before the day is counted.
    pub is_read: bool,
    /// Receivers at which feedback loops are enrolled.
    pub loops: &'a BTreeSet<ReceiverGroup>,
    /// Opens of the last seven days, where they are reported.
    pub opens: Option<Opens>,
    /// What a MailWizz of the tenant does that it may not go on beside.
    pub obstacle: Option<&'a WarmupReason>,
}

/// How a plan goes on from the beginning of a day, by the seven days before it, and the rates of those.
/// What is not above a line is never held back for being too little to judge, but nobody goes further
/// without deliveries.
#[must_use]
pub fn judge(
    plan: &WarmupPlan,
    counts: &[DayCounts],
    settings: &WarmupSettings,
    facts: &Facts<'_>,
    day: u32,
) -> (WarmupVerdict, WarmupRates) {
    let days = day
        .checked_sub(1)
        .map_or_else(Vec::new, |last| window(plan, counts, last));
    let rates = rates(&days, plan.reached, settings, facts.loops);
    let (step, mut reasons) = decide(plan, &rates, settings, facts, day_begins(day));
    let goes_on = matches!(step, WarmupStep::Advance | WarmupStep::Grow);
    if goes_on && rates.complaints.is_none() {
        reasons.push(WarmupReason::ComplaintsUnmeasured);
    }
    (WarmupVerdict { step, reasons }, rates)
}

fn decide(
    plan: &WarmupPlan,
    rates: &WarmupRates,
    settings: &WarmupSettings,
    facts: &Facts<'_>,
    now: Timestamp,
) -> (WarmupStep, Vec<WarmupReason>) {
    use WarmupStep::{Pause, Resume, StayPaused};
    let hold = |reason| (WarmupStep::Hold, vec![reason]);
    if plan.stopped.is_some() {
        return hold(WarmupReason::Stopped);
    }
    if plan.judged_on.is_some_and(|judged| now <= judged) {
        return hold(WarmupReason::Judged);
    }
    if !facts.is_read {
        return hold(WarmupReason::Unread);
    }
    let broken = broken(
        rates,
        [
            settings.pause_bounces,
            settings.pause_complaints,
            settings.pause_blocks,
        ],
        Some(settings.pause_deferrals),
    );
    match plan.paused_until {
        Some(until) if now < until => {
            return (StayPaused, vec![WarmupReason::PausedUntil(until)]);
        }
        Some(_) if broken.is_empty() => return (Resume, vec![WarmupReason::LinesHold]),
        _ if !broken.is_empty() => return (Pause, broken),
        _ => {}
    }
    go_on(plan, rates, settings, facts, now)
}

/// Nothing stands against it; whether enough speaks for it.
fn go_on(
    plan: &WarmupPlan,
    rates: &WarmupRates,
    settings: &WarmupSettings,
    facts: &Facts<'_>,
    now: Timestamp,
) -> (WarmupStep, Vec<WarmupReason>) {
    let hold = |reason| (WarmupStep::Hold, vec![reason]);
    if let Some(obstacle) = facts.obstacle {
        return hold(obstacle.clone());
    }
    let is_through = plan.phase == Phase::Active;
    if is_through && plan.reached >= settings.target {
        return hold(WarmupReason::AtTarget);
    }
    let passed = now.since(plan.phase_started_at) / Timestamp::DAY;
    let passed = u32::try_from(passed).unwrap_or(u32::MAX);
    if !is_through && passed < settings.least_days {
        let least = settings.least_days;
        return hold(WarmupReason::LeastDays { passed, least });
    }
    if rates.delivered < LEAST_RESULTS {
        let delivered = rates.delivered;
        let least = LEAST_RESULTS;
        return hold(WarmupReason::TooFewResults { delivered, least });
    }
    if !is_through && rates.used_days < settings.used_days {
        let (days, least) = (rates.used_days, settings.used_days);
        return hold(WarmupReason::Unused { days, least });
    }
    if let Some(rate) = facts.opens.and_then(|opens| few(opens, settings)) {
        let least = settings.least_opens;
        return hold(WarmupReason::FewOpens { rate, least });
    }
    let step = if is_through {
        WarmupStep::Grow
    } else {
        WarmupStep::Advance
    };
    (step, vec![WarmupReason::LinesHold])
}

/// Opens that are too few, when enough was delivered to say so.
fn few(opens: Opens, settings: &WarmupSettings) -> Option<Rate> {
    let enough = u128::from(opens.delivered) * u128::from(settings.least_opens);
    let is_few = u128::from(opens.opened) * 10_000 < enough;
    (is_few && opens.delivered >= LEAST_RESULTS).then_some(Rate {
        events: opens.opened,
        of: opens.delivered,
        measured: true,
    })
}

/// The lines for bounces, complaints and refusals, and perhaps deferrals, that are broken.
fn broken(
    rates: &WarmupRates,
    [bounces, complaints, blocks]: [u32; 3],
    deferrals: Option<u32>,
) -> Vec<WarmupReason> {
    let mut reasons = Vec::new();
    let rate = rates.bounces;
    if rate.is_above(bounces) {
        let line = bounces;
        reasons.push(WarmupReason::Bounces { rate, line });
    }
    if let Some(rate) = rates.complaints.filter(|rate| rate.is_above(complaints)) {
        let line = complaints;
        reasons.push(WarmupReason::Complaints { rate, line });
    }
    if let Some((group, rate)) = &rates.blocks
        && rate.is_above(blocks)
    {
        reasons.push(WarmupReason::Blocks {
            group: group.clone(),
            rate: *rate,
            line: blocks,
        });
    }
    let rate = rates.deferrals;
    if let Some(line) = deferrals.filter(|line| rate.is_above(*line)) {
        reasons.push(WarmupReason::Deferrals { rate, line });
    }
    reasons
}

/// The lines that end all new mail at once, by seven days up to now; none when all hold. One that is
/// stopped already is not stopped again.
#[must_use]
pub fn stop_line(
    plan: &WarmupPlan,
    counts: &[DayCounts],
    settings: &WarmupSettings,
    loops: &BTreeSet<ReceiverGroup>,
    today: u32,
) -> Option<(Vec<WarmupReason>, WarmupRates)> {
    if plan.stopped.is_some() {
        return None;
    }
    let days = window(plan, counts, today);
    let rates = rates(&days, plan.reached, settings, loops);
    let lines = [
        settings.stop_bounces,
        settings.stop_complaints,
        settings.stop_blocks,
    ];
    let reasons = broken(&rates, lines, None);
    (!reasons.is_empty()).then_some((reasons, rates))
}
