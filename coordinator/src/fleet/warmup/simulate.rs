//! How a pool grows when nothing goes wrong: the functions of the live engine, on evidence that is
//! without a fault.

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{
    Phase, SimulatedDay, Simulation, SimulationTarget, WarmupPlan, WarmupRates, WarmupSettings,
};
use email_engine_protocol::id::ReceiverGroup;
use email_engine_protocol::observed::{Counts, DayCounts};

use super::evidence::{WINDOW_DAYS, day_begins, day_of};
use super::judge::{Facts, judge};
use super::plan::{entering, follow};

/// Most days of a simulation, and those that are looked at for when a volume is reached.
pub const LONGEST: u32 = 730;
/// Most identities of one.
pub const LARGEST_POOL: u32 = 250_000;

/// What happens to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// On which day, from 1.
    pub day: u32,
    /// Identities that come, in the first phase.
    pub add: u32,
    /// Identities that go: those that may send most go first, for the worst is worth knowing.
    pub lose: u32,
}

impl Event {
    /// How one is written.
    pub const FORM: &str =
        "a number of identities and one of the days that are looked at, such as 3@14";

    /// Reads `K@DAY`: so many come, or go, on that one of the days that are looked at.
    #[must_use]
    pub fn read(text: &str, comes: bool, days: u32) -> Option<Self> {
        let (count, day) = text.split_once('@')?;
        let (count, day) = (count.parse().ok()?, day.parse().ok()?);
        let is_good = (1..=LARGEST_POOL).contains(&count) && (1..=days).contains(&day);
        let (add, lose) = if comes { (count, 0) } else { (0, count) };
        is_good.then_some(Self { day, add, lose })
    }
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Identities by where they stand on the first day.
    pub pool: Vec<WarmupPlan>,
    /// The number of the first day, which plans and evidence are dated by.
    pub first: u32,
    /// How many days are told.
    pub days: u32,
    /// By which schedule.
    pub settings: WarmupSettings,
    /// What happens meanwhile.
    pub events: Vec<Event>,
    /// Mails a day that are asked for.
    pub target: Option<u64>,
}

/// Identities that stand at the same place, with what they sent of late.
#[derive(Clone, Debug)]
struct Cohort {
    plan: WarmupPlan,
    count: u32,
    sent: Vec<DayCounts>,
}

/// How many days are looked at to tell so many: what is sent in all some day is sought for long.
#[must_use]
pub const fn looked_at(days: u32, target: Option<u64>) -> u32 {
    match target {
        Some(_) if days < LONGEST => LONGEST,
        _ => days,
    }
}

/// Day by day.
#[must_use]
pub fn simulate(scenario: &Scenario) -> Simulation {
    let mut cohorts: Vec<Cohort> = Vec::new();
    for plan in &scenario.pool {
        let plan = essential(plan);
        match cohorts.iter_mut().find(|cohort| cohort.plan == plan) {
            Some(cohort) => cohort.count += 1,
            None => cohorts.push(Cohort {
                sent: had_sent(&plan, scenario.first),
                count: 1,
                plan,
            }),
        }
    }
    let mut told = Simulation {
        days: Vec::new(),
        target: None,
    };
    let (mut cumulative, mut most, mut reached) = (0_u64, 0_u64, None);
    let asked = scenario.target.unwrap_or_default();
    for day in 1..=looked_at(scenario.days, scenario.target) {
        pass(&mut cohorts, scenario, day);
        let row = row(&cohorts, day, &mut cumulative);
        most = most.max(row.quota);
        if row.quota >= asked && reached.is_none() {
            reached = Some(day);
        }
        if day <= scenario.days {
            told.days.push(row);
        }
    }
    told.target = scenario.target.map(|mails| SimulationTarget {
        mails,
        day: reached,
        most,
    });
    told
}

/// One day: judged at its beginning, then sent to its end.
fn pass(cohorts: &mut Vec<Cohort>, scenario: &Scenario, day: u32) {
    let today = scenario.first.saturating_add(day - 1);
    let loops = BTreeSet::new();
    let facts = Facts {
        is_read: true,
        loops: &loops,
        opens: None,
        obstacle: None,
    };
    for cohort in cohorts.iter_mut().filter(|_| day > 1) {
        let settings = &scenario.settings;
        let (verdict, rates) = judge(&cohort.plan, &cohort.sent, settings, &facts, today);
        follow(&mut cohort.plan, &verdict, &rates, settings, today);
    }
    for event in scenario.events.iter().filter(|event| event.day == day) {
        lose(cohorts, event.lose);
        if event.add > 0 {
            cohorts.push(Cohort {
                plan: entering(&scenario.settings, today),
                count: event.add,
                sent: Vec::new(),
            });
        }
    }
    for cohort in cohorts {
        let first = today.saturating_sub(WINDOW_DAYS);
        cohort.sent.retain(|day| day.day > first);
        cohort.sent.push(delivered(today, cohort.plan.daily_quota));
    }
}

fn lose(cohorts: &mut Vec<Cohort>, mut left: u32) {
    cohorts.sort_by_key(|cohort| std::cmp::Reverse(cohort.plan.daily_quota));
    for cohort in cohorts.iter_mut() {
        let gone = cohort.count.min(left);
        cohort.count -= gone;
        left -= gone;
    }
    cohorts.retain(|cohort| cohort.count > 0);
}

/// What decides how a plan goes on, so that those that stand alike are counted together.
fn essential(plan: &WarmupPlan) -> WarmupPlan {
    WarmupPlan {
        phase_started_at: day_begins(day_of(plan.phase_started_at)),
        paused_until: plan.paused_until.map(|until| day_begins(day_of(until))),
        judged_on: None,
        verdict: None,
        rates: WarmupRates::default(),
        forgiven: None,
        ..plan.clone()
    }
}

/// What one that stands there is taken to have sent: its quota, since its phase began.
fn had_sent(plan: &WarmupPlan, first: u32) -> Vec<DayCounts> {
    let since = day_of(plan.phase_started_at);
    let from = first.saturating_sub(WINDOW_DAYS).max(since);
    (from..first)
        .map(|day| delivered(day, plan.daily_quota))
        .collect()
}

fn delivered(day: u32, mails: u32) -> DayCounts {
    let counts = Counts {
        sent: mails.into(),
        delivered: mails.into(),
        ..Counts::NONE
    };
    DayCounts {
        day,
        groups: [(ReceiverGroup::other(), counts)].into(),
    }
}

fn row(cohorts: &[Cohort], day: u32, cumulative: &mut u64) -> SimulatedDay {
    let mut row = SimulatedDay {
        day,
        quota: 0,
        cumulative: 0,
        identities: 0,
        phases: BTreeMap::new(),
    };
    for cohort in cohorts {
        row.quota += u64::from(cohort.plan.daily_quota) * u64::from(cohort.count);
        row.identities += cohort.count;
        let phase: Phase = cohort.plan.phase;
        *row.phases.entry(phase).or_default() += cohort.count;
    }
    *cumulative = cumulative.saturating_add(row.quota);
    row.cumulative = *cumulative;
    row
}
