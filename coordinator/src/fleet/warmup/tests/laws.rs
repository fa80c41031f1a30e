//! What holds whatever the evidence is.

use email_engine_protocol::api::{Phase, WarmupPlan, WarmupSettings, WarmupStep};
use email_engine_protocol::observed::DayCounts;
use email_engine_protocol::time::Timestamp;
use proptest::prelude::*;

use super::super::{follow, judge, stop_line};
use super::*;

const PHASES: [Phase; 7] = [
    Phase::Week1,
    Phase::Week2,
    Phase::Week3,
    Phase::Week4,
    Phase::Week5,
    Phase::Week6,
    Phase::Active,
];

fn evidence() -> impl Strategy<Value = Vec<DayCounts>> {
    let mails = prop_oneof![Just(0_u64), 0..60_u64, 0..3_000_u64];
    let few = || prop_oneof![Just(0_u64), 0..8_u64, 0..400_u64];
    let one = (mails, few(), few(), few(), 0..4_u64);
    let one = one.prop_map(|(a, b, c, d, e)| [a, b, c, d, e]);
    let at = prop_oneof![Just("yahoo"), Just("gmail"), Just("other")];
    let day = (TODAY - 9..TODAY + 3, at, one);
    prop::collection::vec(day, 0..30).prop_map(|days| {
        let day = |(day, at, each)| DayCounts {
            day,
            groups: [(group(at), counts(each))].into(),
        };
        days.into_iter().map(day).collect()
    })
}

fn plans() -> impl Strategy<Value = WarmupPlan> {
    let paused = prop::option::of(TODAY - 5..TODAY + 5);
    (0..PHASES.len(), 0..40_u32, paused, 2_000..10_000_u32).prop_map(
        |(at, ago, paused, reached)| {
            let mut plan = plan(PHASES[at], ago);
            if plan.phase == Phase::Active {
                plan.reached = reached;
            }
            plan.paused_until = paused.map(day_begins);
            super::super::settle(&mut plan, &WarmupSettings::default());
            plan
        },
    )
}

fn after(plan: &WarmupPlan, counts: &[DayCounts], day: u32) -> WarmupPlan {
    let loops = loops();
    let settings = WarmupSettings::default();
    let (verdict, rates) = judge(plan, counts, &settings, &facts(&loops), day);
    let mut next = plan.clone();
    follow(&mut next, &verdict, &rates, &settings, day);
    next
}

fn place(phase: Phase) -> usize {
    PHASES.iter().position(|one| *one == phase).unwrap()
}

proptest! {
    #[test]
    fn a_tick_moves_one_phase_at_most_and_never_above_the_schedule(
        plan in plans(), counts in evidence(), late in prop_oneof![Just(0_u32), 0..400_u32],
    ) {
        let settings = WarmupSettings::default();
        let next = after(&plan, &counts, TODAY + late);
        prop_assert!((place(plan.phase)..=place(plan.phase) + 1).contains(&place(next.phase)));
        let most = match next.phase {
            Phase::Active => settings.target.min(plan.reached + plan.reached / 5),
            phase => settings.quota(phase),
        };
        prop_assert!(next.reached <= most, "{} > {most}", next.reached);
        prop_assert!(next.daily_quota <= next.reached && next.daily_quota > 0);
        let halved = next.paused_until.is_some();
        let expected = if halved { next.reached / 2 } else { next.reached };
        prop_assert_eq!(next.daily_quota, expected);
    }

    #[test]
    fn more_faults_never_give_a_better_verdict(
        plan in plans(), counts in evidence(), at in 0..30_usize, fault in 0..4_usize, more in 1..300_u64,
    ) {
        let mut worse = counts.clone();
        prop_assume!(!worse.is_empty());
        let at = at % worse.len();
        for counts in worse[at].groups.values_mut() {
            let mut added = [0; 5];
            added[fault + 1] = more;
            counts.add(&super::counts(added));
        }
        let (good, bad) = (after(&plan, &counts, TODAY), after(&plan, &worse, TODAY));
        prop_assert!(bad.daily_quota <= good.daily_quota);
        prop_assert!(place(bad.phase) <= place(good.phase));
        let settings = WarmupSettings::default();
        let stops = |counts: &[DayCounts]| {
            stop_line(&plan, counts, &settings, &loops(), TODAY).is_some()
        };
        prop_assert!(!stops(&counts) || stops(&worse));
    }

    #[test]
    fn whoever_delivered_nothing_goes_no_further_and_is_not_paused(
        plan in plans(), late in 0..400_u32,
    ) {
        let loops = loops();
        let settings = WarmupSettings::default();
        let (verdict, _) = judge(&plan, &[], &settings, &facts(&loops), TODAY + late);
        let is_still = matches!(
            verdict.step,
            WarmupStep::Hold | WarmupStep::StayPaused | WarmupStep::Resume
        );
        prop_assert!(is_still, "{:?}", verdict);
    }

    #[test]
    fn a_clock_that_leaps_or_goes_back_does_no_harm(
        plan in plans(), counts in evidence(),
        days in prop::collection::vec(
            prop_oneof![Just(0_u32), Just(u32::MAX), TODAY - 400..TODAY + 400], 1..8),
    ) {
        let mut plan = plan;
        let mut newest = None;
        for day in days {
            let before = plan.clone();
            let loops = loops();
            let settings = WarmupSettings::default();
            let (verdict, rates) = judge(&plan, &counts, &settings, &facts(&loops), day);
            if newest.is_some_and(|newest| day <= newest) {
                prop_assert_eq!(verdict.step, WarmupStep::Hold);
                continue;
            }
            newest = Some(day);
            follow(&mut plan, &verdict, &rates, &settings, day);
            prop_assert!(place(plan.phase) <= place(before.phase) + 1);
            let grew = u64::from(plan.reached) * 10 <= u64::from(before.reached) * 25;
            prop_assert!(grew, "{} became {}", before.reached, plan.reached);
        }
    }

    #[test]
    fn a_day_is_judged_once(plan in plans(), counts in evidence()) {
        let once = after(&plan, &counts, TODAY);
        let loops = loops();
        let settings = WarmupSettings::default();
        let (again, _) = judge(&once, &counts, &settings, &facts(&loops), TODAY);
        prop_assert_eq!(again.step, WarmupStep::Hold);
        prop_assert_eq!(once.judged_on, Some(Timestamp(u64::from(TODAY) * Timestamp::DAY)));
    }
}
